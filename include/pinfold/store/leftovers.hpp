#pragma once
// Values that were given up and are too large to be freed in one go.
//
// An entry that goes gives up its references with a small budget (give_up). What is left of a value then is nobody's any more: it waits
// here, in the order of coming, and is freed a piece at a time by the background and by requests that need the memory. Until then it is in
// the account. Nothing here takes memory: a value keeps its place in the list in itself (ValueType::link). Thread-safe.

#include <cstdint>
#include <functional>
#include <mutex>

#include "pinfold/store/budget.hpp"
#include "pinfold/store/value_type.hpp"

namespace pinfold::store {

class Leftovers {
 public:
  Leftovers() = default;
  ~Leftovers();
  Leftovers(const Leftovers&) = delete;
  Leftovers& operator=(const Leftovers&) = delete;

  /// Gives up a reference, with the shard locked or not: frees a little, and keeps the rest for later.
  void give_up(Handle handle);
  /// Frees a piece of the oldest. False if there is none, or another thread is at it. With nothing locked.
  bool free_some(Budget& budget);

  /// The number of the value that came last; whether that and all before it have been freed.
  std::uint64_t last() const;
  bool freed(std::uint64_t number) const;
  bool empty() const { return freed(last()); }

  /// For tests, while no thread is freeing.
  void for_each(const std::function<void(Handle)>& visit) const;

 private:
  void add(Handle handle);

  mutable std::mutex mutex_;
  Handle first_;  // the oldest, and the start of the list
  Handle last_;
  bool freeing_ = false;  // the oldest is out of the list, and a thread at work at it
  std::uint64_t came_ = 0;
  std::uint64_t freed_ = 0;
};

}  // namespace pinfold::store
