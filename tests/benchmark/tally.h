#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "histogram.h"

namespace pinfold::load {

// What came of a run. A run is only worth a figure when every reply was the one a correct server gives:
// valid() says so, and problem() says what was wrong first.
class Tally {
 public:
  std::uint64_t requests = 0;  // replies received
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t stored = 0;
  std::uint64_t deleted = 0;
  std::uint64_t refused = 0;  // SETs the server declined for memory or size
  std::uint64_t errors = 0;   // other error replies
  std::uint64_t wrong = 0;    // replies of the wrong kind, length or content
  std::uint64_t bytes_read = 0;
  std::uint64_t bytes_hit = 0;   // value bytes served from the cache
  std::uint64_t bytes_miss = 0;  // value bytes an origin would have had to make
  bool broken = false;           // stopped early: connection lost, unreadable reply, out of time

  std::chrono::nanoseconds elapsed{0};
  double server_cpu_seconds = -1;  // negative: not measured
  std::string cpu_clock;
  Histogram latency;
  Histogram lateness;  // paced: how long after they were due GETs were sent

  void error(std::string_view reply);
  void refuse(std::string_view reply);
  void mismatch(std::string_view what);
  void stop(std::string_view why);

  const std::string& problem() const { return problem_; }
  const std::string& refusal() const { return refusal_; }
  bool right() const { return errors == 0 && wrong == 0 && !broken; }

 private:
  std::string problem_;
  std::string refusal_;
};

}  // namespace pinfold::load
