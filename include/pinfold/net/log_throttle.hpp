#pragma once
// Keeps a log readable when clients give reason for many lines at once. Thread-safe.

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "pinfold/base/clock.hpp"

namespace pinfold::net {

/// Admits a few lines of one kind a second.
class LogThrottle {
 public:
  static constexpr unsigned usual = 5;

  explicit LogThrottle(unsigned per_second = usual) : per_second_(per_second) {}

  /// What to add to the line about to be written: nothing, or how many were left out before it. No value: leave this
  /// one out too.
  std::optional<std::string> admit(MonoMs now) {
    const std::lock_guard lock(mutex_);
    if (now - second_ >= 1000) {
      second_ = now;
      admitted_ = 0;
    }
    if (admitted_ == per_second_) {
      ++left_out_;
      return std::nullopt;
    }
    ++admitted_;
    if (left_out_ == 0) return std::string();
    std::string note = " (" + std::to_string(left_out_) + " such lines before this one were left out)";
    left_out_ = 0;
    return note;
  }

 private:
  const unsigned per_second_;
  std::mutex mutex_;  // guards the rest
  MonoMs second_;     // when the current second began
  unsigned admitted_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace pinfold::net
