#pragma once
// The time as one thread knows it, for a few instructions a look. Not thread-safe.
//
// A deadline counts from when its command runs, so the time that a thread has read at the start of a round must not serve behind a command
// that took long, or a lock that was waited for. To read the clocks for each request costs about 60 instructions a clock; so each look
// compares the processor's own counter, which takes three, and reads the clocks only if a fraction of a millisecond may have passed since
// they were read. The counter is not trusted with more: it says when to look, not what time it is. Where it does not run evenly, the time
// is as old as the last read(), as at the start of a round.

#include <cstdint>
#include <limits>

#include "pinfold/base/clock.hpp"

namespace pinfold {

class ThreadClock {
 public:
  ThreadClock() { begin_round(); }

  /// Now, or up to a fifth of a millisecond ago.
  const Moment& now() {
    if (ticks() - read_at_ > most_ticks_) [[unlikely]]
      read();
    return moment_;
  }
  /// As it was last read.
  const Moment& last() const { return moment_; }
  /// Reads the clocks.
  void read();
  /// The same at the start of a round of the thread's loop.
  void begin_round() {
    read();
    round_began_ = moment_.mono;
  }
  /// Milliseconds since then, as of the last look.
  std::int64_t round_ms() const { return moment_.mono - round_began_; }

  /// From now on it is this moment. Not for production code.
  void hold_for_test(const Moment& moment) {
    moment_ = moment;
    most_ticks_ = std::numeric_limits<std::uint64_t>::max();
  }

 private:
  static std::uint64_t ticks() {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    std::uint64_t count = 0;
    asm volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
#else
    return static_cast<std::uint64_t>(monotonic_us());
#endif
  }
  static std::uint64_t allowed_ticks();

  Moment moment_;
  MonoMs round_began_{};
  std::uint64_t read_at_ = 0;
  std::uint64_t most_ticks_ = allowed_ticks();
};

}  // namespace pinfold
