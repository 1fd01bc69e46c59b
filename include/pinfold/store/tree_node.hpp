#pragma once
// The nodes of trees (store/tree.hpp): how they lie in their blocks.
//
// A leaf: the header, a gap, the run of items, and room for more. The gap lets items be added and removed at the front without moving the
// others. An inner node: the header, and arrays of what it knows of its children, side by side so that the search reads few cache lines.
//
//   keys      where each child but the first begins. By hash: the least hash that the child may have. Scored: the score of its first item,
//             as a number with the same order. Not in lists.
//   prefixes  only scored: the first 8 bytes of that item's member. Children may have the same key and prefix; then their first items tell.
//   children, counts (items below), bytes (memory below, elements' blocks included)
//
// The bytes of a node that hold nothing are zero, always. So an erasure has nothing to overwrite in nodes.

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "pinfold/store/tree.hpp"

namespace pinfold::store {

constexpr bool by_hash(TreeKind kind) { return kind >= TreeKind::set && kind != TreeKind::scored; }

/// Where a child begins.
struct TreeKey {
  std::uint64_t key = 0;
  std::uint64_t prefix = 0;
  friend auto operator<=>(const TreeKey&, const TreeKey&) = default;
};

/// The key by which an item with this hash is ordered. An index keeps only the upper 32 bits of the hash, and so is ordered by these.
constexpr std::uint64_t hash_key(TreeKind kind, std::uint64_t hash) {
  return kind == TreeKind::index ? hash >> (element_hash_bits - 32) : hash;
}
/// The key of an item in a tree that is ordered by hash. O(size).
std::uint64_t hash_key_of(TreeKind kind, const char* item);
/// The keys of an item, or of a score and a member, in a scored tree.
TreeKey scored_key(double score, std::string_view member);
TreeKey scored_key_of(const char* item);

struct alignas(8) Tree::Node {
  static constexpr unsigned header = 16;
  static constexpr unsigned most_size = 2048;
  /// A leaf is larger if it was cut beside a long item, or if all its items have the same hash.
  static constexpr unsigned most_size_of_equals = 31 * BlockHeap::unit;
  static constexpr unsigned most_equals = 1024;  // items

  std::atomic<std::uint32_t> references;
  std::atomic<std::uint32_t> wiped;  // the erasure that has overwritten what elements' blocks had left, here and below
  std::uint16_t count;               // items; of an inner node children
  std::uint16_t begin;               // where the run of items begins; of an inner node how many children there is room for
  std::uint16_t end;                 // where the run ends
  std::uint8_t level : 4;            // 0: a leaf
  std::uint8_t has_blocks : 1;       // whether elements here or below may lie in blocks
  std::uint8_t units;

  /// A node with one reference and nothing in it; null if there is no memory.
  static Node* make(BlockHeap& heap, TreeKind kind, unsigned level, std::size_t size);
  /// Frees only this node's block.
  static void free(BlockHeap& heap, Node* node, bool wipe);

  char* at(unsigned offset) { return reinterpret_cast<char*>(this) + offset; }
  const char* at(unsigned offset) const { return reinterpret_cast<const char*>(this) + offset; }
  unsigned size() const { return units * unsigned{BlockHeap::unit}; }
  bool leaf() const { return level == 0; }
  bool shared() const { return references.load(std::memory_order_acquire) != 1; }
  void add_reference() { references.fetch_add(1, std::memory_order_relaxed); }

  // --- leaves ---

  unsigned used() const { return end - unsigned{begin}; }
  unsigned room() const { return size() - header; }
  /// Puts `item` in the place of the `removed` bytes at `offset`. Requires that it fits into room(). O(bytes of the run that move).
  void splice(unsigned offset, unsigned removed, std::string_view item);
  /// The offset of the item with this number. O(number).
  unsigned offset_of(TreeKind kind, unsigned number) const;
  /// Adds bytes that are one or more items at the end.
  void append(std::string_view items, unsigned number) {
    std::memcpy(at(end), items.data(), items.size());
    end = static_cast<std::uint16_t>(end + items.size());
    count = static_cast<std::uint16_t>(count + number);
  }
  /// Moves the run of a leaf that has just been filled to the end of its block.
  void move_to_end();

  // --- inner nodes ---

  static unsigned bytes_per_child(TreeKind kind) { return kind == TreeKind::list ? 24 : (kind == TreeKind::scored ? 40 : 32); }
  static unsigned most_children(TreeKind kind) { return (most_size - header) / bytes_per_child(kind); }
  static std::size_t size_for(TreeKind kind, unsigned children) { return header + std::size_t{children} * bytes_per_child(kind); }

