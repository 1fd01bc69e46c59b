// Changes of trees: one item at a time. Each function first makes the nodes on its path its own. Then it takes all the memory that it
// needs before it links anything, so that a refusal leaves a tree with the items that it had.

#include <algorithm>
#include <array>

#include "pinfold/base/work.hpp"
#include "pinfold/store/tree.hpp"
#include "pinfold/store/tree_node.hpp"

namespace pinfold::store {

namespace {

using Node = Tree::Node;

// How full a leaf becomes before it is cut in two. A leaf is read from its start for every look-up by hash or score, so it is the shorter
// the more of its items are compared. With 248 items of 2, 4 or 6 bytes a leaf of a list fills its block.
struct Limits {
  unsigned bytes;
  unsigned items;
};
constexpr Limits limits_of(TreeKind kind) {
  constexpr Limits by_position{Node::most_size - Node::header, 248};
  constexpr Limits by_score{Node::most_size / 2 - Node::header, 128};
  constexpr Limits unordered{Node::most_size / 4 - Node::header, 128};
  return by_hash(kind) ? unordered : (kind == TreeKind::scored ? by_score : by_position);
}

bool fits(TreeKind kind, std::size_t bytes, unsigned items) {
  constexpr unsigned few = 8;
  const Limits most = limits_of(kind);
  if (bytes <= most.bytes && items <= most.items) return true;
  return items <= few && bytes <= Node::most_size - Node::header;
}

// Copies of nodes that are in use by others, all taken or none.
class Spare {
 public:
  explicit Spare(BlockHeap& heap) : heap_(heap) {}
  ~Spare() {
    while (count_ > 0) Node::free(heap_, nodes_[--count_], false);
  }
  Spare(const Spare&) = delete;
  Spare& operator=(const Spare&) = delete;
  bool add(TreeKind kind, const Node& like) {
    nodes_[count_] = Node::make(heap_, kind, like.level, like.size());
    return nodes_[count_] != nullptr && ++count_ != 0;
  }
  Node* operator[](unsigned i) const { return nodes_[i]; }
  void keep() { count_ = 0; }

