#pragma once
// Counted B+ trees of packed items: what a collection that is too large for its entry consists of.
//
// A leaf holds a run of items, as small collections have them in their entries. An inner node knows for each child how many items are
// below it, and where the child begins. So an item is found by its position as well as by its order, in O(log items), and no part of a
// tree is ever built anew as a whole. There is one kind of tree for each use:
//
//   kind     an item is                          items are ordered by
//   list     an element                          position
//   set      an element                          the element's hash
//   hash     two elements: a field, its value    the field's hash
//   scored   a score, an element                 score, and then the element's text
//   index    a member's hash, its score          the hash
//
// Within a leaf of a tree that is ordered by hash, items have no order. They are put in order when the leaf is cut in two. A list and a
// scored tree have a leaf's items in order. Items with the same hash are never separated, so that a look-up reads one leaf.
//
// A sorted set is a scored tree and an index: the index says which score a member has, and the scored tree, searched for member and
// score, whether it is so. The index keeps no member, and of the hash the upper 32 bits, by which it is ordered: 12 bytes for each
// member. So several items may stand for one hash, and an item whose member has gone harms nobody.
//
// Nodes are shared and copied on write. A node has a count of the parents and trees that refer to it. Who wants to change it must be the
// only one, and else makes a copy first. So a copy of a tree, however large, is one more reference to its root, and whoever reads such a
// copy sees one moment of the tree, without a lock. To change an item of a shared tree copies one node of each level.
//
// The nodes are blocks of a BlockHeap, of up to 2 KB. A leaf begins with 512 bytes and grows as it fills, so that a small tree is small.
// A text of more than 512 bytes lies in a block of its own (element.hpp). A tree has its blocks "stored" (Blob::note_stored): so they
// are not loose. What trees take is counted apart (BlockHeap::note_trees). store/tree_node.hpp says how nodes lie in their blocks.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "pinfold/base/block_heap.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/store/budget.hpp"
#include "pinfold/store/element.hpp"

namespace pinfold::store {

enum class TreeKind : std::uint8_t { list, set, hash, scored, index };

struct TreeKey;  // defined in store/tree_node.hpp

/// What an item of a scored tree is: 8 bytes of score, and the member behind them.
struct ScoredItem {
  explicit ScoredItem(const char* at) : at_(at) {}
  double score() const {
    double score = 0;
    std::memcpy(&score, at_, sizeof score);
    return score;
  }
  Element member() const { return Element(at_ + sizeof(double)); }

 private:
  const char* at_;
};

/// What an item of an index is: 4 bytes of hash, and 8 of score.
constexpr std::size_t index_item = sizeof(std::uint32_t) + sizeof(double);

/// The bytes of the item at `at`. O(1).
inline std::size_t item_size(TreeKind kind, const char* at) {
  switch (kind) {
    case TreeKind::hash: {
      const std::size_t field = Element(at).size();
      return field + Element(at + field).size();
    }
    case TreeKind::scored:
      return sizeof(double) + Element(at + sizeof(double)).size();
    case TreeKind::index:
      return index_item;
    default:
      return Element(at).size();
  }
}

/// Not thread-safe; but trees that share nodes may be used by different threads at the same time, because a shared node is never
/// changed. Every function is O(log items) plus the bytes of one leaf, unless it says otherwise. A function that may need memory returns
/// false (or nothing) if the heap gives none. The tree then has the items that it had, but paths into it are no longer valid. None makes
/// a system call, except through the heap.
class Tree {
 public:
  struct Node;  // defined in store/tree_node.hpp
  static constexpr unsigned most_height = 10;

  /// A place in a tree: an item, or the end, or where an item would be inserted. It is valid until a function that changes the tree is
  /// called, or the tree is destroyed.
  class Path {
   public:
    /// Whether find() has met what it looked for.
    bool found() const { return found_; }
    /// The item at this place; null at the end of the tree, and where a set or hash has no item.
    const char* item() const;

   private:
    friend class Tree;
    struct Step {
      Node* node = nullptr;
      std::uint32_t slot = 0;  // of the child; in the leaf the number of the item
    };
    std::array<Step, most_height> steps_;
    std::uint32_t offset_ = 0;  // of the item in its leaf
    unsigned height_ = 0;       // how many steps there are, the leaf included
    bool found_ = false;
  };

  Tree() = default;
  Tree(BlockHeap& heap, TreeKind kind) : heap_(&heap), kind_(kind) {}
  /// Frees all nodes of which this is the last holder, however many they are. release() does it in pieces.
  ~Tree();
  Tree(Tree&& other) noexcept;
  Tree& operator=(Tree&& other) noexcept;

  TreeKind kind() const { return kind_; }
  /// Items. O(1).
  std::uint64_t size() const { return size_; }
  /// Bytes of all its blocks, those included that other trees share. O(1).
  std::uint64_t memory() const { return memory_; }

