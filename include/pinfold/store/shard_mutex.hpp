#pragma once
// The lock of a shard. It counts how often and how long threads wait for it. It can measure how long they hold it, and count the
// work that is done meanwhile: the settings lock-timing and lock-accounting switch that on.

#include <atomic>
#include <cstdint>

#include "pinfold/base/spinning_mutex.hpp"
#include "pinfold/store/lock_account.hpp"

namespace pinfold::store {

/// How often and how long threads have waited for a shard's lock since the last reset. Guarded by that lock.
struct LockWaits {
  std::uint64_t waits = 0;       // how often a thread found the lock held
  std::uint64_t slept = 0;       // how many of these waits went to sleep after spinning
  std::uint64_t ticks = 0;       // all waits together, of the processor's counter (ThreadClock::ticks)
  std::uint64_t most_ticks = 0;  // the longest
};

/// How long the locks of all shards were held since the last reset, while lock-timing was on.
/// Thread-safe: every figure is atomic by itself. A hold is the time from locking one shard to unlocking it.
struct LockTiming {
  std::atomic<std::int64_t> longest_ns{0};      // by the clock, which includes time in which the holder had no core
  std::atomic<std::int64_t> longest_cpu_ns{0};  // in CPU time of the holder
  std::atomic<std::uint64_t> holds{0};
  std::atomic<std::uint64_t> long_holds{0};  // holds of more than a millisecond of CPU time
  void reset() {
    holds.store(0, std::memory_order_relaxed);
    long_holds.store(0, std::memory_order_relaxed);
    longest_ns.store(0, std::memory_order_relaxed);
    longest_cpu_ns.store(0, std::memory_order_relaxed);
  }
};

/// What is recorded about the holds of all shards' locks; one for the keyspace. Nothing is recorded at first.
/// Thread-safe.
class LockWatch {
 public:
  LockTiming timing;
  LockAccount account;

  /// The settings lock-timing and lock-accounting. They are in force for holds that begin afterwards.
  void set_timing(bool on) { set(timed, on); }
  void set_accounting(bool on) { set(counted, on); }
  bool accounting() const { return (what() & counted) != 0; }

 private:
  friend class ShardMutex;
  static constexpr std::uint8_t timed = 1;
  static constexpr std::uint8_t counted = 2;

  std::uint8_t what() const { return what_.load(std::memory_order_relaxed); }
  void set(std::uint8_t one, bool on) {
    if (on) {
      what_.fetch_or(one);
    } else {
      what_.fetch_and(static_cast<std::uint8_t>(~one));
    }
  }

  std::atomic<std::uint8_t> what_{0};
};

/// A SpinningMutex that records its holds in a LockWatch, and waits for it in a LockWaits. Both must outlive it. Meets Lockable; not
/// recursive. While no holds are recorded it costs one comparison more than a SpinningMutex.
class ShardMutex {
 public:
  ShardMutex(LockWatch& watch, LockWaits& waits) : watch_(watch), waits_(waits) {}
  ShardMutex(const ShardMutex&) = delete;
  ShardMutex& operator=(const ShardMutex&) = delete;

  void lock() {
    if (!mutex_.try_lock()) [[unlikely]]
      wait_and_lock();
    if (watch_.what() != 0) [[unlikely]]
      start();
  }
  bool try_lock() {
    if (!mutex_.try_lock()) return false;
    if (watch_.what() != 0) [[unlikely]]
      start();
    return true;
  }
  void unlock() {
    if (watched_ != 0) [[unlikely]]
      note();
    mutex_.unlock();
  }
  /// How many threads wait for the lock at this moment.
  unsigned waiting() const { return mutex_.waiting(); }
  /// If threads are waiting for the lock, returns once one of them has got it. The caller must hold no shard's lock.
  void let_waiters_in() { mutex_.let_waiters_in(); }

 private:
  void wait_and_lock();
  void start();
  void note();
  void note_time();

  SpinningMutex mutex_;
  std::uint8_t watched_ = 0;    // what is recorded of this hold; guarded by mutex_, like the next two
  std::int64_t since_ = 0;      // when it began, in nanoseconds
  std::int64_t cpu_since_ = 0;  // the same in CPU time of the thread
  LockWatch& watch_;
  LockWaits& waits_;
};

/// A std::lock_guard for work that takes the same lock many times, piece by piece. A thread that is waiting gets the
/// lock before each piece; otherwise it might never get it, because the lock is not fair. Must be used with no other shard
/// locked.
class LockAfterWaiters {
 public:
  explicit LockAfterWaiters(ShardMutex& mutex) : mutex_(mutex) {
    mutex_.let_waiters_in();
    mutex_.lock();
  }
  ~LockAfterWaiters() { mutex_.unlock(); }
  LockAfterWaiters(const LockAfterWaiters&) = delete;
  LockAfterWaiters& operator=(const LockAfterWaiters&) = delete;

 private:
  ShardMutex& mutex_;
};

}  // namespace pinfold::store