 private:
  BlockHeap& heap_;
  std::array<Node*, Tree::most_height> nodes_{};
  unsigned count_ = 0;
};

}  // namespace

// --- the path ---

// Fills a new node with what another one has, and counts the references to all children `but` one.
void Tree::copy_node(Node& to, const Node& from, unsigned but) {
  to.count = from.count;
  to.begin = from.begin;
  to.end = from.end;
  to.has_blocks = from.has_blocks;
  to.wiped.store(from.wiped.load(std::memory_order_relaxed), std::memory_order_relaxed);
  std::memcpy(to.at(Node::header), from.at(Node::header), from.size() - Node::header);
  work::bytes(from.size());
  work::nodes();
  if (to.leaf()) return keep_blocks(kind_, to);
  for (unsigned i = 0; i < to.count; ++i) {
    if (i != but) to.children()[i]->add_reference();
  }
}

// Gives up one reference to a node.
void Tree::discard(Node* node) {
  Tree rest(*heap_, kind_);
  rest.root_ = node;
  rest.wipe_ = wipe_;
}

// Makes the nodes of a path the tree's own: copies those from the first shared one on. What is below a shared node is shared, too.
bool Tree::own(Path& path) {
  unsigned first = 0;
  while (first < path.height_ && !path.steps_[first].node->shared()) ++first;
  if (first == path.height_) return true;
  Spare copies(*heap_);
  for (unsigned depth = first; depth < path.height_; ++depth) {
    if (!copies.add(kind_, *path.steps_[depth].node)) return false;
  }
  Node* const old = path.steps_[first].node;
  for (unsigned depth = first; depth < path.height_; ++depth) {
    Path::Step& step = path.steps_[depth];
    Node* const copy = copies[depth - first];
    copy_node(*copy, *step.node, step.slot);
    step.node = copy;
    if (depth > 0) {
      path.steps_[depth - 1].node->children()[path.steps_[depth - 1].slot] = copy;
    } else {
      root_ = copy;
    }
  }
  copies.keep();
  discard(old);
  return true;
}

// Puts another node in the place of the one that is `up` levels above the leaf.
void Tree::link(Path& path, unsigned up, Node* node) {
  const unsigned depth = path.height_ - 1 - up;
  path.steps_[depth].node = node;
  if (depth == 0) {
    root_ = node;
  } else {
    path.steps_[depth - 1].node->children()[path.steps_[depth - 1].slot] = node;
  }
}

// Adds to what is known of the node `up` levels above the leaf, in all that is above it.
void Tree::account(const Path& path, unsigned up, std::int64_t items, std::int64_t bytes) {
  for (unsigned depth = 0; depth + 1 + up < path.height_; ++depth) {
    const Path::Step& step = path.steps_[depth];
    step.node->counts()[step.slot] += static_cast<std::uint64_t>(items);
    step.node->bytes()[step.slot] += static_cast<std::uint64_t>(bytes);
  }
  size_ += static_cast<std::uint64_t>(items);
  memory_ += static_cast<std::uint64_t>(bytes);
}

// An element in a block has come: its slack has not been overwritten for any erasure.
void Tree::note_blocks(const Path& path) {
  for (unsigned depth = 0; depth < path.height_; ++depth) {
    path.steps_[depth].node->has_blocks = 1;
    path.steps_[depth].node->wiped.store(0, std::memory_order_relaxed);
  }
}

// The node `up` levels above the leaf begins with another item: whoever knows where it begins is told.
void Tree::set_first_key(const Path& path, unsigned up, const TreeKey& key) {
  for (unsigned depth = path.height_ - 1 - up; depth > 0; --depth) {
    const Path::Step& above = path.steps_[depth - 1];
    if (above.slot > 0) return above.node->set_key(kind_, above.slot, key);
  }
}

// --- insertion ---

bool Tree::insert(const Path& path, std::string_view item) {
  if (root_ == nullptr) return plant(item);
  Path mine = path;
  return own(mine) && put(mine, false, item);
}

bool Tree::replace(const Path& path, std::string_view item) {
  if (path.item() == nullptr) return false;
  Path mine = path;
  if (!own(mine)) return false;
  std::array<void*, 2> old{};
  unsigned count = 0;
  for_each_block_of(kind_, mine.item(), [&](void* block) { old[count++] = block; });
  if (!put(mine, true, item)) return false;
  while (count > 0) give_up_block(old[--count], wipe_);
  return true;
}

bool Tree::insert_score(std::uint64_t hash, double score) {
  const auto key = static_cast<std::uint32_t>(hash_key(kind_, hash));
  std::array<char, index_item> item;
  std::memcpy(item.data(), &key, sizeof key);
  std::memcpy(item.data() + sizeof key, &score, sizeof score);
  Path path = leaf_of_key(key);
  if (path.height_ != 0) {
    Path::Step& step = path.steps_[path.height_ - 1];
    step.slot = step.node->count;
    path.offset_ = step.node->end;
  }
  return insert(path, {item.data(), item.size()});
}

bool Tree::erase_score(std::uint64_t hash, double score) {
  const Path path = find_score(hash, score);
  return path.found() && erase(path);
}

// The first item of an empty tree.
bool Tree::plant(std::string_view item) {
  Node* const leaf = Node::make(*heap_, kind_, 0, Node::header + item.size());
  if (leaf == nullptr) return false;
  leaf->append(item, 1);
  leaf->has_blocks = memory_of_blocks(kind_, item.data()) != 0;
  for_each_block_of(kind_, item.data(), [](void* block) { Blob::note_in_tree(block, 1); });
  root_ = leaf;
  size_ = 1;
  memory_ = leaf->size() + memory_of_blocks(kind_, item.data());
  return true;
}

// Inserts an item at the place, or replaces the one that is there. The nodes of the path must be the tree's own.
bool Tree::put(Path& path, bool replaced, std::string_view item) {
  const Path::Step step = path.steps_[path.height_ - 1];
  Node& leaf = *step.node;
  const std::size_t removed = replaced ? item_size(kind_, path.item()) : 0;
  const std::size_t bytes = leaf.used() - removed + item.size();
  if (!fits(kind_, bytes, leaf.count + (replaced ? 0U : 1U))) {
    if (!cut_leaf(path, replaced, item)) return false;
  } else {
    const bool at_start = !by_hash(kind_) && step.slot == 0;
    if (bytes > leaf.room() && !resize_leaf(path, bytes, at_start)) return false;
    set_in_place(path, replaced, item);
  }
  for_each_block_of(kind_, item.data(), [](void* block) { Blob::note_in_tree(block, 1); });
  return true;
}

// The same in a leaf that has room for the item.
void Tree::set_in_place(Path& path, bool replaced, std::string_view item) {
  Path::Step& step = path.steps_[path.height_ - 1];
  Node& leaf = *step.node;
  if (!replaced && by_hash(kind_) && leaf.size() - leaf.end < item.size() && leaf.begin - Node::header >= item.size()) {
    step.slot = 0;
    path.offset_ = leaf.begin;
  }
  const std::size_t removed = replaced ? item_size(kind_, path.item()) : 0;
  const std::size_t given_up = replaced ? memory_of_blocks(kind_, path.item()) : 0;
  const std::size_t added = memory_of_blocks(kind_, item.data());
  leaf.splice(path.offset_, static_cast<unsigned>(removed), item);
  if (!replaced) ++leaf.count;
  account(path, 0, replaced ? 0 : 1, static_cast<std::int64_t>(added) - static_cast<std::int64_t>(given_up));
  if (added != 0) note_blocks(path);
  if (step.slot == 0 && kind_ == TreeKind::scored) set_first_key(path, 0, scored_key_of(item.data()));
}

// Gives a leaf a block with room for `bytes` bytes of items; `to_end`: with the free room in front.
bool Tree::resize_leaf(Path& path, std::size_t bytes, bool to_end) {
  Node* const old = path.steps_[path.height_ - 1].node;
  Node* const leaf = Node::make(*heap_, kind_, 0, Node::header + bytes);
  if (leaf == nullptr) return false;
  leaf->append({old->at(old->begin), old->used()}, old->count);
  work::bytes(old->used());
  if (to_end) leaf->move_to_end();
  leaf->has_blocks = old->has_blocks;
  leaf->wiped.store(old->wiped.load(std::memory_order_relaxed), std::memory_order_relaxed);
  path.offset_ = path.offset_ - old->begin + leaf->begin;
  account(path, 0, 0, static_cast<std::int64_t>(leaf->size()) - static_cast<std::int64_t>(old->size()));
  link(path, 0, leaf);
  Node::free(*heap_, old, wipe_);
  return true;
}

// --- cutting leaves ---

namespace {

struct Entry {
  std::uint64_t key;
  const char* item;
  unsigned size;
};

// The items of a leaf, with one that is inserted or replaced.
class Entries {
 public:
  Entries(TreeKind kind, const Node& leaf, unsigned slot, bool replaced, std::string_view item) {
    unsigned number = 0;
    const auto add = [&](const char* at, unsigned size) {
      entries_[count_++] = {by_hash(kind) ? hash_key_of(kind, at) : 0, at, size};
      bytes_ += size;
    };
    const auto added = static_cast<unsigned>(item.size());
    for_each_item(kind, leaf, [&](const char* at, unsigned size) {
      if (number == slot) add(item.data(), added);
      if (number != slot || !replaced) add(at, size);
      ++number;
    });
    if (number == slot) add(item.data(), added);
    work::entries(count_);
    if (!by_hash(kind)) return;
    std::sort(entries_.begin(), entries_.begin() + count_, [](const Entry& a, const Entry& b) { return a.key < b.key; });
    apart_ = true;
  }