  unsigned capacity() const { return begin; }
  Node** children() { return reinterpret_cast<Node**>(at(header)); }
  Node* const* children() const { return reinterpret_cast<Node* const*>(at(header)); }
  std::uint64_t* counts() { return array(1); }
  const std::uint64_t* counts() const { return array(1); }
  std::uint64_t* bytes() { return array(2); }
  const std::uint64_t* bytes() const { return array(2); }
  std::uint64_t* keys() { return array(3); }  // not of a list
  const std::uint64_t* keys() const { return array(3); }
  std::uint64_t* prefixes() { return array(4); }  // only scored
  const std::uint64_t* prefixes() const { return array(4); }

  TreeKey key(TreeKind kind, unsigned slot) const;
  void set_key(TreeKind kind, unsigned slot, const TreeKey& key);
  /// What an inner node knows of a child.
  struct Child {
    Node* node = nullptr;
    std::uint64_t count = 0;
    std::uint64_t bytes = 0;
    TreeKey key = {};
  };
  Child child(TreeKind kind, unsigned slot) const;
  void set_child(TreeKind kind, unsigned slot, const Child& child);
  /// Requires count < capacity().
  void insert_child(TreeKind kind, unsigned slot, const Child& child);
  void remove_child(TreeKind kind, unsigned slot);
  /// Copies children of another node behind those that there are. Counts no references.
  void append_children(TreeKind kind, const Node& from, unsigned slot, unsigned number);
  std::uint64_t sum_counts() const { return sum(counts()); }
  std::uint64_t sum_bytes() const { return sum(bytes()); }
  /// The slot of the last child that begins at `key` or before.
  unsigned slot_of(std::uint64_t key) const;

 private:
  std::uint64_t* array(unsigned number) { return reinterpret_cast<std::uint64_t*>(at(header)) + std::size_t{number} * begin; }
  const std::uint64_t* array(unsigned number) const {
    return reinterpret_cast<const std::uint64_t*>(at(header)) + std::size_t{number} * begin;
  }
  std::uint64_t sum(const std::uint64_t* numbers) const {
    std::uint64_t sum = 0;
    for (unsigned i = 0; i < count; ++i) sum += numbers[i];
    return sum;
  }
};

/// The first item below a node.
inline const char* first_item(const Tree::Node* node) {
  while (!node->leaf()) node = node->children()[0];
  return node->at(node->begin);
}

/// Calls `visit(const char* item, unsigned size)` for each item of a leaf.
template <class Visit>
void for_each_item(TreeKind kind, const Tree::Node& leaf, Visit&& visit) {
  const char* const end = leaf.at(leaf.end);
  for (const char* item = leaf.at(leaf.begin); item < end;) {
    const std::size_t size = item_size(kind, item);
    visit(item, static_cast<unsigned>(size));
    item += size;
  }
}

/// Calls `visit(void* block)` for each block to which the elements of an item refer.
template <class Visit>
void for_each_block_of(TreeKind kind, const char* item, Visit&& visit) {
  if (kind == TreeKind::index) return;
  const Element first(kind == TreeKind::scored ? item + sizeof(double) : item);
  if (first.is_block()) visit(first.block());
  if (kind != TreeKind::hash) return;
  const Element second(first.end());
  if (second.is_block()) visit(second.block());
}

inline std::size_t memory_of_block(void* block) {
  return Blob::borrow(block, [](const Blob& blob) { return blob.memory(); });
}
/// The bytes of the blocks to which an item refers.
inline std::size_t memory_of_blocks(TreeKind kind, const char* item) {
  std::size_t bytes = 0;
  for_each_block_of(kind, item, [&](void* block) { bytes += memory_of_block(block); });
  return bytes;
}
/// The bytes of the blocks to which the items of a leaf refer.
inline std::size_t memory_of_leaf_blocks(TreeKind kind, const Tree::Node& leaf) {
  std::size_t bytes = 0;
  if (leaf.has_blocks) for_each_item(kind, leaf, [&](const char* item, unsigned) { bytes += memory_of_blocks(kind, item); });
  return bytes;
}
/// One more reference to a block, for another leaf that has a copy of the item.
inline void keep_block(void* block) {
  Blob::share(block).detach();
  Blob::note_in_tree(block, 1);
}
inline void give_up_block(void* block, bool wipe) {
  Blob::note_in_tree(block, -1);
  if (wipe) Blob::wipe_when_freed(block);
  Blob::release(block);
}
/// Counts references for a copy of the leaf.
inline void keep_blocks(TreeKind kind, const Tree::Node& leaf) {
  if (!leaf.has_blocks) return;
  for_each_item(kind, leaf, [&](const char* item, unsigned) { for_each_block_of(kind, item, keep_block); });
}

}  // namespace pinfold::store
