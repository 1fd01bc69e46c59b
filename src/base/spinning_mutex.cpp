#include "pinfold/base/spinning_mutex.hpp"

#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace pinfold {

namespace {

// Tells the core that this is a loop that waits: it takes less from the thread beside it, and leaves the loop faster.
void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

}  // namespace

bool SpinningMutex::spin() {
  // One to three microseconds: ten holds of a shard's lock, and less than it takes to sleep and be woken.
  constexpr int most_looks = 64;
  for (int looks = 0; looks < most_looks; ++looks) {
    pause();
    if (state_.load(std::memory_order_relaxed) == free && take()) return true;
  }
  return false;
}

bool SpinningMutex::wait_and_lock() {
  waiting_.fetch_add(1, std::memory_order_relaxed);
  const bool slept = !spin();
  if (slept) {
    // From here on the lock says that somebody sleeps, also for this thread's own hold: there may be others.
    while (state_.exchange(held_and_slept_for) != free) state_.wait(held_and_slept_for);
  }
  let_in_.fetch_add(1, std::memory_order_relaxed);
  waiting_.fetch_sub(1, std::memory_order_relaxed);
  return slept;
}

// Any one of those who wait will do. One that spins has the lock as soon as it is free. One that sleeps is woken by the release of
// whoever holds the lock; if somebody else was faster, by that one's release. So this takes a few holds, which have a budget, and what the
// system takes to give a woken thread a core. That cannot be bounded by a count of looks or holds: a thread that gave up would take the
// lock again before the sleeper has come, each time.
void SpinningMutex::await_turn() {
  const std::uint32_t before = let_in_.load(std::memory_order_relaxed);
  while (waiting() > 0 && let_in_.load(std::memory_order_relaxed) == before) std::this_thread::yield();
}

}  // namespace pinfold
