#pragma once
// Leftovers: values that nothing refers to any more, and that are too large to be freed in one go.
//
// A removed entry gives up its references with give_up(), which frees little at once. If a value is larger than that, the rest of
// it waits in a list, oldest first. The background worker frees it a piece at a time, and so do requests that need memory.
// Until then its memory counts as used.

#include <cstdint>
#include <functional>
#include <mutex>

#include "pinfold/store/budget.hpp"
#include "pinfold/store/value_type.hpp"

namespace pinfold::store {

/// Thread-safe. No function takes memory, because the link of the list lies in the value itself (ValueType::link()). Every
/// function is O(1) unless it says otherwise.
class Leftovers {
 public:
  Leftovers() = default;
  /// Frees all that is left, however long it takes.
  ~Leftovers();
  Leftovers(const Leftovers&) = delete;
  Leftovers& operator=(const Leftovers&) = delete;

  /// Gives up the reference of `handle`. If it was the last one, frees about 16 elements or 16 KB of the value at most, and no
  /// more than is left of the hold's budget. Keeps the rest for free_some(). The shard may be locked or not.
  void give_up(Handle handle, Budget& budget);
  /// The same for a request, which may free as much for each key that it names.
  void give_up(Handle handle) {
    Budget budget;
    give_up(handle, budget);
  }
  /// Frees a piece of the oldest value, as far as the budget goes. Returns false if there is none, or if another thread is
  /// freeing it. Must be called with nothing locked.
  bool free_some(Budget& budget);

  /// The number of the value that has come last, whether it has been freed or not. Values are numbered from 1 in the order in
  /// which they came; 0: none has come.
  std::uint64_t last() const;
  /// Whether the value with this number and all earlier ones have been freed.
  bool freed(std::uint64_t number) const;
  bool empty() const { return freed(last()); }

  /// Visits all values. O(values); for tests, while no thread is freeing.
  void for_each(const std::function<void(Handle)>& visit) const;

 private:
  void add(Handle handle);

  mutable std::mutex mutex_;
  Handle first_;  // the oldest, and the start of the list
  Handle last_;
  bool freeing_ = false;     // a thread has taken the oldest out of the list and is freeing a piece of it
  std::uint64_t came_ = 0;   // values that have come
  std::uint64_t freed_ = 0;  // values that have been freed
};

}  // namespace pinfold::store