  /// Another tree with the same nodes. Takes no memory. O(1).
  Tree share() const;
  /// Frees a part of the tree, as far as the budget goes. Returns true when the tree is empty. Until then nothing else may be called.
  bool release(Budget& budget);
  /// Freed nodes and elements' blocks are overwritten from now on. Those that are shared are overwritten when their last holder frees
  /// them, if that one wipes.
  void wipe_when_freed() { wipe_ = true; }
  /// Overwrites the unused bytes of elements' blocks for the erasure with this number, as far as the budget goes. Returns true if
  /// everything is done, in O(1) if it was so before. Nodes keep how far that has come, also those that trees share. They have nothing to
  /// overwrite themselves: bytes that an item leaves are overwritten when it goes. May be called by several holders at the same time.
  bool wipe_slack(std::uint64_t erasure, Budget& budget) const;

  // --- places ---

  /// The place of the item with this number; size(): the end.
  Path at(std::uint64_t position) const;
  /// How many items are before the place.
  std::uint64_t position_of(const Path& path) const;
  /// Goes to the next item. Returns false at the end. O(1) on average.
  bool next(Path& path) const;
  /// Goes to the item before. Returns false, and does not move, if there is none. Within a leaf O(items of the leaf).
  bool previous(Path& path) const;
  /// Calls `visit(const char* item)` for up to `count` items from the place on, while it returns true, and moves the place behind the
  /// last one visited. Returns how many were visited. Reports them to base/work.hpp. The fast way to read many items.
  template <class Visit>
  std::uint64_t visit(Path& path, std::uint64_t count, Visit&& visit) const {
    std::uint64_t visited = 0;
    for (bool more = true; more && visited < count;) {
      const Items items = rest_of_leaf(path);
      if (items.count == 0) break;
      const auto most = static_cast<std::uint32_t>(std::min<std::uint64_t>(items.count, count - visited));
      const char* item = items.first;
      std::uint32_t here = 0;
      for (; here < most && more; ++here) {
        more = visit(item);
        item += item_size(kind_, item);
      }
      visited += here;
      pass(path, here, static_cast<std::uint32_t>(item - items.first));
    }
    work::entries(visited);
    return visited;
  }
  /// The same backwards in a list or scored tree, with the items before the place: the last one first. Moves the place to the last one
  /// visited.
  template <class Visit>
  std::uint64_t visit_back(Path& path, std::uint64_t count, Visit&& visit) const {
    std::uint64_t visited = 0;
    for (bool more = true; more && visited < count;) {
      std::array<std::uint16_t, most_in_order> offsets;
      const Items items = start_of_leaf(path);
      if (items.count == 0) break;
      const char* item = items.first;
      for (std::uint32_t i = 0; i < items.count; ++i) {
        offsets[i] = static_cast<std::uint16_t>(item - items.first);
        item += item_size(kind_, item);
      }
      std::uint32_t left = items.count;
      for (; left > 0 && more && visited < count; ++visited) more = visit(items.first + offsets[--left]);
      set_in_leaf(path, left, offsets[left]);
    }
    work::entries(visited);
    return visited;
  }

  /// In a set or hash: the item with this member or field, or the place where it would be inserted. `hash` is that of the element.
  Path find(const PackedElement& element, std::uint64_t hash) const;
  /// In a scored tree: the item with this score and member, or the first item behind it, before which it would be inserted.
  Path find(double score, std::string_view member) const;
  /// In a scored tree: the first item with this score or a higher one; with `beyond`, with a higher one.
  Path lower_bound(double score, bool beyond = false) const;
  /// In a set or hash: the first item of the leaf in which items with this hash lie. All items with a hash of `hash` or more are at this
  /// place or behind it, beside others.
  Path from_hash(std::uint64_t hash) const;
  /// In a set or hash: the least hash that the leaf behind that of `path` may have; 0 if there is none. For cursors: when all items of a
  /// leaf have been visited, the next ones are those from this hash on.
  std::uint64_t next_hash(const Path& path) const;

  /// In an index: calls `visit(double score)` with each score that a member with this hash may have, until it returns true. Returns
  /// whether it did.
  template <class Visit>
  bool scores(std::uint64_t hash, Visit&& visit) const {
    std::uint32_t key = 0;
    Items items = leaf_of_hash(hash, key);
    work::entries();
    for (; items.count > 0; --items.count, items.first += index_item) {
      std::uint32_t here = 0;
      std::memcpy(&here, items.first, sizeof here);
      if (here != key) continue;
      double score = 0;
      std::memcpy(&score, items.first + sizeof here, sizeof score);
      if (visit(score)) return true;
    }
    return false;
  }

  /// Items that lie one behind the other.
  struct Leaf {
    const char* first = nullptr;
    std::uint32_t count = 0;
  };
  /// Finds the leaves that this tree does not share with another one of its kind, and those of the other that this one does not share: what
  /// writes have changed since one was the other. Returns false if either are more than `most`. O(nodes that are not shared, and their
  /// children).
  bool unshared_leaves(const Tree& other, std::size_t most, std::vector<Leaf>& mine, std::vector<Leaf>& others) const;

  // --- changes ---

  // The paths must come from this tree, with no change between. Items are in packed form; references to blocks in them belong to the
  // tree when the function has returned true.

