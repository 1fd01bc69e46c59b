#include "pinfold/base/spinning_mutex.hpp"

#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace pinfold {

void pause_processor() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

bool SpinningMutex::spin() {
  // This is one to three microseconds: ten holds of a shard's lock, and less than it takes to sleep and be woken.
  constexpr int most_looks = 64;
  for (int looks = 0; looks < most_looks; ++looks) {
    pause_processor();
    if (state_.load(std::memory_order_relaxed) == free && take()) return true;
  }
  return false;
}

bool SpinningMutex::wait_and_lock() {
  waiting_.fetch_add(1, std::memory_order_relaxed);
  const bool slept = !spin();
  if (slept) {
    // From here on the lock says that a thread sleeps, even while this thread holds it: other threads may still sleep.
    while (state_.exchange(held_and_slept_for) != free) state_.wait(held_and_slept_for);
  }
  let_in_.fetch_add(1, std::memory_order_relaxed);
  waiting_.fetch_sub(1, std::memory_order_relaxed);
  return slept;
}

// It is enough that one of the waiting threads gets the lock. A thread that spins has it as soon as it is free. A thread that sleeps is
// woken when the lock is released, and again at the next release if another thread was faster. So this takes a few holds, each of which
// has a budget, and the time that the system needs to give a woken thread a core. The wait has no bound of its own: a thread that gave
// up after a number of looks or holds would take the lock again before the sleeping thread has come, each time.
void SpinningMutex::await_turn() {
  const std::uint32_t before = let_in_.load(std::memory_order_relaxed);
  while (waiting() > 0 && let_in_.load(std::memory_order_relaxed) == before) std::this_thread::yield();
}

}  // namespace pinfold
