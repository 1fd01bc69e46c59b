// Histograms of durations: where their buckets lie, and what they say of a distribution.

#include "pinfold/base/histogram.hpp"

#include <algorithm>
#include <vector>

#include <catch2/catch.hpp>

using pinfold::Histograms;
using pinfold::SharedHistogram;
using pinfold::Span64;
namespace histogram = pinfold::histogram;

TEST_CASE("histogram: every duration lies in the bucket whose bounds hold it, and no bucket is wider than an eighth of them") {
  std::uint64_t begin = 0;
  for (std::size_t bucket = 0; bucket + 1 < histogram::buckets; ++bucket) {
    const std::uint64_t end = histogram::end_of(bucket).units;
    REQUIRE(end > begin);
    CHECK(histogram::bucket_of({begin}) == bucket);
    CHECK(histogram::bucket_of({end - 1}) == bucket);
    if (begin >= 8) CHECK((end - begin) * 8 <= begin);
    begin = end;
  }
  CHECK(begin == std::uint64_t{1} << (histogram::last_bit + 1));
  CHECK(histogram::bucket_of({begin}) == histogram::buckets - 1);
  CHECK(histogram::bucket_of({UINT64_MAX}) == histogram::buckets - 1);
}

TEST_CASE("histogram: powers of two of a microsecond are bounds of buckets") {
  Histograms histograms(2);
  for (std::uint64_t us = 0; us < 5000; ++us) histograms.note(1, Span64::us(us));
  histogram::Counts counts;
  histograms.add_to(1, counts);
  CHECK(counts.total == 5000);
  histogram::Counts other;
  histograms.add_to(0, other);
  CHECK(other.total == 0);
  for (std::uint64_t us = 1; us <= 4096; us *= 2) CHECK(counts.below(Span64::us(us)) == us);
}

TEST_CASE("histogram: percentiles are within an eighth of the exact ones") {
  Histograms histograms(2);
  std::vector<std::uint64_t> all;
  std::uint64_t state = 12345;
  for (int i = 0; i < 100'000; ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    const std::uint64_t units = 20 + (state >> 40) % (1ULL << (6 + (state >> 60)));
    all.push_back(units);
    histograms.note(1, {units});
  }
  std::sort(all.begin(), all.end());
  histogram::Counts counts;
  histograms.add_to(1, counts);
  for (const double percent : {1.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
    const auto rank = static_cast<std::size_t>(percent / 100 * static_cast<double>(all.size()));
    const auto exact = static_cast<double>(all[std::min(rank, all.size() - 1)]);
    CHECK(static_cast<double>(counts.percentile(percent).units) == Approx(exact).epsilon(0.125));
  }
  CHECK(histogram::Counts().percentile(50).units == 0);
}

TEST_CASE("histogram: what several threads' histograms have is added, and an earlier moment taken off") {
  SharedHistogram one;
  one.note(Span64::ms(3));
  histogram::Counts before;
  one.add_to(before);
  one.note(Span64::ms(3));
  one.note(Span64::ms(-1));
  histogram::Counts counts;
  one.add_to(counts);
  one.add_to(counts);
  CHECK(counts.total == 6);
  counts -= before;
  CHECK(counts.total == 5);
  CHECK(counts.of[histogram::bucket_of(Span64::ms(3))] == 3);
  CHECK(one.sum().seconds() == Approx(0.006));
  one.reset();
  CHECK(one.sum().units == 0);
}
