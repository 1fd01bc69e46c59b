#pragma once
// Time and chance that are the same in every run, so that an input does again what it has done before.
//
// A target that links machine.cpp gets its clocks (base/clock.hpp) and its random numbers (base/random.hpp) from there instead of from the
// `base` room, and getrandom() and sleeping lead there as well (--wrap). The clocks stand still except where the target moves them, and for
// a microsecond with each look at them, so that loops that work until some time come to their end.

#include <cstdint>

namespace fuzz {

/// Sets the clocks back to where every input begins, and begins the random numbers anew.
void begin_machine();
/// Lets time pass.
void pass_time(std::int64_t ms);
/// Sets the wall clock forward or back. The monotonic clock stays.
void step_wall_clock(std::int64_t ms);

}  // namespace fuzz
