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
/// collections may be more than what the heap has given. The heap is told the bytes of the trees of collections that are in entries
/// (BlockHeap::note_stored_trees), so that it knows those that are in none. A clone of a collection that stays in another entry shares its
/// nodes with that one, and tells only what it has become larger by (count_beside). So heap().unstored_trees() is not less than the bytes
/// that no entry needs. It is more if the first of two such collections has gone.
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
  /// Whether it is the value of an entry. If it is not, it is a version that somebody still reads. Needs no lock.
  bool stored() const { return stores() > 0; }
  /// How many entries refer to it.
  std::int32_t stores() const { return stores_.load(std::memory_order_relaxed); }
  /// To be called when a collection that is in one entry alone has become larger by so many bytes, without having left the entry.
  void note_growth(std::int64_t bytes);
  /// To be called before a clone of `other` gets into an entry while `other` stays in another one.
  void count_beside(const Collection& other) { counted_elsewhere_ = other.tree_memory(); }
  /// Another collection with the same nodes, which the caller may change: what a write does with a collection that is not unique().
  /// Null if there is no memory. O(1).
  Collection* clone() const;
  /// A reference that keeps the collection as it is now, for a reader without a lock: a write finds it not unique() and clones it. If it
  /// becomes the last one, the collection is freed in pieces, by `leftovers`. O(1).
  OwnedHandle pin(Leftovers& leftovers) const;

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
  std::uint64_t tree_memory() const { return items.memory() + index.memory() + debt.memory(); }

  BlockHeap* heap_ = nullptr;
  std::atomic<std::uint32_t> references_{1};
  std::atomic<std::int32_t> stores_{0};  // entries that refer to it
  std::atomic<std::int64_t> told_{0};    // bytes of its trees, as told to the heap while it is in an entry
  std::uint64_t counted_elsewhere_ = 0;  // bytes that a collection in another entry, of which it is a clone, has told
  std::atomic<bool> wipe_when_freed_{false};
  Type type_ = Type::list;
  Handle link_;  // of Leftovers
};

/// What a reader's reference (Collection::pin) keeps from being freed: the bytes of its collection; 0 without one.
inline std::uint64_t memory_of_pin(const OwnedHandle& pin) { return pin ? Collection::of(pin.get()).memory() : 0; }
/// The same, but 0 as long as the collection is the value of an entry, which then keeps it as well. Needs no lock.
inline std::uint64_t loose_memory_of_pin(const OwnedHandle& pin) {
  return pin && !Collection::of(pin.get()).stored() ? memory_of_pin(pin) : 0;
}

}  // namespace pinfold::store
