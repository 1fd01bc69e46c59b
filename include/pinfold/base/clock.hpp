#pragma once
// Time as the server sees it. Thread-safe.

#include <cstdint>
#include <limits>

namespace pinfold {

/// Milliseconds since the Unix epoch. Deadlines of entries are kept in this unit.
using UnixMs = std::int64_t;

/// `at` and so much later, or the last moment there is.
inline UnixMs later(UnixMs at, std::int64_t ms) {
  UnixMs sum = 0;
  return __builtin_add_overflow(at, ms, &sum) ? std::numeric_limits<UnixMs>::max() : sum;
}

/// The wall clock, in milliseconds, plus whatever a test has added to it.
UnixMs unix_ms();

/// The wall clock in seconds, as an entry can keep it; wraps in 2106.
inline std::uint32_t unix_seconds() { return static_cast<std::uint32_t>(unix_ms() / 1000); }

/// The wall clock in microseconds (for TIME), with the same shift.
std::int64_t unix_us();

/// A clock that never goes back, in microseconds; for durations.
std::int64_t monotonic_us();

/// Moves `unix_ms` by `ms` from now on, so that a test can let time pass. Not for production code.
void advance_clock_for_test(std::int64_t ms);

}  // namespace pinfold
