#include "pinfold/base/event_log.hpp"

#include <utility>

#include "pinfold/base/clock.hpp"

namespace pinfold {

bool EventLog::admits(Kind kind) {
  constexpr auto relaxed = std::memory_order_relaxed;
  constexpr unsigned count_bits = 8;
  constexpr std::uint64_t count_mask = (1U << count_bits) - 1;
  Throttle& throttle = throttles_[static_cast<unsigned>(kind)];
  const auto second = static_cast<std::uint64_t>(monotonic_us() / 1'000'000);
  std::uint64_t known = throttle.window.load(relaxed);
  for (;;) {
    const bool same = known >> count_bits == second;
    if (same && (known & count_mask) >= per_second(kind)) {
      throttle.left_out.fetch_add(1, relaxed);
      return false;
    }
    const std::uint64_t next = same ? known + 1 : second << count_bits | 1;
    if (throttle.window.compare_exchange_weak(known, next, relaxed)) return true;
  }
}

void EventLog::add(Kind kind, std::string text) {
  const std::lock_guard lock(mutex_);
  if (waiting_.size() >= most_waiting) {
    left_out(kind).fetch_add(1, std::memory_order_relaxed);
    return;
  }
  if (const std::uint64_t missing = left_out(kind).exchange(0, std::memory_order_relaxed)) {
    text += " (" + std::to_string(missing) + " such lines before this one were left out)";
  }
  waiting_.push_back({kind, std::chrono::system_clock::now(), std::move(text)});
}

std::vector<EventLog::Line> EventLog::take() {
  std::vector<Line> lines;
  const std::lock_guard lock(mutex_);
  lines.swap(waiting_);
  return lines;
}

}  // namespace pinfold
