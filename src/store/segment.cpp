#include "pinfold/store/segment.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <utility>

#include <sys/mman.h>

#include "pinfold/base/work.hpp"

namespace pinfold::store {

SegmentPool::~SegmentPool() {
  for (const Region& region : regions_) munmap(region.base, region_size);
  if (next_region_.base != nullptr) munmap(next_region_.base, region_size);
}

// Maps a region. Its base is null if the system has no memory.
SegmentPool::Region SegmentPool::map_region() const {
  // The region must be aligned to huge pages. So one huge page more is mapped, and the ends are unmapped.
  work::system_call();
  void* raw = mmap(nullptr, region_size + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return {};
  char* const mapped = static_cast<char*>(raw);
  const std::size_t before = (huge_page - reinterpret_cast<std::uintptr_t>(raw) % huge_page) % huge_page;
  char* const base = mapped + before;
  if (before > 0) munmap(mapped, before);
  munmap(base + region_size, huge_page - before);
  // Lookups touch entries in random order. With pages of 4 KB most of them would miss the TLB. A small cache keeps
  // small pages, because rounding up to 2 MB would cost it too much.
  const bool huge = memory_.limit() == 0 || memory_.limit() >= worth_huge_pages;
  madvise(base, region_size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  return {base, huge};
}

// Begins to cut segments from a new region. Returns false if there is no memory. Called with mutex_ held.
bool SegmentPool::add_region() {
  if (next_region_.base == nullptr && refused_) return false;
  // Reserves a place for every segment that may ever be free, so that giving memory back takes none.
  try {
    const std::size_t segments = (regions_.size() + 1) * (region_size / segment_size);
    regions_.reserve(regions_.size() + 1);
    warm_.reserve(std::min(segments, most_kept_warm + huge_page / segment_size));
    cold_.reserve(segments);
  } catch (const std::bad_alloc&) {
    return false;
  }
  const Region region = next_region_.base != nullptr ? std::exchange(next_region_, {}) : map_region();
  if (region.base == nullptr) return false;
  regions_.push_back(region);
  carved_ = 0;
  return true;
}

// Takes a free segment without pages. Null if the system has no memory. Called with mutex_ held.
char* SegmentPool::take_cold() {
  if (!cold_.empty()) {
    char* base = cold_.back();
    cold_.pop_back();
    return base;
  }
  if (carved_ == region_size && !add_region()) return nullptr;
  char* base = regions_.back().base + carved_;
  carved_ += segment_size;
  return base;
}

void SegmentPool::refill() {
  const std::unique_lock alone(refill_mutex_, std::try_to_lock);
  if (!alone) return;
  bool is_ready = false;
  {
    const std::lock_guard lock(mutex_);
    is_ready = next_region_.base != nullptr;
  }
  if (!is_ready) {
    const Region region = map_region();
    const std::lock_guard lock(mutex_);
    next_region_ = region;  // only this function sets it, and only one thread at a time runs it
    refused_ = region.base == nullptr;
  }
  std::array<char*, huge_page / segment_size> taken{};
  std::size_t count = 0;
  {
    const std::lock_guard lock(mutex_);
    const bool huge = cold_.empty() && !regions_.empty() && regions_.back().huge;
    // Up to the end of the huge page: the first byte that is touched makes the whole page resident.
    const std::size_t rest = (huge_page - carved_ % huge_page) / segment_size;
    const std::size_t most = huge ? rest : kept_warm() / 2;
    while (count < most && (taken[count] = take_cold()) != nullptr) ++count;
  }
  constexpr std::size_t page = 4096;
  const std::span<char*> fresh = std::span(taken).first(count);
  for (char* base : fresh) {
    for (std::size_t at = 0; at < segment_size; at += page) static_cast<volatile char*>(base)[at] = 0;
  }
  const std::lock_guard lock(mutex_);
  warm_.insert(warm_.end(), fresh.begin(), fresh.end());
  ready_.store(warm_.size(), std::memory_order_relaxed);
}

// Turns huge pages off in the region of a segment whose pages are given back. Otherwise the kernel would fill the hole
// again to make a huge page. Called with mutex_ held.
void SegmentPool::keep_holes(const char* base) {
  const auto found = std::find_if(regions_.begin(), regions_.end(),
                                  [base](const Region& region) { return base >= region.base && base < region.base + region_size; });
  if (!found->huge) return;
  work::system_call();
  madvise(found->base, region_size, MADV_NOHUGEPAGE);
  found->huge = false;
}

char* SegmentPool::allocate() {
  work::allocation();
  const std::lock_guard lock(mutex_);
  char* base = nullptr;
  if (!warm_.empty()) {
    base = warm_.back();
    warm_.pop_back();
    ready_.store(warm_.size(), std::memory_order_relaxed);
  } else if (oldest_noted_ != nullptr && memory_.erasing() == 0) {
    base = take_noted();
    given_count_.fetch_add(1, std::memory_order_relaxed);
  } else {
    base = take_cold();
    if (base == nullptr) return nullptr;
  }
  memory_.add(Use::segments, segment_size);
  return base;
}

void SegmentPool::release_spare() {
  const std::lock_guard lock(mutex_);
  for (char* base : warm_) note(base);
  warm_.clear();
  ready_.store(0, std::memory_order_relaxed);
}

void SegmentPool::wipe_spare() {
  std::unique_lock lock(mutex_);
  // One at a time, with the mutex unlocked meanwhile, and as many as there were at the start. Segments that become warm
  // in between have fresh pages, and go to the end.
  for (std::size_t left = warm_.size(); left > 0 && !warm_.empty(); --left) {
    char* const base = warm_.front();
    warm_.erase(warm_.begin());
    ready_.store(warm_.size(), std::memory_order_relaxed);
    lock.unlock();
    std::memset(base, 0, segment_size);
    lock.lock();
    warm_.push_back(base);
    ready_.store(warm_.size(), std::memory_order_relaxed);
  }
}

void SegmentPool::free(char* base) {
  memory_.add(Use::segments, -static_cast<std::int64_t>(segment_size));
  const std::lock_guard lock(mutex_);
  // During an erasure, a segment may not be handed out again before its bytes are gone.
  if (warm_.size() < kept_warm() && memory_.erasing() == 0) {
    warm_.push_back(base);
    ready_.store(warm_.size(), std::memory_order_relaxed);
    return;
  }
  note(base);
}

// Notes that the pages of a free segment are to be given back. Called with mutex_ held.
void SegmentPool::note(char* base) {
  auto* const noted = new (base) Noted{nullptr};
  (newest_noted_ != nullptr ? newest_noted_->next : oldest_noted_) = noted;
  newest_noted_ = noted;
  noted_count_.fetch_add(1, std::memory_order_relaxed);
  memory_.add_returning(segment_size);
}

// Takes the segment that was noted first. There must be one. Called with mutex_ held.
char* SegmentPool::take_noted() {
  Noted* const noted = oldest_noted_;
  oldest_noted_ = noted->next;
  if (oldest_noted_ == nullptr) newest_noted_ = nullptr;
  memory_.add_returning(-static_cast<std::int64_t>(segment_size));
  return reinterpret_cast<char*>(noted);
}

bool SegmentPool::give_back(std::size_t segments) {
  if (given_count_.load(std::memory_order_relaxed) == noted_count_.load(std::memory_order_relaxed)) return false;
  const std::lock_guard alone(giving_);
  for (std::size_t done = 0; done < segments; ++done) {
    char* base = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (oldest_noted_ == nullptr) return false;
      base = take_noted();
      keep_holes(base);
    }
    work::system_call();
    madvise(base, segment_size, MADV_DONTNEED);
    const std::lock_guard lock(mutex_);
    cold_.push_back(base);
    given_count_.fetch_add(1, std::memory_order_relaxed);
  }
  return given_count_.load(std::memory_order_relaxed) != noted_count_.load(std::memory_order_relaxed);
}

std::uint64_t SegmentPool::last_noted() {
  const std::lock_guard lock(mutex_);
  return noted_count_.load(std::memory_order_relaxed);
}

bool SegmentPool::given_back(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  return given_count_.load(std::memory_order_relaxed) >= number;
}

}  // namespace pinfold::store
