#include "pinfold/store/shard_mutex.hpp"

#include <algorithm>
#include <ctime>

#include "pinfold/base/thread_clock.hpp"
#include "pinfold/base/waits.hpp"

namespace pinfold::store {

namespace {

std::int64_t nanoseconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void raise_to(std::atomic<std::int64_t>& longest, std::int64_t value) {
  std::int64_t known = longest.load(std::memory_order_relaxed);
  while (value > known && !longest.compare_exchange_weak(known, value, std::memory_order_relaxed)) {
  }
}

}  // namespace

void ShardMutex::wait_and_lock() {
  const std::uint64_t begun = ThreadClock::ticks();
  const bool slept = mutex_.wait_and_lock();
  const std::uint64_t ticks = ThreadClock::ticks_since(begun);
  ++waits_.waits;
  if (slept) ++waits_.slept;
  waits_.ticks += ticks;
  waits_.most_ticks = std::max(waits_.most_ticks, ticks);
  thread_waits.add_lock(ticks);
  if ((watch_.what() & LockWatch::counted) != 0) watch_.account.waited(ticks);
}

void ShardMutex::start() {
  watched_ = watch_.what();
  if ((watched_ & LockWatch::counted) != 0) watch_.account.begin();
  if ((watched_ & LockWatch::timed) == 0) return;
  since_ = nanoseconds(CLOCK_MONOTONIC);
  cpu_since_ = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
}

void ShardMutex::note() {
  if ((watched_ & LockWatch::timed) != 0) note_time();
  if ((watched_ & LockWatch::counted) != 0) watch_.account.end();
  watched_ = 0;
}

void ShardMutex::note_time() {
  constexpr std::int64_t ms = 1'000'000;
  LockTiming& timing = watch_.timing;
  const std::int64_t cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID) - cpu_since_;
  raise_to(timing.longest_cpu_ns, cpu);
  timing.holds.fetch_add(1, std::memory_order_relaxed);
  if (cpu > ms) timing.long_holds.fetch_add(1, std::memory_order_relaxed);
  raise_to(timing.longest_ns, nanoseconds(CLOCK_MONOTONIC) - since_);
}

}  // namespace pinfold::store
