#include "pinfold/base/thread_clock.hpp"

namespace pinfold {

std::uint64_t ThreadClock::allowed_ticks() {
#if defined(__x86_64__)
  return 200'000;  // such counters run at 1 to 5 GHz
#elif defined(__aarch64__)
  std::uint64_t a_second = 0;
  asm("mrs %0, cntfrq_el0" : "=r"(a_second));
  return a_second / 5000;
#else
  return 200;
#endif
}

void ThreadClock::read() {
  read_at_ = ticks();
  // All threads must enter a new millisecond of the wall clock at the same moment, to the microsecond: a client that has seen on one
  // connection that a key has expired must not see it alive on another. The distance between the clocks changes slowly, so it is
  // measured once a millisecond, and only one clock is read here.
  const std::int64_t mono_us = monotonic_us();
  const MonoMs mono{mono_us / 1000};
  static thread_local std::int64_t ahead_us = 0;
  if (mono != moment_.mono) ahead_us = unix_us() - mono_us;
  moment_ = {(mono_us + ahead_us) / 1000, mono};
}

}  // namespace pinfold