  unsigned count() const { return count_; }
  std::size_t bytes(unsigned from, unsigned to) const {
    std::size_t bytes = 0;
    for (unsigned i = from; i < to; ++i) bytes += entries_[i].size;
    return bytes;
  }
  const Entry& operator[](unsigned i) const { return entries_[i]; }
  /// Where to cut them into two parts of about the same size; 0 if all have the same hash.
  unsigned middle() const {
    unsigned best = 0;
    std::size_t difference = SIZE_MAX;
    std::size_t left = 0;
    for (unsigned i = 1; i < count_; ++i) {
      left += entries_[i - 1].size;
      if (apart_ && entries_[i - 1].key == entries_[i].key) continue;
      const std::size_t here = left * 2 > bytes_ ? left * 2 - bytes_ : bytes_ - left * 2;
      if (here >= difference) continue;
      difference = here;
      best = i;
    }
    return best;
  }
  /// A leaf with some of them.
  Node* leaf_of(BlockHeap& heap, TreeKind kind, unsigned from, unsigned to) const {
    Node* const leaf = Node::make(heap, kind, 0, Node::header + bytes(from, to));
    if (leaf == nullptr) return nullptr;
    for (unsigned i = from; i < to; ++i) leaf->append({entries_[i].item, entries_[i].size}, 1);
    work::bytes(leaf->used());
    return leaf;
  }

