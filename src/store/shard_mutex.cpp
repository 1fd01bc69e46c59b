#include "pinfold/store/shard_mutex.hpp"

#include <ctime>

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

void ShardMutex::start() {
  since_ = nanoseconds(CLOCK_MONOTONIC);
  cpu_since_ = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
}

void ShardMutex::note() {
  constexpr std::int64_t ms = 1'000'000;
  const std::int64_t cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID) - cpu_since_;
  raise_to(timing_.longest_cpu_ns, cpu);
  timing_.holds.fetch_add(1, std::memory_order_relaxed);
  if (cpu > ms) timing_.long_holds.fetch_add(1, std::memory_order_relaxed);
  raise_to(timing_.longest_ns, nanoseconds(CLOCK_MONOTONIC) - since_);
  since_ = 0;
}

}  // namespace pinfold::store
