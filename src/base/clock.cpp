#include "pinfold/base/clock.hpp"

#include <atomic>
#include <chrono>

namespace pinfold {

namespace {
constexpr auto relaxed = std::memory_order_relaxed;
// By how much tests have moved the clocks.
std::atomic<std::int64_t> wall_shift_us{0};
std::atomic<std::int64_t> mono_shift_us{0};

template <class Clock>
std::int64_t micros() {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now().time_since_epoch()).count();
}
}  // namespace

std::int64_t unix_us() { return micros<std::chrono::system_clock>() + wall_shift_us.load(relaxed); }
UnixMs unix_ms() { return unix_us() / 1000; }
std::int64_t monotonic_us() { return micros<std::chrono::steady_clock>() + mono_shift_us.load(relaxed); }
MonoMs monotonic_ms() { return {monotonic_us() / 1000}; }

void step_wall_clock_for_test(std::int64_t ms) { wall_shift_us.fetch_add(ms * 1000, relaxed); }

void advance_clock_for_test(std::int64_t ms) {
  step_wall_clock_for_test(ms);
  mono_shift_us.fetch_add(ms * 1000, relaxed);
}

}  // namespace pinfold
