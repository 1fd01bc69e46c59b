#pragma once
// A fast random source for sampling and admission. Not for secrets. Thread-safe: each thread has a generator of its own.

#include <cstdint>

namespace pinfold {

/// Returns the next value of this thread's generator (splitmix64), which is seeded from the system.
std::uint64_t random_u64();

/// Returns a value that is uniform in [0, bound). Requires bound > 0. The bias of the multiply-shift is below 2^-32 for the bounds
/// that are used.
std::uint64_t random_below(std::uint64_t bound);

}  // namespace pinfold
