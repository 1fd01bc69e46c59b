#pragma once
// Rates for INFO: by how much counters have grown per second, on average over the last 16 samples.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "pinfold/command/stats.hpp"

namespace pinfold::command {

/// The background worker samples it, about every 100 ms. Any thread may read it.
class Rates {
 public:
  enum Metric : std::size_t { kCommands, kNetInput, kNetOutput, kMessages, kMetrics };

  /// Notes by how much the counters have grown since the last sample. `now_us` is monotonic.
  void sample(const Stats& stats, std::int64_t now_us);

  /// The average rate per second over the last 16 samples. 0 before the second sample.
  std::uint64_t per_second(Metric metric) const { return rates_[metric].load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t samples = 16;

  std::int64_t last_us_ = 0;
  std::size_t next_ = 0;
  std::array<std::uint64_t, kMetrics> last_{};
  std::array<std::int64_t, samples> elapsed_us_{};
  std::array<std::array<std::uint64_t, samples>, kMetrics> grown_{};
  std::array<std::atomic<std::uint64_t>, kMetrics> rates_{};
};

}  // namespace pinfold::command
