// Cutting a range of items out of a tree.
//
// What is left of the range, the range, and what is right of it become trees of their own: new nodes along the two edges of the range, and
// beside them references to the old nodes, which stay as they are. Then the outer ones are put together. The old tree is given up only
// when all of that has been done.
//
// A leaf of a tree that is ordered by hash has its items in no order. It is cut as if they were in that of their hashes. So what is left of
// a cut has lower hashes than what is right of it.

#include <algorithm>
#include <array>

#include "pinfold/base/work.hpp"
#include "pinfold/store/tree.hpp"
#include "pinfold/store/tree_node.hpp"

namespace pinfold::store {

// A node, and what its parent knows of it.
struct Tree::Part {
  Node* node = nullptr;
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
  TreeKey begin = {};  // in a tree that is ordered by hash: no item has a lower key, and all items before it have one
};

namespace {

using Node = Tree::Node;

// The items of a leaf that is ordered by hash, in the order in which it is cut.
class InOrder {
 public:
  InOrder(TreeKind kind, const Node& leaf) : leaf_(&leaf), kind_(kind) {
    for_each_item(kind, leaf, [&](const char* item, unsigned size) { items_[count_++] = {hash_key_of(kind, item), {item, size}}; });
    work::entries(count_);
    std::ranges::sort(items_.begin(), items_.begin() + count_, {}, &Item::key);
  }

  /// A leaf with some of them. Null if there is no memory, or if they would be separated from others with the same hash.
  Node* leaf_of(BlockHeap& heap, std::uint64_t from, std::uint64_t to) const {
    if (!may_cut(from) || !may_cut(to)) return nullptr;
    std::size_t bytes = 0;
    for (std::uint64_t i = from; i < to; ++i) bytes += items_[i].bytes.size();
    Node* const leaf = Node::make(heap, kind_, 0, Node::header + bytes);
    for (std::uint64_t i = from; leaf != nullptr && i < to; ++i) leaf->append(items_[i].bytes, 1);
    return leaf;
  }
  std::uint64_t key(std::uint64_t at) const { return items_[at].key; }
  const Node* leaf() const { return leaf_; }

 private:
  struct Item {
    std::uint64_t key;
    std::string_view bytes;
  };
  bool may_cut(std::uint64_t at) const { return at == 0 || at == count_ || items_[at - 1].key != items_[at].key; }

  const Node* leaf_;
  const TreeKind kind_;
  std::array<Item, Node::most_equals> items_;
  unsigned count_ = 0;
};

}  // namespace

// What the parts of one cut have in common, if the tree is ordered by hash.
struct Tree::Cutting {
  TreeKey begin;  // where the last part begins

  /// The order of a leaf. There are two leaves at most that are cut, and each is put in order once.
  const InOrder& order_of(TreeKind kind, const Node& leaf) {
    for (const auto& known : leaves_) {
      if (known && known->leaf() == &leaf) return *known;
    }
    return leaves_[leaves_[0] ? 1 : 0].emplace(kind, leaf);
  }

