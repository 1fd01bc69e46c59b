#pragma once
// Collections that are too large for their entries: what the handle of a list, set, sorted set or hash points to.
//
// A small collection is packed: a run of elements (element.hpp) in its entry, which the store moves and copies as bytes. A large one is a
// Collection: a block with its counts, and one tree, or two for a sorted set. All types share the operations of ValueType that are
// defined here; src/store/value_type.cpp has their rows.

#include <atomic>
#include <cstdint>
#include <functional>

#include "pinfold/store/tree.hpp"
#include "pinfold/store/value_type.hpp"

namespace pinfold::store {

/// The forms of collections. What OBJECT ENCODING calls them follows from the thresholds that they have passed (hash-max-listpack-entries
/// and their like), and not from how they lie in memory, so these are two things.
enum class Form : std::uint8_t {
  packed_small = 0,    // in the entry, and called listpack
  packed_large = 1,    // in the entry, and called hashtable, skiplist or quicklist
  packed_numbers = 2,  // of a set: an array of numbers in the entry, called intset
  tree_large = 3,      // a Collection, called hashtable, skiplist or quicklist
  tree_small = 4,      // a Collection, called listpack
  tree_numbers = 5,    // of a set: a Collection, called intset
};
constexpr ValueKind kind_of(Type type, Form form) { return ValueKind(type, static_cast<unsigned>(form)); }
constexpr Form form_of(ValueKind kind) { return static_cast<Form>(kind.form()); }

/// A large collection. References are counted, as COPY and readers without a lock need. Changed only by the holder of the only
/// reference, with the shard of its key locked. What only reads may be called by any holder of a reference.
///
/// Collections may share nodes and elements' blocks, after clone(). Each counts all of its blocks in memory(), so the sum over all
/// collections may be more than what the heap has given. A collection that is in no entry is loose (BlockHeap::note_loose) with all of its
/// memory(), also with the nodes that it shares with one that is in an entry. So heap().loose() may be more than the bytes that no entry
/// needs. A collection that is being built counts as loose with its first block alone, until somebody else refers to it.
class Collection {
 public:
  /// A new, empty collection with one reference; null if there is no memory.
  static Collection* make(BlockHeap& heap, Type type);
  /// The collection that a handle of one of these types points to.
  static Collection& of(Handle handle) { return *static_cast<Collection*>(handle.raw()); }
  static OwnedHandle own(Type type, Collection* collection) { return OwnedHandle(Handle(type, collection)); }

  Type type() const { return type_; }
  /// Elements: fields of a hash, members of a set. O(1).
  std::uint64_t size() const { return items.size(); }
  /// Bytes of all its blocks. O(1).
  std::size_t memory() const;
  BlockHeap& heap() { return *heap_; }
  /// Whether the caller's reference is the only one.
  bool unique() const { return references_.load(std::memory_order_acquire) == 1; }
  /// Another collection with the same nodes, which the caller may change: what a write does with a collection that is not unique().
  /// Null if there is no memory. O(1).
  Collection* clone() const;
  /// A reference that keeps the collection as it is now, for a reader without a lock: a write finds it not unique() and clones it. If it
  /// becomes the last one, the collection is freed in pieces, by `leftovers`. O(1).
  OwnedHandle pin(Leftovers& leftovers);

  Tree items;  // list, set, hash; of a sorted set the scored tree
  Tree index;  // of a sorted set
  /// Of a sorted set: items that have been cut out of `items`, and whose members are still in `index`. The index does not mind, but
  /// they take memory. Every write removes some, as does the command that has cut them out.
  Tree debt;

  // The operations of ValueType, which says what they do.
  static bool release(void* raw, Budget& budget);
  static Handle* link(void* raw);
  static void* share(void* raw);
  static void note_stored(void* raw, int sign);
  static void wipe_when_freed(void* raw);
  static bool wipe_slack(void* raw, std::uint64_t erasure, std::uint64_t& at, Budget& budget);
  static ValueType::Recount recount(const void* raw, const std::function<void(const void* block, std::size_t bytes)>& show);

 private:
  Collection(BlockHeap& heap, Type type);
  void settle();
  void note_loose(std::int64_t bytes);

  BlockHeap* heap_ = nullptr;
  std::atomic<std::uint32_t> references_{1};
  std::atomic<std::int32_t> stores_{0};  // entries that refer to it
  std::atomic<std::int64_t> loose_{0};   // the bytes that it has reported as loose
  std::atomic<bool> wipe_when_freed_{false};
  Type type_ = Type::list;
  Handle link_;  // of Leftovers
};

}  // namespace pinfold::store
