#pragma once
// A cached time for one thread, which costs a few instructions to read. Not thread-safe.
//
// A deadline counts from the moment when its command runs. So the time that a thread has read at the start of a round is too old after a
// command that took long, or after waiting for a lock. Reading the clocks for each request would cost about 60 instructions per clock.
// So now() looks at the processor's own counter, which takes three instructions, and reads the clocks only if a fraction of a millisecond
// may have passed since the last read. The counter only says when to read the clocks, never what time it is. If the counter does not run
// evenly, the time is as old as the last read(), which happens at least at the start of each round.

#include <cstdint>
#include <limits>

#include "pinfold/base/clock.hpp"

namespace pinfold {

class ThreadClock {
 public:
  ThreadClock() { begin_round(); }

  /// The present time, or that of up to a fifth of a millisecond ago.
  const Moment& now() {
    if (ticks() - read_at_ > most_ticks_) [[unlikely]]
      read();
    return moment_;
  }
  /// The time of the last read(). Costs nothing.
  const Moment& last() const { return moment_; }
  /// Reads the clocks.
  void read();
  /// Reads the clocks at the start of a round of the thread's loop.
  void begin_round() {
    if (most_ticks_ != held) read();
    round_began_ = moment_.mono;
  }
  /// Milliseconds since the round began, as of the last read().
  std::int64_t round_ms() const { return moment_.mono - round_began_; }

  /// Stops the clock at this moment. Not for production code.
  void hold_for_test(const Moment& moment) {
    moment_ = moment;
    most_ticks_ = held;
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
  /// Of most_ticks_: the time stands still.
  static constexpr std::uint64_t held = std::numeric_limits<std::uint64_t>::max();

  Moment moment_;
  MonoMs round_began_{};
  std::uint64_t read_at_ = 0;
  std::uint64_t most_ticks_ = allowed_ticks();
};

}  // namespace pinfold
