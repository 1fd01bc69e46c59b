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

// Without a base if the system has none.
SegmentPool::Region SegmentPool::map_region() const {
  // Aligned to huge pages: mapped larger, and the ends cut off.
  work::system_call();
  void* raw = mmap(nullptr, region_size + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return {};
  char* const mapped = static_cast<char*>(raw);
  const std::size_t before = (huge_page - reinterpret_cast<std::uintptr_t>(raw) % huge_page) % huge_page;
  char* const base = mapped + before;
  if (before > 0) munmap(mapped, before);
  munmap(base + region_size, huge_page - before);
  // Entries are met in random order: with small pages most look-ups would walk the page tables first. A small cache
  // would feel the rounding up to 2 MB.
  const bool huge = memory_.limit() == 0 || memory_.limit() >= worth_huge_pages;
  madvise(base, region_size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  return {base, huge};
}

// With mutex_.
bool SegmentPool::add_region() {
  // Room to note everything that may ever be free: to give memory back must not take any.
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

// A free segment without pages, or null. With mutex_.
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
    next_region_ = region;  // which only this function sets
  }
  std::array<char*, huge_page / segment_size> taken{};
  std::size_t count = 0;
  {
    const std::lock_guard lock(mutex_);
    const bool huge = cold_.empty() && !regions_.empty() && regions_.back().huge;
    // To the end of a huge page: one that is begun is there as a whole.
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

// Pages given back stay so: the kernel would fill the holes again to make huge pages of them.
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
  } else if (oldest_noted_ != nullptr && !memory_.erasing()) {
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
  // One at a time, and as often as there were any at first: what comes meanwhile is clean and goes to the end.
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
  // While bytes are erased, none may be handed out again before they are overwritten.
  if (warm_.size() < kept_warm() && !memory_.erasing()) {
    warm_.push_back(base);
    ready_.store(warm_.size(), std::memory_order_relaxed);
    return;
  }
  note(base);
}

// With mutex_.
void SegmentPool::note(char* base) {
  auto* const noted = new (base) Noted{nullptr};
  (newest_noted_ != nullptr ? newest_noted_->next : oldest_noted_) = noted;
  newest_noted_ = noted;
  noted_count_.fetch_add(1, std::memory_order_relaxed);
  memory_.add_returning(segment_size);
}

// The one that was noted first, which is there. With mutex_.
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
