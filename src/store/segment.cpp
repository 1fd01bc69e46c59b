#include "pinfold/store/segment.hpp"

#include <sys/mman.h>

#include <algorithm>

namespace pinfold::store {

SegmentPool::~SegmentPool() {
  for (const Region& region : regions_) munmap(region.base, region_size);
}

bool SegmentPool::add_region() {
  void* base =
      mmap(nullptr, region_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return false;
  // Entries are met in random order: with small pages most look-ups would walk the page tables first. A small cache
  // would feel the rounding up to 2 MB.
  const bool huge = memory_.limit() == 0 || memory_.limit() >= worth_huge_pages;
  if (huge) madvise(base, region_size, MADV_HUGEPAGE);
  regions_.push_back({static_cast<char*>(base), huge});
  carved_ = 0;
  return true;
}

// Pages given back stay so: the kernel would fill the holes again to make huge pages of them.
void SegmentPool::keep_holes(const char* base) {
  const auto found = std::find_if(regions_.begin(), regions_.end(), [base](const Region& region) {
    return base >= region.base && base < region.base + region_size;
  });
  if (!found->huge) return;
  madvise(found->base, region_size, MADV_NOHUGEPAGE);
  found->huge = false;
}

char* SegmentPool::allocate() {
  const std::lock_guard lock(mutex_);
  char* base = nullptr;
  if (!warm_.empty()) {
    base = warm_.back();
    warm_.pop_back();
  } else if (!cold_.empty()) {
    base = cold_.back();
    cold_.pop_back();
  } else {
    if (carved_ == region_size && !add_region()) return nullptr;
    base = regions_.back().base + carved_;
    carved_ += segment_size;
  }
  memory_.add(Use::segments, segment_size);
  return base;
}

void SegmentPool::free(char* base) {
  memory_.add(Use::segments, -static_cast<std::int64_t>(segment_size));
  {
    const std::lock_guard lock(mutex_);
    if (warm_.size() < kept_warm) {
      warm_.push_back(base);
      return;
    }
    keep_holes(base);
  }
  madvise(base, segment_size, MADV_DONTNEED);
  const std::lock_guard lock(mutex_);
  cold_.push_back(base);
}

}  // namespace pinfold::store
