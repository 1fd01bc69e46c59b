#pragma once
// Time as the server sees it. Thread-safe.
//
// Two clocks. The wall clock can be set, forward and back, so it is only for what is a time of day to somebody outside: the deadlines of
// entries, which clients may name as Unix time. Whatever lasts for so long (a lease, a wait, a pause, an idle time) is measured by the
// clock that never goes back, and has a type of its own, so that neither is ever compared with the other.

#include <compare>
#include <cstdint>
#include <limits>

namespace pinfold {

/// Milliseconds since the Unix epoch. Deadlines of entries are kept in this unit.
using UnixMs = std::int64_t;

/// A moment of the clock that never goes back, in milliseconds since some moment before the server's start.
struct MonoMs {
  std::int64_t ms = 0;

  static constexpr MonoMs never() { return {std::numeric_limits<std::int64_t>::max()}; }
  friend constexpr auto operator<=>(const MonoMs&, const MonoMs&) = default;
  /// From `from` to `to`, in milliseconds.
  friend constexpr std::int64_t operator-(MonoMs to, MonoMs from) { return to.ms - from.ms; }
  /// So much later, or never.
  friend constexpr MonoMs operator+(MonoMs at, std::int64_t ms) {
    std::int64_t sum = 0;
    return __builtin_add_overflow(at.ms, ms, &sum) ? never() : MonoMs{sum};
  }
};

/// One moment on both clocks.
struct Moment {
  UnixMs unix = 0;
  MonoMs mono;
};

/// `at` and so much later, or the last moment there is.
inline UnixMs later(UnixMs at, std::int64_t ms) {
  UnixMs sum = 0;
  return __builtin_add_overflow(at, ms, &sum) ? std::numeric_limits<UnixMs>::max() : sum;
}

/// The wall clock in milliseconds.
UnixMs unix_ms();

/// The wall clock in seconds, as an entry can keep it; wraps in 2106.
inline std::uint32_t unix_seconds() { return static_cast<std::uint32_t>(unix_ms() / 1000); }

/// The wall clock in microseconds.
std::int64_t unix_us();

/// The clock that never goes back, in milliseconds.
MonoMs monotonic_ms();

/// The same in microseconds.
std::int64_t monotonic_us();

/// The same in seconds; wraps after 136 years.
inline std::uint32_t monotonic_seconds() { return static_cast<std::uint32_t>(monotonic_ms().ms / 1000); }

/// Both clocks.
inline Moment moment() { return {unix_ms(), monotonic_ms()}; }

/// Moves both clocks by `ms` from now on, so that a test can let time pass. Not for production code.
void advance_clock_for_test(std::int64_t ms);

/// Moves the wall clock alone, forward or back, as an administrator or NTP may do. Not for production code.
void step_wall_clock_for_test(std::int64_t ms);

}  // namespace pinfold
