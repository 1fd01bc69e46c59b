#pragma once
// The lock of a shard, which can tell how long it was held at most.

#include <atomic>
#include <cstdint>
#include <mutex>

namespace pinfold::store {

/// How long locks were held since the last reset, while `on`. Thread-safe.
struct LockTiming {
  std::atomic<bool> on{false};
  std::atomic<std::int64_t> longest_ns{0};      // by the clock: with what the holder was made to wait by the system
  std::atomic<std::int64_t> longest_cpu_ns{0};  // CPU time of the holder
  std::atomic<std::uint64_t> holds{0};
  std::atomic<std::uint64_t> long_holds{0};  // whose holder used more than a millisecond of CPU
  void reset() {
    holds.store(0, std::memory_order_relaxed);
    long_holds.store(0, std::memory_order_relaxed);
    longest_ns.store(0, std::memory_order_relaxed);
    longest_cpu_ns.store(0, std::memory_order_relaxed);
  }
};

/// A std::mutex; meets Lockable. Timing off costs a comparison, on two system calls.
class ShardMutex {
 public:
  explicit ShardMutex(LockTiming& timing) : timing_(timing) {}
  ShardMutex(const ShardMutex&) = delete;
  ShardMutex& operator=(const ShardMutex&) = delete;

  void lock() {
    mutex_.lock();
    if (timing_.on.load(std::memory_order_relaxed)) [[unlikely]] start();
  }
  bool try_lock() {
    if (!mutex_.try_lock()) return false;
    if (timing_.on.load(std::memory_order_relaxed)) [[unlikely]] start();
    return true;
  }
  void unlock() {
    if (since_ != 0) [[unlikely]] note();
    mutex_.unlock();
  }

 private:
  void start();
  void note();

  std::mutex mutex_;
  std::int64_t since_ = 0;  // 0: not timed; guarded by mutex_, as the next
  std::int64_t cpu_since_ = 0;
  LockTiming& timing_;
};

}  // namespace pinfold::store
