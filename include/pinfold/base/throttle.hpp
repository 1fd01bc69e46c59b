#pragma once
// Admits so many of something per second, and counts what it does not admit.

#include <atomic>
#include <cstdint>

namespace pinfold {

/// How many were admitted in the last second in which any was. Thread-safe. Takes no lock and no system call but for reading the clock.
class RateWindow {
 public:
  /// The largest `per_second` of admits().
  static constexpr unsigned most = 255;

  /// Whether one more is admitted in this second.
  bool admits(unsigned per_second);
  /// Whether the second of the last one that was admitted is over.
  bool is_over() const;

 private:
  std::atomic<std::uint64_t> window_{0};  // second << 8 | admitted in that second
};

/// A window with a count of what it has not admitted. Thread-safe.
class Throttle {
 public:
  /// Whether one more is admitted in this second. If not, it is counted as left out. `per_second` is at most RateWindow::most.
  bool admits(unsigned per_second) {
    const bool admitted = window_.admits(per_second);
    if (!admitted) leave_out();
    return admitted;
  }
  /// Counts one as left out for another reason.
  void leave_out() { left_out_.fetch_add(1, std::memory_order_relaxed); }
  bool has_left_out() const { return left_out_.load(std::memory_order_relaxed) != 0; }
  /// How many were left out since the last call.
  std::uint64_t take_left_out() { return left_out_.exchange(0, std::memory_order_relaxed); }
  /// Whether the second of the last one that was admitted is over.
  bool is_over() const { return window_.is_over(); }

 private:
  RateWindow window_;
  std::atomic<std::uint64_t> left_out_{0};
};

}  // namespace pinfold
