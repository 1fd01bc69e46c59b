#pragma once
// A mutex for what is held very briefly: it spins before it sleeps.
//
// A thread that sleeps for a lock costs two system calls and a change of threads, more than twenty requests cost; a lock of
// the store is free again after a fraction of a microsecond. So whoever waits looks at the lock for about as long as a few
// holds last, without writing, and sleeps only then: the holder may have lost its core.
//
// The lock is not fair. Whoever takes it again and again while others wait (the background) has to let them in before each
// time, because one that sleeps has no chance against one that is awake.

#include <atomic>
#include <cstdint>

namespace pinfold {

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
  /// Without a look first: where another core had the lock last, that would fetch its cache line twice.
  bool try_lock() { return take(); }
  void unlock() {
    if (state_.exchange(free) == held_and_slept_for) [[unlikely]]
      state_.notify_one();
  }

  /// What lock() does when try_lock() has failed. Returns whether it slept.
  bool wait_and_lock();
  /// How many threads are waiting at this moment.
  unsigned waiting() const { return waiting_.load(std::memory_order_relaxed); }
  /// If threads wait for the lock, returns when one of them has got it. Only with no lock held that they might need.
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
  std::atomic<std::uint32_t> let_in_{0};  // how often one that waited has got the lock
};

}  // namespace pinfold
