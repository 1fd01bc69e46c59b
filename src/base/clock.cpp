#include "pinfold/base/clock.hpp"

#include <atomic>
#include <chrono>

namespace pinfold {

namespace {
std::atomic<std::int64_t> test_shift_us{0};

template <class Clock>
std::int64_t micros() {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now().time_since_epoch()).count();
}
}  // namespace

std::int64_t unix_us() { return micros<std::chrono::system_clock>() + test_shift_us.load(std::memory_order_relaxed); }
UnixMs unix_ms() { return unix_us() / 1000; }
std::int64_t monotonic_us() { return micros<std::chrono::steady_clock>(); }
void advance_clock_for_test(std::int64_t ms) { test_shift_us.fetch_add(ms * 1000, std::memory_order_relaxed); }

}  // namespace pinfold
