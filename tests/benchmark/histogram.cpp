#include "histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace pinfold::load {

// Values below 2^kSubBits have a bucket each. Above, the position of the top bit chooses a group of
// 2^kSubBits buckets and the kSubBits bits after it the bucket within the group.
std::size_t Histogram::bucket_of(std::uint64_t value) {
  if (value < (1U << kSubBits)) return value;
  const auto top = static_cast<unsigned>(std::bit_width(value)) - 1;
  const unsigned shift = top - kSubBits;
  return (std::size_t{shift + 1} << kSubBits) + ((value >> shift) & ((1U << kSubBits) - 1));
}

std::uint64_t Histogram::upper_edge(std::size_t bucket) {
  const std::size_t group = bucket >> kSubBits;
  if (group == 0) return bucket;
  const std::uint64_t within = bucket & ((1U << kSubBits) - 1);
  const std::size_t shift = group - 1;
  return (((std::uint64_t{1} << kSubBits) + within + 1) << shift) - 1;
}

void Histogram::record(std::chrono::nanoseconds latency) {
  const std::int64_t ns = std::max<std::int64_t>(latency.count(), 0);
  ++counts_[bucket_of(static_cast<std::uint64_t>(ns))];
  ++total_;
  max_ = std::max(max_, latency);
}

std::chrono::nanoseconds Histogram::percentile(double share) const {
  if (total_ == 0) return {};
  const auto wanted = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(total_))));
  std::uint64_t seen = 0;
  for (std::size_t bucket = 0; bucket < kBuckets; ++bucket) {
    seen += counts_[bucket];
    if (seen >= wanted) {
      return std::min(std::chrono::nanoseconds(static_cast<std::int64_t>(upper_edge(bucket))), max_);
    }
  }
  return max_;
}

}  // namespace pinfold::load
