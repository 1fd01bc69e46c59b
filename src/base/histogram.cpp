#include "pinfold/base/histogram.hpp"

#include <cmath>
#include <new>

namespace pinfold {

namespace histogram {

Counts& Counts::operator+=(const Counts& other) {
  for (std::size_t i = 0; i < buckets; ++i) of[i] += other.of[i];
  total += other.total;
  return *this;
}

Counts& Counts::operator-=(const Counts& earlier) {
  for (std::size_t i = 0; i < buckets; ++i) of[i] -= earlier.of[i];
  total -= earlier.total;
  return *this;
}

std::uint64_t Counts::below(Span64 span) const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < buckets && end_of(i).units <= span.units; ++i) sum += of[i];
  return sum;
}

Span64 Counts::percentile(double percent) const {
  if (total == 0) return {};
  const double wanted = std::ceil(percent / 100 * static_cast<double>(total));
  std::uint64_t sum = 0;
  std::size_t bucket = 0;
  std::size_t last = 0;
  for (; bucket < buckets; ++bucket) {
    if (of[bucket] == 0) continue;
    last = bucket;
    sum += of[bucket];
    if (static_cast<double>(sum) >= wanted) break;
  }
  const std::uint64_t begin = last == 0 ? 0 : end_of(last - 1).units;
  return {(begin + end_of(last).units) / 2};
}

}  // namespace histogram

Histograms::Histograms(std::size_t count)
    : size_(count), cells_(static_cast<std::uint64_t*>(std::calloc(count * stride, sizeof(std::uint64_t)))) {
  if (cells_ == nullptr) throw std::bad_alloc();
}

void Histograms::add_to(std::size_t which, histogram::Counts& sum) const {
  for (std::size_t i = 0; i < histogram::buckets; ++i) {
    const std::uint64_t count = std::atomic_ref(cells_[which * stride + i]).load(std::memory_order_relaxed);
    sum.of[i] += count;
    sum.total += count;
  }
}

void Histograms::copy(const Histograms& other) {
  for (std::size_t i = 0; i < size_ * stride; ++i) {
    const std::uint64_t count = std::atomic_ref(other.cells_[i]).load(std::memory_order_relaxed);
    const std::atomic_ref<std::uint64_t> cell(cells_[i]);
    if (cell.load(std::memory_order_relaxed) != count) cell.store(count, std::memory_order_relaxed);  // or the page stays unused
  }
}

void SharedHistogram::add_to(histogram::Counts& sum) const {
  for (std::size_t i = 0; i < histogram::buckets; ++i) {
    const std::uint64_t count = counts_[i].load(std::memory_order_relaxed);
    sum.of[i] += count;
    sum.total += count;
  }
}

void SharedHistogram::reset() {
  for (auto& count : counts_) count.store(0, std::memory_order_relaxed);
  sum_.store(0, std::memory_order_relaxed);
}

}  // namespace pinfold
