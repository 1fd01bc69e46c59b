#pragma once
// Sorts a large array in short steps: a merge sort that can stop anywhere.

#include <algorithm>
#include <cstdint>
#include <utility>

namespace pinfold {

/// Short runs are sorted at once, and then merged into longer ones, from one array into another and back. Items that are equal keep their
/// order. O(items * log items) in all. Not thread-safe. T is copied as bytes are.
template <class T, class Less>
class SlicedSort {
 public:
  /// Up to so many items need no second array, and one step.
  static constexpr std::uint64_t few = 512;

  /// Sorts `size` items. `spare` has room for as many; null for few. The caller owns both arrays.
  SlicedSort(T* items, std::uint64_t size, T* spare, Less less = {}) : items_(items), spare_(spare), size_(size), less_(less) {}

  /// Does a piece of the work, some microseconds. Returns whether there is more.
  bool step() {
    if (run_ == 0) return sort_run();
    for (std::uint64_t most = few; most > 0 && merged_ < size_; --most) merge_one();
    if (merged_ < size_) return true;
    std::swap(items_, spare_);
    merged_ = 0;
    run_ *= 2;
    return run_ < size_;
  }
  /// Where the sorted items are in the end: in one of the arrays.
  T* items() const { return items_; }

 private:
  bool sort_run() {
    const std::uint64_t end = std::min(merged_ + few, size_);
    std::stable_sort(items_ + merged_, items_ + end, less_);
    merged_ = end;
    if (merged_ < size_) return true;
    merged_ = 0;
    run_ = few;
    return run_ < size_;
  }

  // The runs that are being merged begin at merged_ - left_ - right_.
  void merge_one() {
    const std::uint64_t begin = merged_ - left_ - right_;
    const std::uint64_t middle = std::min(begin + run_, size_);
    const std::uint64_t end = std::min(middle + run_, size_);
    const std::uint64_t left = begin + left_;
    const std::uint64_t right = middle + right_;
    const bool from_right = left == middle || (right < end && less_(items_[right], items_[left]));
    spare_[merged_++] = items_[from_right ? right : left];
    ++(from_right ? right_ : left_);
    if (merged_ == end) left_ = right_ = 0;
  }

  T* items_;
  T* spare_;
  const std::uint64_t size_;
  Less less_;
  std::uint64_t run_ = 0;     // items of a run that is in order; 0: there are none yet
  std::uint64_t merged_ = 0;  // items that this pass has merged, or sorted
  std::uint64_t left_ = 0;    // items that were taken of the left run
  std::uint64_t right_ = 0;
};

}  // namespace pinfold
