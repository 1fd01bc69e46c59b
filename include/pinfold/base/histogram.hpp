#pragma once
// Histograms of durations, fine enough to tell the 99.9th percentile of commands that take less than a microsecond.
//
// The buckets are those of HDR histograms (Tene): between two powers of two there are eight of equal width, so a bucket is at most an
// eighth of its lower bound wide. They begin at 1/64 of a microsecond and end at 16.8 s; the last one has all that is longer. Powers of two
// of a microsecond are bounds of buckets, and these are the bounds that LATENCY HISTOGRAM and Prometheus are told.

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace pinfold {

/// A duration in the unit of the histograms: 1/64 of a microsecond.
struct Span64 {
  std::uint64_t units = 0;

  static constexpr std::uint64_t per_us = 64;
  static constexpr Span64 us(std::uint64_t us) { return {us * per_us}; }
  static constexpr Span64 ms(std::int64_t ms) { return us(ms > 0 ? static_cast<std::uint64_t>(ms) * 1000 : 0); }
  constexpr double seconds() const { return static_cast<double>(units) / (per_us * 1e6); }
};

namespace histogram {

constexpr unsigned fine_bits = 3;  // 2^3 buckets between two powers of two
constexpr unsigned last_bit = 29;  // of the largest duration that has a bucket of its own
constexpr std::size_t buckets = ((std::size_t{last_bit} - fine_bits + 2) << fine_bits) + 1;  // the last one has all that is longer

/// The bucket of a duration. Eight instructions, without a branch.
constexpr std::size_t bucket_of(Span64 span) {
  constexpr std::uint64_t longest = std::uint64_t{1} << (last_bit + 1);
  const std::uint64_t units = span.units < longest ? span.units : longest;
  // Below 2^fine_bits each bucket is one unit wide, as it is between that and twice as much.
  const auto shift = static_cast<unsigned>(std::bit_width(units | (1U << fine_bits))) - 1 - fine_bits;
  return (std::size_t{shift} << fine_bits) + (units >> shift);
}
/// What the durations of a bucket are less than.
constexpr Span64 end_of(std::size_t bucket) {
  constexpr std::uint64_t fine = 1U << fine_bits;
  if (bucket < fine) return {bucket + 1};
  const std::uint64_t within = bucket & (fine - 1);
  return {(fine + within + 1) << ((bucket >> fine_bits) - 1)};
}

/// The counts of a histogram at one moment, or of several together.
struct Counts {
  std::array<std::uint64_t, buckets> of{};
  std::uint64_t total = 0;

  Counts& operator+=(const Counts& other);
  /// Takes off what an earlier moment of the same histogram had.
  Counts& operator-=(const Counts& earlier);
  /// How many durations were shorter than `span`, which has to be the end of a bucket.
  std::uint64_t below(Span64 span) const;
  /// The duration that `percent` of all do not exceed, estimated as the middle of its bucket. 0 if there are none.
  Span64 percentile(double percent) const;
};

}  // namespace histogram

/// As many histograms as are asked for, with a single writer. Any thread may read them. A histogram to which nothing was added takes no
/// memory: it lies in pages that the kernel has not supplied yet.
class Histograms {
 public:
  /// Throws std::bad_alloc.
  explicit Histograms(std::size_t count);

  void note(std::size_t which, Span64 span) {
    const std::atomic_ref<std::uint64_t> cell(cells_[which * stride + histogram::bucket_of(span)]);
    cell.store(cell.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  void add_to(std::size_t which, histogram::Counts& sum) const;
  /// Takes over the counts of another object of the same size, which has been there before and has grown since. Only for the writer.
  void copy(const Histograms& other);

 private:
  // A power of two, so that a histogram is found without a multiplication.
  static constexpr std::size_t stride = std::bit_ceil(histogram::buckets);
  struct Free {
    void operator()(std::uint64_t* cells) const { std::free(cells); }
  };
  std::size_t size_;
  std::unique_ptr<std::uint64_t[], Free> cells_;
};

/// A histogram to which any thread adds, with the sum of the durations. For what happens seldom: adding is two locked instructions.
class SharedHistogram {
 public:
  void note(Span64 span) {
    counts_[histogram::bucket_of(span)].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(span.units, std::memory_order_relaxed);
  }
  void add_to(histogram::Counts& sum) const;
  Span64 sum() const { return {sum_.load(std::memory_order_relaxed)}; }
  void reset();

 private:
  std::array<std::atomic<std::uint64_t>, histogram::buckets> counts_{};
  std::atomic<std::uint64_t> sum_{0};
};

}  // namespace pinfold
