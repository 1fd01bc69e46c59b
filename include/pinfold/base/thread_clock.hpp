#pragma once
// A cached time for one thread, which costs a few instructions to read. Not thread-safe.
//
// A deadline counts from the moment when its command runs. So the time that a thread has read at the start of a round is too old after a
// command that took long, or after waiting for a lock. Reading the clocks for each request would cost about 60 instructions per clock.
// So now() looks at the processor's own counter, which takes three instructions, and reads the clocks only if a fraction of a millisecond
// may have passed since the last read. The counter only says when to read the clocks, never what time it is. If the counter does not run
// evenly, the time is as old as the last read(), which happens at least at the start of each round.
//
// The counter also tells how long a command took: ticks() when it begins, ticks_since() when it ends, and ns_of() where the result is
// shown. Such a time is exact to about 50 nanoseconds.

#include <cstdint>
#include <limits>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/histogram.hpp"

namespace pinfold {

class ThreadClock {
 public:
  ThreadClock() { begin_round(); }

  /// The processor's counter. It runs at an unknown but steady rate.
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
  /// How far the counter has come since it was `began`. 0 if it is behind that: the counters of two cores may differ on a virtual machine.
  static std::uint64_t ticks_since(std::uint64_t began) {
    const auto passed = static_cast<std::int64_t>(ticks() - began);
    return static_cast<std::uint64_t>(passed > 0 ? passed : 0);
  }
  /// Nanoseconds that this many ticks take. The rate is measured once, at the first call, which may sleep for 10 ms if the process has just
  /// started. It stays the same from then on, so sums of ticks never seem to decrease. Any thread may call this.
  static std::uint64_t ns_of(std::uint64_t ticks);
  /// The same in the unit of histograms, in about five instructions, with the rate that span_scale() has returned.
  static Span64 span_of(std::uint64_t ticks, std::uint64_t scale) { return {(ticks * scale) >> scale_bits}; }
  static std::uint64_t span_scale();
  /// The opposite of ns_of().
  static std::uint64_t ticks_of(std::uint64_t ns);

  /// The present time, or that of up to a fifth of a millisecond ago.
  const Moment& now() { return now(ticks()); }
  /// The same for a caller that has just read the counter.
  const Moment& now(std::uint64_t ticks_now) {
    if (ticks_now - read_at_ > most_ticks_) [[unlikely]]
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
  MonoMs round_began() const { return round_began_; }
  /// Milliseconds since the round began, as of the last read().
  std::int64_t round_ms() const { return moment_.mono - round_began_; }

  /// Stops the clock at this moment. Not for production code.
  void hold_for_test(const Moment& moment) {
    moment_ = moment;
    most_ticks_ = held;
  }

 private:
  static constexpr unsigned scale_bits = 20;
  static std::uint64_t allowed_ticks();
  /// Of most_ticks_: the time stands still.
  static constexpr std::uint64_t held = std::numeric_limits<std::uint64_t>::max();

  Moment moment_;
  MonoMs round_began_{};
  std::uint64_t read_at_ = 0;
  std::uint64_t most_ticks_ = allowed_ticks();
};

}  // namespace pinfold