 private:
  std::array<std::optional<InOrder>, 2> leaves_;
};

// What slice() does with a leaf.
bool Tree::slice_leaf(const Node& old, std::uint64_t from, std::uint64_t to, Cutting& cutting, Part& part) {
  TreeKey begin;
  Node* leaf = nullptr;
  if (by_hash(kind_)) {
    const InOrder& items = cutting.order_of(kind_, old);
    leaf = items.leaf_of(*heap_, from, to);
    begin.key = items.key(from);
  } else {
    leaf = leaf_of(old, from, to);
  }
  if (leaf == nullptr) return false;
  leaf->has_blocks = old.has_blocks;
  keep_blocks(kind_, *leaf);
  work::bytes(leaf->used());
  part = {leaf, to - from, leaf->size() + memory_of_leaf_blocks(kind_, *leaf), begin};
  return true;
}

// A leaf with some items of one whose items lie in order. Null if there is no memory.
Tree::Node* Tree::leaf_of(const Node& old, std::uint64_t from, std::uint64_t to) {
  const unsigned begin = old.offset_of(kind_, static_cast<unsigned>(from));
  const unsigned end = old.offset_of(kind_, static_cast<unsigned>(to));
  Node* const leaf = Node::make(*heap_, kind_, 0, Node::header + end - begin);
  if (leaf != nullptr) leaf->append({old.at(begin), end - begin}, static_cast<unsigned>(to - from));
  return leaf;
}

// Makes a node with the items [from, to) of another, of which there is at least one. False: no memory, or the items may not be separated.
bool Tree::slice(const Part& whole, std::uint64_t from, std::uint64_t to, Cutting& cutting, Part& part) {
  if (from == 0 && to == whole.count) {
    whole.node->add_reference();
    part = whole;
    return true;
  }
  Node& old = *whole.node;
  if (old.leaf()) return slice_leaf(old, from, to, cutting, part);
  unsigned first = 0;
  for (; from >= old.counts()[first]; ++first) {
    from -= old.counts()[first];
    to -= old.counts()[first];
  }
  unsigned end = first;
  for (std::uint64_t items = 0; items < to; ++end) items += old.counts()[end];
  Node* const node = Node::make(*heap_, kind_, old.level, Node::size_for(kind_, end - first));
  if (node == nullptr) return false;
  work::nodes();
  TreeKey begin;
  for (unsigned i = first; i < end; ++i) {
    const Node::Child child = old.child(kind_, i);
    Part piece;
    if (!slice({child.node, child.count, child.bytes, i == 0 ? whole.begin : child.key}, from, std::min(to, child.count), cutting, piece)) {
      discard(node);
      return false;
    }
    if (i == first) begin = piece.begin;
    node->insert_child(kind_, node->count, {piece.node, piece.count, piece.bytes, i == first ? TreeKey() : child.key});
    from = 0;
    to -= std::min(to, child.count);
  }
  part = {node, node->sum_counts(), node->size() + node->sum_bytes(), begin};
  return true;
}

// A tree with the items [from, to).
std::optional<Tree> Tree::part(std::uint64_t from, std::uint64_t to, Cutting& cutting) {
  Tree tree(*heap_, kind_);
  tree.wipe_ = wipe_;
  if (from == to) return tree;
  // Nodes with one child need not be copied.
  Part whole{root_, size_, memory_, {}};
  for (bool lower = true; lower && !whole.node->leaf();) {
    const Node& node = *whole.node;
    unsigned slot = 0;
    std::uint64_t before = 0;
    for (; from >= before + node.counts()[slot]; ++slot) before += node.counts()[slot];
    lower = to <= before + node.counts()[slot];
    if (!lower) break;
    whole = {node.children()[slot], node.counts()[slot], node.bytes()[slot], slot == 0 ? whole.begin : node.key(kind_, slot)};
    from -= before;
    to -= before;
  }
  Part mine;
  if (!slice(whole, from, to, cutting, mine)) return std::nullopt;
  cutting.begin = mine.begin;
  tree.root_ = mine.node;
  tree.size_ = mine.count;
  tree.memory_ = mine.bytes;
  return tree;
}

// Puts another tree behind this one.
bool Tree::append(Tree& other) {
  return append(other, kind_ == TreeKind::scored && other.root_ != nullptr ? scored_key_of(first_item(other.root_)) : TreeKey());
}

bool Tree::append(Tree& other, const TreeKey& begin) {
  if (other.root_ == nullptr) return true;
  if (root_ != nullptr) {
    if (root_->level >= other.root_->level) return attach(other, true, begin);
    if (!other.attach(*this, false, begin)) return false;
  }
  std::swap(*this, other);
  return true;
}

// Makes the root of another tree, which is no higher than this one, a node of this one, at one of its ends. `begin`: where that of the two
// begins which is behind the other.
bool Tree::attach(Tree& other, bool behind, const TreeKey& begin) {
  Path path;
  for (Node* node = root_; node->level > other.root_->level;) {
    const unsigned slot = behind ? node->count - 1U : 0;
    path.steps_[path.height_++] = {node, slot};
    node = node->children()[slot];
  }
  // own() takes a path that ends with a leaf. Here a copy of the last node keeps all of its children: none is about to be copied.
  const std::uint32_t slot = behind && path.height_ > 0 ? path.steps_[path.height_ - 1].node->count - 1U : 0;
  if (path.height_ > 0) path.steps_[path.height_ - 1].slot = UINT32_MAX;
  if (!own(path)) return false;
  if (path.height_ > 0) path.steps_[path.height_ - 1].slot = slot;
  if (!make_room(path, 0)) return false;
  const Path::Step& step = path.steps_[path.height_ - 1];
  Node::Child child{other.root_, other.size_, other.memory_};
  if (behind) {
    child.key = begin;
  } else {
    step.node->set_key(kind_, 0, begin);
  }
  step.node->insert_child(kind_, behind ? step.slot + 1 : 0, child);
  account(path, 0, static_cast<std::int64_t>(other.size_), static_cast<std::int64_t>(other.memory_));
  if (other.root_->has_blocks) note_blocks(path);
  other.root_ = nullptr;
  other.size_ = other.memory_ = 0;
  return true;
}

// Nodes along a cut may have few items or children left.
void Tree::mend(std::uint64_t position) {
  Path path = at(position);
  if (!own(path)) return;
  tidy(path);
  path = at(position);
  if (!own(path)) return;
  for (unsigned up = 1; up < path.height_; ++up) join_inner(path, up);
  lower();
}

std::optional<Tree> Tree::cut(std::uint64_t from, std::uint64_t to) {
  to = std::min(to, size_);
  if (from >= to) return Tree(*heap_, kind_);
  Cutting cutting;
  std::optional<Tree> middle = part(from, to, cutting);
  if (!middle) return std::nullopt;
  std::optional<Tree> rest = part(0, from, cutting);
  if (!rest) return std::nullopt;
  std::optional<Tree> right = part(to, size_, cutting);
  if (!right) return std::nullopt;
  const bool joined = by_hash(kind_) ? rest->append(*right, cutting.begin) : rest->append(*right);
  if (!joined) return std::nullopt;
  std::swap(*this, *rest);
  rest.reset();
  if (from > 0) mend(from - 1);
  if (from < size_) mend(from);
  return middle;
}

}  // namespace pinfold::store
