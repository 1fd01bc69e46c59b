#pragma once
// A mutex that is held very briefly: it spins before it sleeps.
//
// Sleeping for a lock costs two system calls and a change of threads, which is more than twenty requests cost. A lock of the store
// is free again after a fraction of a microsecond. So a waiting thread first reads the lock, without writing, for about as long as a
// few holds last. It sleeps only then, because the holder may have lost its core.
//
// The lock is not fair: a thread that sleeps has no chance against one that is awake. So a thread that takes the lock again and
// again (the background) has to let waiting threads in before each time.

#include <atomic>
#include <cstdint>

namespace pinfold {

/// Tells the core that this loop waits. The loop then takes less from the other hardware thread of the core, and ends faster.
void pause_processor();

/// Meets Lockable. Not recursive.
class SpinningMutex {
 public:
  SpinningMutex() = default;
  SpinningMutex(const SpinningMutex&) = delete;
  SpinningMutex& operator=(const SpinningMutex&) = delete;

  void lock() {
    if (!take()) [[unlikely]]
      wait_and_lock();
  }
  /// Does not read the lock before it tries the exchange: if another core had the lock last, that would fetch the cache line twice.
  bool try_lock() { return take(); }
  void unlock() {
    if (state_.exchange(free) == held_and_slept_for) [[unlikely]]
      state_.notify_one();
  }

  /// Locks after try_lock() has failed. Returns whether it slept.
  bool wait_and_lock();
  /// How many threads are waiting at this moment.
  unsigned waiting() const { return waiting_.load(std::memory_order_relaxed); }
  /// If threads wait for the lock, returns when one of them has got it. The caller must not hold a lock that they might need.
  void let_waiters_in() {
    if (waiting() > 0) [[unlikely]]
      await_turn();
  }

 private:
  enum State : std::uint32_t { free, held, held_and_slept_for };

  bool take() {
    std::uint32_t expected = free;
    return state_.compare_exchange_strong(expected, held, std::memory_order_acquire, std::memory_order_relaxed);
  }
  bool spin();
  void await_turn();

  std::atomic<std::uint32_t> state_{free};
  std::atomic<std::uint32_t> waiting_{0};
  std::atomic<std::uint32_t> let_in_{0};  // how often a waiting thread has got the lock
};

}  // namespace pinfold
