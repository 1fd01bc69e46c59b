#pragma once

#include <array>
#include <chrono>
#include <cstdint>

namespace pinfold::load {

// Latencies in buckets whose width is at most 1/32 of their value, so a percentile is right within about 3 %
// at any scale while the whole histogram stays in a few cache lines' reach. Not thread-safe.
class Histogram {
 public:
  void record(std::chrono::nanoseconds latency);

  // The upper edge of the bucket that holds the given share (0..1) of the recorded values; zero when empty.
  std::chrono::nanoseconds percentile(double share) const;
  std::chrono::nanoseconds max() const { return max_; }

 private:
  static constexpr unsigned kSubBits = 5;
  static constexpr std::size_t kBuckets = (64 - kSubBits + 1) << kSubBits;

  static std::size_t bucket_of(std::uint64_t value);
  static std::uint64_t upper_edge(std::size_t bucket);

  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t total_ = 0;
  std::chrono::nanoseconds max_{0};
};

}  // namespace pinfold::load
