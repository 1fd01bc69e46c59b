#include "pinfold/store/segment.hpp"

#include <sys/mman.h>

namespace pinfold::store {

SegmentPool::~SegmentPool() {
  for (char* region : regions_) munmap(region, region_size);
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
    if (carved_ == region_size) {
      void* region = mmap(nullptr, region_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                          -1, 0);
      if (region == MAP_FAILED) return nullptr;
      regions_.push_back(static_cast<char*>(region));
      carved_ = 0;
    }
    base = regions_.back() + carved_;
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
  }
  madvise(base, segment_size, MADV_DONTNEED);
  const std::lock_guard lock(mutex_);
  cold_.push_back(base);
}

}  // namespace pinfold::store
