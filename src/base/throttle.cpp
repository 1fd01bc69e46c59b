#include "pinfold/base/throttle.hpp"

#include "pinfold/base/clock.hpp"

namespace pinfold {
namespace {

constexpr unsigned count_bits = 8;
constexpr std::uint64_t count_mask = (1U << count_bits) - 1;
static_assert(RateWindow::most == count_mask);
constexpr auto relaxed = std::memory_order_relaxed;

std::uint64_t second_now() { return static_cast<std::uint64_t>(monotonic_us() / 1'000'000); }

}  // namespace

bool RateWindow::admits(unsigned per_second) {
  const std::uint64_t second = second_now();
  std::uint64_t known = window_.load(relaxed);
  for (;;) {
    const bool same = known >> count_bits == second;
    if (same && (known & count_mask) >= per_second) return false;
    const std::uint64_t next = same ? known + 1 : second << count_bits | 1;
    if (window_.compare_exchange_weak(known, next, relaxed)) return true;
  }
}

bool RateWindow::is_over() const { return window_.load(relaxed) >> count_bits != second_now(); }

}  // namespace pinfold
