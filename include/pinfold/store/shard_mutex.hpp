#pragma once
// The lock of a shard, which can tell how long it was held and waited for at most, and what was done meanwhile.

#include <atomic>
#include <cstdint>

#include "pinfold/base/spinning_mutex.hpp"
#include "pinfold/store/lock_account.hpp"

namespace pinfold::store {

/// How long locks were held and waited for since the last reset, while that is measured. Thread-safe.
struct LockTiming {
  std::atomic<std::int64_t> longest_ns{0};      // by the clock: with what the holder was made to wait by the system
  std::atomic<std::int64_t> longest_cpu_ns{0};  // CPU time of the holder
  std::atomic<std::uint64_t> holds{0};
  std::atomic<std::uint64_t> long_holds{0};   // whose holder used more than a millisecond of CPU
  std::atomic<std::uint64_t> waits{0};        // for a lock that was held
  std::atomic<std::uint64_t> waits_slept{0};  // of those, longer than it was worth to spin
  std::atomic<std::int64_t> longest_wait_ns{0};
  void reset() {
    holds.store(0, std::memory_order_relaxed);
    long_holds.store(0, std::memory_order_relaxed);
    longest_ns.store(0, std::memory_order_relaxed);
    longest_cpu_ns.store(0, std::memory_order_relaxed);
    waits.store(0, std::memory_order_relaxed);
    waits_slept.store(0, std::memory_order_relaxed);
    longest_wait_ns.store(0, std::memory_order_relaxed);
  }
};

/// What is noted of the holds of all shards' locks. Off at first. Thread-safe.
class LockWatch {
 public:
  LockTiming timing;
  LockAccount account;

  /// lock-timing and lock-accounting.
  void set_timing(bool on) { set(timed, on); }
  void set_accounting(bool on) { set(counted, on); }
  bool accounting() const { return (what() & counted) != 0; }

 private:
  friend class ShardMutex;
  static constexpr std::uint8_t timed = 1;
  static constexpr std::uint8_t counted = 2;

  std::uint8_t what() const { return what_.load(std::memory_order_relaxed); }
  void set(std::uint8_t one, bool on) { on ? what_.fetch_or(one) : what_.fetch_and(static_cast<std::uint8_t>(~one)); }

  std::atomic<std::uint8_t> what_{0};
};

/// A SpinningMutex; meets Lockable. Nothing being watched costs a comparison.
class ShardMutex {
 public:
  explicit ShardMutex(LockWatch& watch) : watch_(watch) {}
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
  /// If threads wait for the lock, returns when one of them has got it. Only with no shard locked.
  void let_waiters_in() { mutex_.let_waiters_in(); }

 private:
  void wait_and_lock();
  void start();
  void note();
  void note_time();

  SpinningMutex mutex_;
  std::uint8_t watched_ = 0;  // what of this hold; guarded by mutex_, as the next two
  std::int64_t since_ = 0;
  std::int64_t cpu_since_ = 0;
  LockWatch& watch_;
};

/// A std::lock_guard for work that comes back for more, piece by piece: whoever waits for the lock has it before each piece.
/// Only with no other shard locked.
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
