#pragma once
// A tree that a reader keeps as it is: that of a collection (Collection::pin()), or one of its own, such as what was cut out of a
// collection.
//
// The reader may become the last holder of millions of nodes, because the key is removed meanwhile. Who reads a tree of its own to its end
// gives it up with release(), in pieces. But a client may be gone at any moment, and its tree with it. So what is left then is freed in
// pieces by others (store/leftovers.hpp), as are collections.

#include <utility>

#include "pinfold/store/budget.hpp"
#include "pinfold/store/collection.hpp"
#include "pinfold/store/tree.hpp"

namespace pinfold::store {

class Memory;

/// Not thread-safe, and nothing may be locked that cannot wait for 16 elements to be freed.
class KeptTree {
 public:
  /// No tree.
  KeptTree() = default;
  /// `memory` must outlive it: that of the tree.
  KeptTree(Memory& memory, Tree&& tree) : memory_(&memory), tree_(std::move(tree)) {}
  /// The items of a collection as they are now. To be called with its shard locked. O(1).
  KeptTree(Memory& memory, const Collection& collection);
  KeptTree(KeptTree&&) noexcept = default;
  KeptTree& operator=(KeptTree&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(tree_, other.tree_);
    std::swap(pin_, other.pin_);
    return *this;
  }
  /// Frees about 16 elements at most, and leaves the rest to Leftovers. If there is no memory for a place among these, it frees all.
  ~KeptTree();

  const Tree& operator*() const { return pin_ ? Collection::of(pin_.get()).items : tree_; }
  const Tree* operator->() const { return &**this; }
  /// Tree::release(). A collection is given up at once.
  bool release(Budget& budget) {
    pin_ = {};
    return tree_.release(budget);
  }

  /// What it keeps from being freed, in bytes, and the part of this that no entry keeps: all, or nothing. O(1), with nothing locked.
  std::uint64_t memory() const { return tree_.memory() + memory_of_pin(pin_); }
  std::uint64_t loose_memory() const { return tree_.memory() + loose_memory_of_pin(pin_); }

 private:
  Memory* memory_ = nullptr;
  Tree tree_;
  OwnedHandle pin_;
};

}  // namespace pinfold::store
