#pragma once
// Time as the server sees it. Thread-safe.
//
// There are two clocks. The wall clock can be set forward and back. It is used only for times that the outside sees: the deadlines of
// entries, which clients may name as Unix time. Durations (a lease, a wait, a pause, an idle time) are measured by the monotonic clock,
// which never goes back. Each clock has a type of its own, so that the two cannot be compared.

#include <compare>
#include <cstdint>
#include <limits>

namespace pinfold {

/// Milliseconds since the Unix epoch. Deadlines of entries are kept in this unit.
using UnixMs = std::int64_t;

/// A moment of the monotonic clock, in milliseconds since some moment before the server's start.
struct MonoMs {
  std::int64_t ms = 0;

  static constexpr MonoMs never() { return {std::numeric_limits<std::int64_t>::max()}; }
  friend constexpr auto operator<=>(const MonoMs&, const MonoMs&) = default;
  /// The time between the two, in milliseconds.
  friend constexpr std::int64_t operator-(MonoMs to, MonoMs from) { return to.ms - from.ms; }
  /// `more_ms` later, or never() if that is too large.
  friend constexpr MonoMs operator+(MonoMs at, std::int64_t more_ms) {
    std::int64_t sum = 0;
    return __builtin_add_overflow(at.ms, more_ms, &sum) ? never() : MonoMs{sum};
  }
};

/// One moment on both clocks.
struct Moment {
  UnixMs unix = 0;
  MonoMs mono;
};

/// The moment `ms` after `at`, or the largest UnixMs if that is too large.
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

/// The monotonic clock in milliseconds.
MonoMs monotonic_ms();

/// The monotonic clock in microseconds.
std::int64_t monotonic_us();

/// The monotonic clock in seconds; wraps after 136 years.
inline std::uint32_t monotonic_seconds() { return static_cast<std::uint32_t>(monotonic_ms().ms / 1000); }

/// Both clocks.
inline Moment moment() { return {unix_ms(), monotonic_ms()}; }

/// Moves both clocks by `ms` from now on, so that a test can let time pass. Not for production code.
void advance_clock_for_test(std::int64_t ms);

/// Moves the wall clock alone, forward or back, as an administrator or NTP may do. Not for production code.
void step_wall_clock_for_test(std::int64_t ms);

}  // namespace pinfold
