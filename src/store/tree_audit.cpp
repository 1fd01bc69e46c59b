// Recounts a tree, for tests.

#include "pinfold/store/tree.hpp"
#include "pinfold/store/tree_node.hpp"

namespace pinfold::store {

namespace {

using Node = Tree::Node;

bool zero(const Node& node, unsigned from, unsigned to) {
  return std::all_of(node.at(from), node.at(to), [](char c) { return c == 0; });
}

class Auditor {
 public:
  Auditor(TreeKind kind, Tree::Audit& result) : kind_(kind), result_(result) {}

  struct Sums {
    std::uint64_t items = 0;
    std::uint64_t bytes = 0;
  };
  // All keys below must be from `low` on, and by hash below `high`.
  Sums visit(const Node& node, const TreeKey& low, const TreeKey& high) {
    check(node.references.load() > 0 && node.count > 0);
    return node.leaf() ? visit_leaf(node, low, high) : visit_inner(node, low, high);
  }

 private:
  void check(bool good) { result_.consistent = result_.consistent && good; }

  Sums visit_leaf(const Node& leaf, const TreeKey& low, const TreeKey& high) {
    Sums sums{0, leaf.size()};
    check(leaf.begin >= Node::header && leaf.end <= leaf.size());
    check(zero(leaf, Node::header, leaf.begin) && zero(leaf, leaf.end, leaf.size()));
    for_each_item(kind_, leaf, [&](const char* item, unsigned) {
      const std::size_t blocks = memory_of_blocks(kind_, item);
      check(blocks == 0 || leaf.has_blocks != 0);
      sums.bytes += blocks;
      ++sums.items;
      check_order(item, low, high);
    });
    check(sums.items == leaf.count);
    if (kind_ == TreeKind::scored) check(low == TreeKey() || low == scored_key_of(leaf.at(leaf.begin)));
    return sums;
  }

  void check_order(const char* item, const TreeKey& low, const TreeKey& high) {
    if (by_hash(kind_)) {
      const std::uint64_t key = hash_key_of(kind_, item);
      check(key >= low.key && (high == TreeKey() || key < high.key));
    } else if (kind_ == TreeKind::scored) {
      if (last_ != nullptr) {
        const ScoredItem before(last_);
        const ScoredItem now(item);
        Element::Digits digits;
        const bool ties = before.score() == now.score();
        check(ties ? compare_texts(before.member(), now.member().text(digits)) < 0 : before.score() < now.score());
      }
      last_ = item;
    }
  }

  Sums visit_inner(const Node& node, const TreeKey& low, const TreeKey& high) {
    Sums sums{0, node.size()};
    check(node.count <= node.capacity() && Node::size_for(kind_, node.capacity()) <= node.size());
    const unsigned arrays = Node::bytes_per_child(kind_) / sizeof(std::uint64_t);
    const unsigned word = sizeof(std::uint64_t);
    for (unsigned i = 0; i < arrays; ++i) {
      const unsigned array = Node::header + i * node.capacity() * word;
      check(zero(node, array + node.count * word, array + node.capacity() * word));
    }
    check(zero(node, static_cast<unsigned>(Node::size_for(kind_, node.capacity())), node.size()));
    for (unsigned i = 0; i < node.count; ++i) {
      const Node::Child child = node.child(kind_, i);
      check(child.node->level + 1 == node.level && (child.node->has_blocks == 0 || node.has_blocks != 0));
      const Sums below = visit(*child.node, i == 0 ? low : child.key, i + 1U < node.count ? node.key(kind_, i + 1) : high);
      check(below.items == child.count && below.bytes == child.bytes);
      sums.items += below.items;
      sums.bytes += below.bytes;
    }
    return sums;
  }

  TreeKind kind_;
  Tree::Audit& result_;
  const char* last_ = nullptr;
};

void show_blocks(TreeKind kind, const Node& node, const std::function<void(const void*, std::size_t)>& show) {
  show(&node, node.size());
  if (node.leaf()) {
    const auto show_block = [&](void* block) { show(block, memory_of_block(block)); };
    for_each_item(kind, node, [&](const char* item, unsigned) { for_each_block_of(kind, item, show_block); });
    return;
  }
  for (unsigned i = 0; i < node.count; ++i) show_blocks(kind, *node.children()[i], show);
}

}  // namespace

Tree::Audit Tree::audit() const {
  Audit result;
  if (root_ != nullptr) {
    const Auditor::Sums sums = Auditor(kind_, result).visit(*root_, {}, {});
    result.items = sums.items;
    result.memory = sums.bytes;
  }
  if (result.items != size_ || result.memory != memory_) result.consistent = false;
  return result;
}

void Tree::for_each_block(const std::function<void(const void* block, std::size_t bytes)>& show) const {
  if (root_ != nullptr) show_blocks(kind_, *root_, show);
}

}  // namespace pinfold::store
