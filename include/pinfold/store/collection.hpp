#pragma once
// Collections that are too large for their entries: what the handle of a list, set, sorted set or hash points to.
//
// A small collection is packed: a run of elements (element.hpp) in its entry, which the store moves and copies as bytes. A large one is a
// Collection: a block with its counts, and one tree, or two for a sorted set. All types share the operations of ValueType that are
// defined here; src/store/value_type.cpp has their rows.

#include <atomic>
#include <cstdint>

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
  /// A reference that keeps the collection as it is now, for a reader without a lock: a write finds it not unique() and clones it. O(1).
  OwnedHandle pin();

  Tree items;  // list, set, hash; of a sorted set the scored tree
  Tree index;  // of a sorted set
  /// Of a sorted set: items that have been cut out of `items`, and whose members are still in `index`. The index does not mind, but
  /// they take memory. Every write removes some, as does the command that has cut them out.
  Tree debt;

 private:
  friend const ValueType& collection_type(Type type);
  // ... the implementation adds what it needs: references, stores, wiping, the link of Leftovers, the erasure
  BlockHeap* heap_ = nullptr;
  std::atomic<std::uint32_t> references_{1};
  Type type_ = Type::list;
};

}  // namespace pinfold::store
