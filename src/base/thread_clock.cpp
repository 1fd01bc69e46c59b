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
  // Both, each time: their milliseconds do not begin together, and a client that saw on one connection that a key's time is up
  // must not see it alive on another.
  moment_ = {unix_ms(), monotonic_ms()};
}

}  // namespace pinfold
