#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace pinfold::load {

// A bar on standard error, redrawn a few times a second on a terminal; elsewhere a line every ten seconds, so
// that a log shows that a long run lives without being filled by it.
class Progress {
 public:
  Progress(std::string label, std::uint64_t total, bool quiet);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `note` is a short remark behind the bar, such as the hit ratio so far.
  void show(std::uint64_t done, const std::string& note = {});
  // Whether show() would draw now; asks the clock, so call it once in a few thousand requests.
  bool due() const;

 private:
  using Clock = std::chrono::steady_clock;

  std::string label_;
  std::uint64_t total_;
  bool quiet_;
  bool terminal_;
  bool drawn_ = false;
  Clock::time_point last_ = Clock::now();
};

}  // namespace pinfold::load
