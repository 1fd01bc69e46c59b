#pragma once
// A tree that a reader has to itself: a snapshot (Tree::share()), or what was cut out of a collection.
//
// A snapshot may become the last holder of millions of nodes, because its key is removed meanwhile. Who reads it to its end gives it up
// with release(), in pieces. But a client may be gone at any moment, and its snapshot with it. So what is left then is freed in pieces by
// others (store/leftovers.hpp).

#include <utility>

#include "pinfold/store/budget.hpp"
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
  KeptTree(KeptTree&&) noexcept = default;
  KeptTree& operator=(KeptTree&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(tree_, other.tree_);
    return *this;
  }
  /// Frees about 16 elements at most, and leaves the rest to Leftovers. If there is no memory for a place among these, it frees all.
  ~KeptTree();

  const Tree& operator*() const { return tree_; }
  const Tree* operator->() const { return &tree_; }
  /// Tree::release().
  bool release(Budget& budget) { return tree_.release(budget); }

 private:
  Memory* memory_ = nullptr;
  Tree tree_;
};

}  // namespace pinfold::store
