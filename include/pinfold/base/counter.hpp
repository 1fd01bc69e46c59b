#pragma once
// Counters that one thread writes and any thread reads.

#include <atomic>
#include <cstdint>

namespace pinfold {

/// A statistic with a single writer: adding is a plain load and store, with no locked instruction.
class Counter {
 public:
  void add(std::uint64_t n = 1) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  void set(std::uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

}  // namespace pinfold