  /// Inserts before the place that at(), find() or lower_bound() have returned. In a set or hash the path must be that of a find() which
  /// has found nothing.
  bool insert(const Path& path, std::string_view item);
  /// Replaces an item: gives up the references to blocks of the old one, and takes over those of the new one. In an ordered tree the new
  /// one must belong to the same place (a field with another value).
  bool replace(const Path& path, std::string_view item);
  /// Removes an item, and gives up the references to its blocks. An emptied node goes; a node with few items is joined with a neighbour.
  bool erase(const Path& path);
  /// In an index: adds an item, or removes one item with this hash and score. Returns false also if there is none to remove.
  bool insert_score(std::uint64_t hash, double score);
  bool erase_score(std::uint64_t hash, double score);
  /// Takes the items from `from` up to and without `to`, as many of them as there are, out of the tree. They are a tree of their own then.
  /// In a list or scored tree they are those with these positions; in a tree ordered by hash, those with these ranks in the order of
  /// hashes, which within a leaf is not that of positions. Visits and copies O(log items) nodes, however many items they are. Nothing if
  /// there is no memory, or if items with the same hash would be separated.
  std::optional<Tree> cut(std::uint64_t from, std::uint64_t to);
  /// In a list or scored tree: puts the items of another tree behind those that there are; `other` is empty then. In a scored tree they
  /// need not belong there, but then it can be read and cut by position only (Collection::debt).
  bool append(Tree& other);

  // --- for tests ---

  struct Audit {
    std::uint64_t items = 0;
    std::uint64_t memory = 0;
    bool consistent = true;  // counts, order, fill and references
  };
  Audit audit() const;
  /// Calls `show` for each block of which the tree consists, those of elements included. O(blocks).
  void for_each_block(const std::function<void(const void* block, std::size_t bytes)>& show) const;

 private:
  static constexpr unsigned most_in_order = 256;  // items of a leaf of a list or scored tree

  /// Items that lie one behind the other in a leaf.
  struct Items {
    const char* first = nullptr;
    std::uint32_t count = 0;
  };
  struct Needle;

  bool release_leaf(Node& leaf, Budget& budget);

  // reading (src/store/tree.cpp)
  Items rest_of_leaf(const Path& path) const;
  Items start_of_leaf(Path& path) const;
  Items leaf_of_hash(std::uint64_t hash, std::uint32_t& key) const;
  void pass(Path& path, std::uint32_t items, std::uint32_t bytes) const;
  static void set_in_leaf(Path& path, std::uint32_t slot, std::uint32_t offset);
  static bool go_to_next_leaf(Path& path);
  static bool go_to_leaf_before(Path& path);
  Path leaf_of_key(std::uint64_t key) const;
  Path find_score(std::uint64_t hash, double score) const;
  Path find_needle(const Needle& needle) const;

  // changes (src/store/tree_change.cpp)
  bool own(Path& path);
  bool plant(std::string_view item);
  bool put(Path& path, bool replaced, std::string_view item);
  bool resize_leaf(Path& path, std::size_t bytes, bool to_end);
  void set_in_place(Path& path, bool replaced, std::string_view item);
  bool cut_leaf(Path& path, bool replaced, std::string_view item);
  bool add_end_leaf(Path& path, bool behind, std::string_view item);
  bool make_room(Path& path, unsigned up);
  bool raise(Path& path);
  bool grow_inner(Path& path, unsigned up);
  bool split_inner(Path& path, unsigned up);
  void link(Path& path, unsigned up, Node* node);
  void account(const Path& path, unsigned up, std::int64_t items, std::int64_t bytes);
  void note_blocks(const Path& path);
  void set_first_key(const Path& path, unsigned up, const TreeKey& key);
  void remove_node(Path& path);
  void lower();
  void tidy(Path& path);
  bool join_leaf(Path& path);
  bool join_inner(Path& path, unsigned up);
  void join_children(Path& path, unsigned up, unsigned slot, Node* both);
  void copy_node(Node& to, const Node& from, unsigned but);
  void discard(Node* node);

  // cutting (src/store/tree_cut.cpp)
  struct Part;
  Node* leaf_of(const Node& old, std::uint64_t from, std::uint64_t to);
  struct Cutting;
  bool slice_leaf(const Node& old, std::uint64_t from, std::uint64_t to, Cutting& cutting, Part& part);
  bool slice(const Part& whole, std::uint64_t from, std::uint64_t to, Cutting& cutting, Part& part);
  std::optional<Tree> part(std::uint64_t from, std::uint64_t to, Cutting& cutting);
  bool append(Tree& other, const TreeKey& begin);
  bool attach(Tree& other, bool behind, const TreeKey& begin);
  void mend(std::uint64_t position);

  BlockHeap* heap_ = nullptr;
  Node* root_ = nullptr;
  std::uint64_t size_ = 0;
  std::uint64_t memory_ = 0;
  TreeKind kind_ = TreeKind::list;
  bool wipe_ = false;
};

}  // namespace pinfold::store