 private:
  std::array<Entry, Node::most_equals + 1> entries_;
  unsigned count_ = 0;
  std::size_t bytes_ = 0;
  bool apart_ = false;  // items with the same key must stay together
};

}  // namespace

// Puts an item into a leaf that has no room for it: cuts the leaf in two, or begins another one.
bool Tree::cut_leaf(Path& path, bool replaced, std::string_view item) {
  const unsigned slot = path.steps_[path.height_ - 1].slot;
  Node* const old = path.steps_[path.height_ - 1].node;
  if (!replaced && !by_hash(kind_)) {
    // A list or scored tree that grows at its end keeps full leaves.
    bool first = slot == 0;
    bool last = slot == old->count;
    for (unsigned depth = 0; depth + 1 < path.height_; ++depth) {
      const Path::Step& step = path.steps_[depth];
      first = first && step.slot == 0;
      last = last && step.slot + 1 == step.node->count;
    }
    if (first || last) return add_end_leaf(path, last, item);
  }
  if (old->count == Node::most_equals) return false;
  const Entries entries(kind_, *old, slot, replaced, item);
  const unsigned middle = entries.middle();
  if (middle == 0) {
    const std::size_t bytes = entries.bytes(0, entries.count());
    if (Node::header + bytes > Node::most_size_of_equals) return false;
    if (bytes > old->room() && !resize_leaf(path, bytes, false)) return false;
    set_in_place(path, replaced, item);
    return true;
  }
  if (!make_room(path, 1)) return false;
  Node* const left = entries.leaf_of(*heap_, kind_, 0, middle);
  if (left == nullptr) return false;
  Node* const right = entries.leaf_of(*heap_, kind_, middle, entries.count());
  if (right == nullptr) return Node::free(*heap_, left, false), false;
  const std::size_t added = memory_of_blocks(kind_, item.data());
  if (added != 0) note_blocks(path);
  left->has_blocks = right->has_blocks = old->has_blocks;

  TreeKey key{entries[middle].key, 0};
  if (kind_ == TreeKind::scored) key = scored_key_of(entries[middle].item);
  const Node::Child there{right, right->count, right->size() + memory_of_leaf_blocks(kind_, *right), key};
  const std::uint64_t here = left->size() + memory_of_leaf_blocks(kind_, *left);
  const Path::Step& above = path.steps_[path.height_ - 2];
  const auto more = static_cast<std::int64_t>(here + there.bytes) - static_cast<std::int64_t>(above.node->bytes()[above.slot]);
  link(path, 0, left);
  above.node->counts()[above.slot] = left->count;
  above.node->bytes()[above.slot] = here;
  above.node->insert_child(kind_, above.slot + 1, there);
  account(path, 1, replaced ? 0 : 1, more);
  if (slot == 0 && kind_ == TreeKind::scored) set_first_key(path, 0, scored_key_of(item.data()));
  Node::free(*heap_, old, wipe_);
  return true;
}

// Puts an item into a new leaf, in front of the tree or behind it.
bool Tree::add_end_leaf(Path& path, bool behind, std::string_view item) {
  if (!make_room(path, 1)) return false;
  // Who has grown so far is expected to fill this leaf like the one beside it.
  constexpr std::uint64_t large = 32 * 1024;
  const Node& beside = *path.steps_[path.height_ - 1].node;
  const std::size_t bytes = memory_ > large ? std::max<std::size_t>(item.size(), beside.used()) : item.size();
  Node* const leaf = Node::make(*heap_, kind_, 0, Node::header + bytes);
  if (leaf == nullptr) return false;
  leaf->append(item, 1);
  if (!behind) leaf->move_to_end();
  const std::size_t blocks = memory_of_blocks(kind_, item.data());
  leaf->has_blocks = blocks != 0;
  const Path::Step& above = path.steps_[path.height_ - 2];
  Node::Child child{leaf, 1, leaf->size() + blocks};
  if (kind_ == TreeKind::scored) {
    if (behind) {
      child.key = scored_key_of(item.data());
    } else {
      above.node->set_key(kind_, 0, scored_key_of(beside.at(beside.begin)));
    }
  }
  above.node->insert_child(kind_, behind ? above.slot + 1 : above.slot, child);
  account(path, 1, 1, static_cast<std::int64_t>(child.bytes));
  if (blocks != 0) note_blocks(path);
  return true;
}

// --- inner nodes ---

// Makes sure that the node `up` levels above the leaf has room for one child more; makes it if there is none. The path is kept up to date.
bool Tree::make_room(Path& path, unsigned up) {
  if (up == path.height_) return raise(path);
  const Node& node = *path.steps_[path.height_ - 1 - up].node;
  if (node.count < node.capacity()) return true;
  if (node.capacity() < Node::most_children(kind_)) return grow_inner(path, up);
  return make_room(path, up + 1) && split_inner(path, up);
}

// Puts a new root above the old one.
bool Tree::raise(Path& path) {
  if (root_->level + 1U == most_height) return false;
  Node* const node = Node::make(*heap_, kind_, root_->level + 1U, Node::size_for(kind_, 2));
  if (node == nullptr) return false;
  node->insert_child(kind_, 0, {root_, size_, memory_});
  root_ = node;
  memory_ += node->size();
  std::copy_backward(path.steps_.begin(), path.steps_.begin() + path.height_, path.steps_.begin() + path.height_ + 1);
  path.steps_[0] = {node, 0};
  ++path.height_;
  return true;
}

bool Tree::grow_inner(Path& path, unsigned up) {
  Node* const old = path.steps_[path.height_ - 1 - up].node;
  Node* const node = Node::make(*heap_, kind_, old->level, old->size() + BlockHeap::unit);
  if (node == nullptr) return false;
  node->append_children(kind_, *old, 0, old->count);
  node->wiped.store(old->wiped.load(std::memory_order_relaxed), std::memory_order_relaxed);
  account(path, up, 0, BlockHeap::unit);
  link(path, up, node);
  Node::free(*heap_, old, wipe_);
  return true;
}

// Cuts a full inner node in two. The one above must have room.
bool Tree::split_inner(Path& path, unsigned up) {
  const unsigned depth = path.height_ - 1 - up;
  Path::Step& step = path.steps_[depth];
  Path::Step& above = path.steps_[depth - 1];
  Node& node = *step.node;
  bool first = !by_hash(kind_);
  bool last = first;
  for (unsigned i = 0; i <= depth; ++i) {
    first = first && path.steps_[i].slot == 0;
    last = last && path.steps_[i].slot + 1 == path.steps_[i].node->count;
  }
  const unsigned middle = first ? 1 : (last ? node.count - 1U : node.count / 2U);
  const unsigned moved = node.count - middle;
  Node* const right = Node::make(*heap_, kind_, node.level, Node::size_for(kind_, moved + 1));
  if (right == nullptr) return false;
  const TreeKey key = node.key(kind_, middle);
  right->append_children(kind_, node, middle, moved);
  right->set_key(kind_, 0, {});
  for (unsigned i = middle; i < node.count; ++i) node.set_child(kind_, i, {});
  node.count = static_cast<std::uint16_t>(middle);
  const Node::Child there{right, right->sum_counts(), right->sum_bytes() + right->size(), key};
  above.node->counts()[above.slot] -= there.count;
  above.node->bytes()[above.slot] -= there.bytes - right->size();
  above.node->insert_child(kind_, above.slot + 1, there);
  account(path, up + 1, 0, right->size());
  if (step.slot < middle) return true;
  step = {right, step.slot - middle};
  ++above.slot;
  return true;
}

// --- removal ---

bool Tree::erase(const Path& path) {
  if (path.item() == nullptr) return false;
  Path mine = path;
  if (!own(mine)) return false;
  const Path::Step step = mine.steps_[mine.height_ - 1];
  Node& leaf = *step.node;
  const char* const item = mine.item();
  const std::size_t size = item_size(kind_, item);
  account(mine, 0, -1, -static_cast<std::int64_t>(memory_of_blocks(kind_, item)));
  for_each_block_of(kind_, item, [&](void* block) { give_up_block(block, wipe_); });
  leaf.splice(mine.offset_, static_cast<unsigned>(size), {});
  --leaf.count;
  if (leaf.count == 0) {
    remove_node(mine);
    return true;
  }
  if (step.slot == 0 && kind_ == TreeKind::scored) set_first_key(mine, 0, scored_key_of(leaf.at(leaf.begin)));
  tidy(mine);
  return true;
}

// Removes an emptied leaf, and the nodes above it that have become empty by that.
void Tree::remove_node(Path& path) {
  unsigned up = 0;
  for (;; ++up) {
    Node* const node = path.steps_[path.height_ - 1 - up].node;
    account(path, up, 0, -static_cast<std::int64_t>(node->size()));
    Node::free(*heap_, node, wipe_);
    if (up + 1 == path.height_) {
      root_ = nullptr;
      return;
    }
    const Path::Step& above = path.steps_[path.height_ - 2 - up];
    above.node->remove_child(kind_, above.slot);
    if (above.node->count > 0) break;
  }
  ++up;
  const Path::Step& above = path.steps_[path.height_ - 1 - up];
  if (above.slot == 0) {
    if (kind_ == TreeKind::scored) set_first_key(path, up, above.node->key(kind_, 0));
    above.node->set_key(kind_, 0, {});
  }
  while (join_inner(path, up)) ++up;
  lower();
}

// A root with one child is none.
void Tree::lower() {
  while (!root_->leaf() && root_->count == 1) {
    Node* const old = root_;
    root_ = old->children()[0];
    memory_ -= old->size();
    Node::free(*heap_, old, wipe_);
    if (root_->shared()) return;
  }
}

// Joins a leaf that has few items left with a neighbour, or gives it a smaller block. If there is no memory for that, the leaf stays.
void Tree::tidy(Path& path) {
  if (join_leaf(path)) {
    for (unsigned up = 1; join_inner(path, up);) ++up;
    lower();
    return;
  }
  const Node& leaf = *path.steps_[path.height_ - 1].node;
  const std::size_t enough = BlockHeap::rounded(Node::header + leaf.used()) + BlockHeap::unit;
  if (enough < leaf.size()) resize_leaf(path, enough - Node::header, false);
}

namespace {

// Two neighbours below one node, of which one has become small.
struct Pair {
  unsigned slot = 0;  // of the left one
  Node* left = nullptr;
  Node* right = nullptr;
};

Pair neighbours(const Node& above, unsigned slot) {
  if (above.count < 2) return {};
  const unsigned left = slot + 1 < above.count ? slot : slot - 1;
  return {left, above.children()[left], above.children()[left + 1]};
}

}  // namespace

bool Tree::join_leaf(Path& path) {
  if (path.height_ < 2) return false;
  const Path::Step& above = path.steps_[path.height_ - 2];
  const Limits most = limits_of(kind_);
  const Node& leaf = *path.steps_[path.height_ - 1].node;
  const Pair pair = neighbours(*above.node, above.slot);
  if (leaf.used() > most.bytes / 3 || leaf.count > most.items / 3 || pair.left == nullptr) return false;
  const unsigned bytes = pair.left->used() + pair.right->used();
  const unsigned items = unsigned{pair.left->count} + pair.right->count;
  if (bytes > most.bytes / 4 * 3 || items > most.items / 4 * 3) return false;
  Node* const both = Node::make(*heap_, kind_, 0, Node::header + bytes);
  if (both == nullptr) return false;
  for (Node* const part : {pair.left, pair.right}) both->append({part->at(part->begin), part->used()}, part->count);
  both->has_blocks = pair.left->has_blocks | pair.right->has_blocks;
  work::bytes(bytes);
  join_children(path, 1, pair.slot, both);
  return true;
}

bool Tree::join_inner(Path& path, unsigned up) {
  if (up + 1 >= path.height_) return false;
  const unsigned depth = path.height_ - 1 - up;
  const Path::Step& above = path.steps_[depth - 1];
  const Pair pair = neighbours(*above.node, above.slot);
  const unsigned most = Node::most_children(kind_);
  if (path.steps_[depth].node->count > most / 4 || pair.left == nullptr) return false;
  const unsigned children = unsigned{pair.left->count} + pair.right->count;
  if (children > most / 4 * 3) return false;
  Node* const both = Node::make(*heap_, kind_, pair.left->level, Node::size_for(kind_, children + 1));
  if (both == nullptr) return false;
  both->append_children(kind_, *pair.left, 0, pair.left->count);
  both->append_children(kind_, *pair.right, 0, pair.right->count);
  both->set_key(kind_, pair.left->count, above.node->key(kind_, pair.slot + 1));
  join_children(path, up + 1, pair.slot, both);
  return true;
}

// Puts one node in the place of two neighbours, whose items or children it has. The node above is `up` levels above the leaf.
void Tree::join_children(Path& path, unsigned up, unsigned slot, Node* both) {
  Node& above = *path.steps_[path.height_ - 1 - up].node;
  std::int64_t change = both->size();
  for (const unsigned i : {slot, slot + 1}) {
    Node* const part = above.children()[i];
    change -= static_cast<std::int64_t>(part->size());
    if (!part->shared()) {
      Node::free(*heap_, part, wipe_);
      continue;
    }
    // Others go on with this part: what it refers to has one holder more.
    if (part->leaf()) {
      keep_blocks(kind_, *part);
    } else {
      for (unsigned child = 0; child < part->count; ++child) part->children()[child]->add_reference();
    }
    discard(part);
  }
  above.children()[slot] = both;
  above.counts()[slot] += above.counts()[slot + 1];
  above.bytes()[slot] += above.bytes()[slot + 1] + static_cast<std::uint64_t>(change);
  above.remove_child(kind_, slot + 1);
  account(path, up, 0, change);
}

}  // namespace pinfold::store
