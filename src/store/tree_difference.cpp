// In what two trees differ that were one once: the leaves that they do not share.

#include <algorithm>

#include "pinfold/base/work.hpp"
#include "pinfold/store/tree.hpp"
#include "pinfold/store/tree_node.hpp"

namespace pinfold::store {

namespace {

using Nodes = std::vector<const Tree::Node*>;

// Goes from nodes of one level to those of the next.
void descend(Nodes& nodes) {
  Nodes below;
  for (const Tree::Node* const node : nodes) {
    if (!node->leaf()) below.insert(below.end(), node->children(), node->children() + node->count);
  }
  work::nodes(below.size());
  nodes.swap(below);
}

// Removes what both have.
void remove_common(Nodes& a, Nodes& b) {
  Nodes rest_of_a;
  Nodes rest_of_b;
  std::ranges::sort(a);
  std::ranges::sort(b);
  std::ranges::set_difference(a, b, std::back_inserter(rest_of_a));
  std::ranges::set_difference(b, a, std::back_inserter(rest_of_b));
  a.swap(rest_of_a);
  b.swap(rest_of_b);
}

unsigned level_of(const Nodes& nodes) { return nodes.empty() ? 0 : nodes.front()->level; }

}  // namespace

bool Tree::unshared_leaves(const Tree& other, std::size_t most, std::vector<Leaf>& mine, std::vector<Leaf>& others) const {
  Nodes a;
  Nodes b;
  if (root_ != nullptr) a.push_back(root_);
  if (other.root_ != nullptr) b.push_back(other.root_);
  for (;;) {
    const unsigned level = std::max(level_of(a), level_of(b));
    if (level_of(a) == level_of(b)) remove_common(a, b);
    if (a.size() > most || b.size() > most) return false;
    if (level == 0) break;
    if (level_of(a) == level) descend(a);
    if (level_of(b) == level) descend(b);
  }
  for (const Node* const leaf : a) mine.push_back({leaf->at(leaf->begin), leaf->count});
  for (const Node* const leaf : b) others.push_back({leaf->at(leaf->begin), leaf->count});
  return true;
}

}  // namespace pinfold::store
