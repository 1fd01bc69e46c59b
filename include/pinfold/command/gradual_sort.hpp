#pragma once
// Sorting in pieces, for a task that sorts a million items: a merge sort that can stop anywhere.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "pinfold/base/clock.hpp"

namespace pinfold::command {

/// Sorts `items` by `less(a, b)`, and keeps the order of items of which neither is less. Takes as much memory once more. Until it is done,
/// the items may not be used or changed. Not thread-safe. O(items * log items).
template <class Item, class Less>
class GradualSort {
 public:
  GradualSort(std::vector<Item>& items, Less less) : items_(items), less_(std::move(less)) {
    if (items.size() > run) other_.reserve(items.size());
  }

  /// Goes on until the time `end_us` of monotonic_us(), or a little longer. Returns true if the items are sorted.
  bool go_on(std::int64_t end_us) {
    for (; at_ < items_.size(); at_ += run) {
      if (monotonic_us() >= end_us) return false;
      const auto from = items_.begin() + static_cast<std::ptrdiff_t>(at_);
      std::stable_sort(from, from + static_cast<std::ptrdiff_t>(std::min(run, items_.size() - at_)), less_);
    }
    while (width_ < items_.size()) {
      if (monotonic_us() >= end_us) return false;
      merge_some();
    }
    return true;
  }

 private:
  static constexpr std::size_t run = 256;  // items that are sorted at once
  static constexpr std::size_t merged_at_once = 1024;

  // Merges pairs of sorted runs of width_ items from items_ to other_. When all are merged, these change places.
  void merge_some() {
    const std::size_t end = items_.size();
    for (std::size_t some = merged_at_once; some > 0 && to_ < end; --some) {
      if (to_ == pair_end_) begin_pair();
      const bool first = left_ < left_end_ && (right_ == pair_end_ || !less_(items_[right_], items_[left_]));
      Item& item = items_[first ? left_++ : right_++];
      if (to_ < other_.size()) {
        other_[to_] = std::move(item);
      } else {
        other_.push_back(std::move(item));
      }
      ++to_;
    }
    if (to_ < end) return;
    items_.swap(other_);
    width_ *= 2;
    to_ = pair_end_ = 0;
  }

  void begin_pair() {
    left_ = to_;
    left_end_ = right_ = std::min(to_ + width_, items_.size());
    pair_end_ = std::min(to_ + 2 * width_, items_.size());
  }

  std::vector<Item>& items_;
  Less less_;
  std::vector<Item> other_;  // grows in the first pass, because to write all of it at once would take long
  std::size_t at_ = 0;       // the run that is sorted next
  std::size_t width_ = run;  // of the runs that are merged
  std::size_t to_ = 0;       // where in other_ the next item goes
  std::size_t left_ = 0;     // the next item of the left run, and its end
  std::size_t left_end_ = 0;
  std::size_t right_ = 0;  // the next item of the right run, which ends where the pair does
  std::size_t pair_end_ = 0;
};

}  // namespace pinfold::command
