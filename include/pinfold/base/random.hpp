#pragma once
// A fast random source for sampling and admission; not for secrets.

#include <cstdint>

namespace pinfold {

/// The next value of this thread's generator (splitmix64), seeded from the system.
std::uint64_t random_u64();

/// Uniform in [0, bound); bound > 0. The bias of the multiply-shift is below 2^-32 for the bounds used here.
std::uint64_t random_below(std::uint64_t bound);

}  // namespace pinfold
