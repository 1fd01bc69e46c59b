#include "pinfold/base/block_heap.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <new>
#include <span>
#include <utility>

#include <sys/mman.h>
#include <sys/resource.h>

#include "pinfold/base/refused_blocks.hpp"
#include "pinfold/base/work.hpp"

namespace pinfold {

namespace {

constexpr std::size_t bits = 64;

bool test(const std::vector<std::uint64_t>& map, std::size_t at) { return (map[at / bits] >> at % bits & 1) != 0; }

// Sets or clears the bits [at, at + count).
void fill(std::vector<std::uint64_t>& map, std::size_t at, std::size_t count, bool value) {
  while (count > 0) {
    const std::size_t offset = at % bits;
    const std::size_t here = std::min(count, bits - offset);
    const std::uint64_t mask = (here == bits ? ~0ULL : (1ULL << here) - 1) << offset;
    if (value) {
      map[at / bits] |= mask;
    } else {
      map[at / bits] &= ~mask;
    }
    at += here;
    count -= here;
  }
}

// The first bit from `at` on whose value is `value`, or `end`.
std::size_t next(const std::vector<std::uint64_t>& map, std::size_t at, std::size_t end, bool value) {
  while (at < end) {
    const std::uint64_t word = (value ? map[at / bits] : ~map[at / bits]) >> at % bits;
    if (word != 0) return std::min(end, at + static_cast<std::size_t>(std::countr_zero(word)));
    at = (at / bits + 1) * bits;
  }
  return end;
}

constexpr std::size_t units_per_page = BlockHeap::page / BlockHeap::unit;

bool page_in_use(const std::vector<std::uint64_t>& used, std::size_t page) {
  const std::size_t first = page * units_per_page;
  return next(used, first, first + units_per_page, true) != first + units_per_page;
}

// Whether the system lets a process reserve addresses without counting them.
bool addresses_are_free() {
#ifdef __SANITIZE_THREAD__
  return false;
#else
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY) return false;
  int overcommit = 0;
  std::ifstream("/proc/sys/vm/overcommit_memory") >> overcommit;
  constexpr int strict = 2;
  return overcommit != strict;
#endif
}

}  // namespace

BlockHeap::BlockHeap(std::function<void(std::int64_t)> account, std::size_t spare) : account_(std::move(account)), spare_(spare) {}

BlockHeap::~BlockHeap() {
  while (give_back(region_size)) {
  }
  for (const auto* regions : {&regions_, &ready_}) {
    for (const auto& region : *regions) munmap(region->base, region_size);
  }
}

char* BlockHeap::map(std::size_t bytes) {
  work::system_call();
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return base == MAP_FAILED ? nullptr : static_cast<char*>(base);
}

// --- mappings ---

char* BlockHeap::map_block(std::size_t size) {
  constexpr std::size_t most_reserved = 32UL << 40;  // a process has 2^47 bytes of addresses
  static const bool free_addresses = addresses_are_free();
  std::size_t range = size;
  {
    const std::lock_guard lock(mutex_);
    if (free_addresses && size < range_size && reserved_ + range_size <= most_reserved) range = range_size;
  }
  char* block = map(range);
  if (block == nullptr && range != size) block = map(range = size);
  if (block == nullptr) return nullptr;
  if (range != size) {
    work::system_call();
    madvise(block, range, MADV_NOHUGEPAGE);  // else the block's last page would become a huge page
  }
  const std::lock_guard lock(mutex_);
  try {
    ranges_.emplace(block, range);
  } catch (const std::bad_alloc&) {
    munmap(block, range);
    return nullptr;
  }
  reserved_ += range;
  return block;
}

char* BlockHeap::grow_mapping(char* block, std::size_t size, std::size_t bytes) {
  std::size_t range = 0;
  {
    const std::lock_guard lock(mutex_);
    range = ranges_.at(block);
  }
  if (bytes <= range) return block;
#ifdef __SANITIZE_THREAD__
  bytes = std::max(bytes, range + range / 2);  // remap() copies here, so it should happen seldom
#endif
  char* const moved = remap(block, range, size, bytes);
  if (moved == nullptr) return nullptr;
  const std::lock_guard lock(mutex_);
  auto place = ranges_.extract(block);  // so that inserting it again takes no memory
  place.key() = moved;
  place.mapped() = bytes;
  ranges_.insert(std::move(place));
  reserved_ += bytes - range;
  return moved;
}

// Makes a larger mapping with the same bytes. Returns null if the system has no memory.
char* BlockHeap::remap(char* block, std::size_t range, [[maybe_unused]] std::size_t size, std::size_t bytes) {
  work::system_call();
#ifdef __SANITIZE_THREAD__
  // The thread sanitizer does not know mremap. It would see a race between the threads that use the old addresses before and after.
  char* const moved = map(bytes);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, block, size);
  munmap(block, range);
  return moved;
#else
  void* const moved = mremap(block, range, bytes, MREMAP_MAYMOVE);
  return moved == MAP_FAILED ? nullptr : static_cast<char*>(moved);
#endif
}

// --- regions ---

std::unique_ptr<BlockHeap::Region> BlockHeap::make_region() {
  std::unique_ptr<Region> region;
  try {
    region = std::make_unique<Region>();
    region->used.resize(region_units / word_bits);
    region->resident.resize(region_pages / word_bits);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  region->base = map(region_size);
  if (region->base == nullptr) return nullptr;
  work::system_call();
  madvise(region->base, region_size, MADV_NOHUGEPAGE);  // else the kernel would fill holes again
  return region;
}

void BlockHeap::prepare() {
  if (is_ready_.load(std::memory_order_relaxed)) return;
  std::unique_ptr<Region> region = make_region();
  const std::lock_guard lock(mutex_);
  refused_ = region == nullptr;
  if (refused_ || is_ready_.load(std::memory_order_relaxed)) {
    if (region != nullptr) munmap(region->base, region_size);
    return;
  }
  try {
    regions_.reserve(regions_.size() + 1);
    longest_.reserve(regions_.size() + 1);
    ready_.reserve(1);
  } catch (const std::bad_alloc&) {
    refused_ = true;
    munmap(region->base, region_size);
    return;
  }
  ready_.push_back(std::move(region));
  is_ready_.store(true, std::memory_order_relaxed);
}

// Requires mutex_.
bool BlockHeap::add_region() {
  std::unique_ptr<Region> region;
  if (!ready_.empty()) {
    region = std::move(ready_.back());
    ready_.pop_back();
    is_ready_.store(false, std::memory_order_relaxed);
    news_.store(true, std::memory_order_relaxed);
  } else {
    if (refused_) return false;
    region = make_region();
    refused_ = region == nullptr;
    if (refused_) return false;
    try {
      regions_.reserve(regions_.size() + 1);
      longest_.reserve(regions_.size() + 1);
    } catch (const std::bad_alloc&) {
      refused_ = true;
      munmap(region->base, region_size);
      return false;
    }
  }
  const auto place =
      std::lower_bound(regions_.begin(), regions_.end(), region, [](const auto& a, const auto& b) { return a->base < b->base; });
  longest_.insert(longest_.begin() + (place - regions_.begin()), static_cast<std::uint32_t>(region_units));
  regions_.insert(place, std::move(region));
  return true;
}

// The index of the region in which the block lies.
std::size_t BlockHeap::index_of(const char* block) const {
  const auto above =
      std::upper_bound(regions_.begin(), regions_.end(), block, [](const char* at, const auto& region) { return at < region->base; });
  return static_cast<std::size_t>(above - regions_.begin()) - 1;
}

void BlockHeap::mark(std::size_t index, std::size_t at, std::size_t units, bool used) {
  Region& region = *regions_[index];
  fill(region.used, at, units, used);
  region.holes.update(region.used, at / word_bits, (at + units - 1) / word_bits + 1);
  longest_[index] = static_cast<std::uint32_t>(region.holes.longest());
}

// Marks a run as used. Returns the bytes of the pages that come into use with it.
std::int64_t BlockHeap::take(std::size_t index, std::size_t at, std::size_t units) {
  Region& region = *regions_[index];
  const std::size_t first = at / units_per_page;
  const std::size_t last = (at + units - 1) / units_per_page;
  std::int64_t fresh = 0;
  for (std::size_t p = first; p <= last; ++p) {
    // Only the first and the last page of a run may hold other blocks too.
    if ((p == first || p == last) && page_in_use(region.used, p)) continue;
    ++fresh;
    if (!test(region.resident, p)) continue;
    --region.spare;
    spare_pages_.fetch_sub(1, std::memory_order_relaxed);
  }
  mark(index, at, units, true);
  fill(region.resident, first, last - first + 1, true);
  return fresh * static_cast<std::int64_t>(page);
}

char* BlockHeap::allocate(std::size_t bytes) {
  work::allocation();
  if (blocks_until_refusal >= 0) [[unlikely]] {
    if (blocks_until_refusal == 0 && refuses_all_further) return nullptr;
    if (blocks_until_refusal-- == 0) return nullptr;
  }
  const std::size_t size = rounded(bytes);
  if (size >= own_mapping) {
    char* block = map_block(size);
    if (block != nullptr) account_(static_cast<std::int64_t>(size));
    return block;
  }
  const std::size_t units = size / unit;
  char* block = nullptr;
  std::int64_t fresh = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto find = [&] {
      const auto found = std::find_if(longest_.begin(), longest_.end(), [units](std::uint32_t longest) { return longest >= units; });
      return static_cast<std::size_t>(found - longest_.begin());
    };
    std::size_t index = find();
    constexpr std::size_t in_a_line = 16;
    work::nodes(index / in_a_line);
    if (index == regions_.size()) {
      if (!add_region()) return nullptr;
      index = find();
    }
    const Region& region = *regions_[index];
    const std::size_t at = region.holes.find(region.used, units);
    fresh = take(index, at, units);
    block = region.base + at * unit;
  }
  account_(fresh);
  return block;
}

char* BlockHeap::grow(char* block, std::size_t size, std::size_t bytes) {
  const std::size_t wanted = rounded(bytes);
  if (wanted <= size) return block;
  if (size >= own_mapping) {
    char* const grown = grow_mapping(block, size, wanted);
    if (grown != nullptr) account_(static_cast<std::int64_t>(wanted - size));
    return grown;
  }
  if (wanted < own_mapping) {
    const std::size_t more = (wanted - size) / unit;
    std::unique_lock lock(mutex_);
    const std::size_t index = index_of(block);
    const Region& region = *regions_[index];
    const std::size_t end = static_cast<std::size_t>(block - region.base + static_cast<std::ptrdiff_t>(size)) / unit;
    if (end + more <= region_units && next(region.used, end, end + more, true) == end + more) {
      const std::int64_t fresh = take(index, end, more);
      lock.unlock();
      account_(fresh);
      return block;
    }
  }
  char* moved = allocate(wanted);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, block, size);
  work::bytes(size);
  free(block, size);
  return moved;
}

void BlockHeap::free(char* block, std::size_t size, bool wipe) {
  const bool mapping = size >= own_mapping;
  // A mapping need not be overwritten: its pages go back to the system. A run that must be overwritten is noted, and give_back() does it.
  if (!mapping && !wipe && !wiping_.load(std::memory_order_relaxed)) return free_run(block, size);
  if (mapping) account_(-static_cast<std::int64_t>(size));
  note(block, size);
  if (size >= worth_news) news_.store(true, std::memory_order_relaxed);
}

// Adds a block to the list for give_back().
void BlockHeap::note(char* block, std::size_t size) {
  auto* const noted = new (block) Noted{nullptr, size, size};
  const std::lock_guard lock(mutex_);
  (newest_noted_ != nullptr ? newest_noted_->next : oldest_noted_) = noted;
  newest_noted_ = noted;
  ++noted_count_;
  noted_bytes_ += size;
}

std::uint64_t BlockHeap::last_noted() const {
  const std::lock_guard alone(giving_);  // waits until pages that are being given back are gone
  const std::lock_guard lock(mutex_);
  return noted_count_;
}

bool BlockHeap::given_back(std::uint64_t number) const {
  const std::lock_guard lock(mutex_);
  return given_count_ >= number;
}

void BlockHeap::free_run(char* block, std::size_t size) {
  std::int64_t freed = 0;
  {
    const std::lock_guard lock(mutex_);
    const std::size_t index = index_of(block);
    Region& region = *regions_[index];
    const std::size_t units = size / unit;
    const std::size_t at = static_cast<std::size_t>(block - region.base) / unit;
    mark(index, at, units, false);

    std::size_t first = at / units_per_page;
    std::size_t end = (at + units - 1) / units_per_page + 1;
    if (page_in_use(region.used, first)) ++first;
    if (end > first && page_in_use(region.used, end - 1)) --end;
    if (end > first) {
      region.spare += end - first;
      spare_pages_.fetch_add(end - first, std::memory_order_relaxed);
      freed = static_cast<std::int64_t>((end - first) * page);
    }
  }
  account_(-freed);
}

// Finds the first run of spare pages from trim_at_ on, of up to `most` pages. Returns region_pages if it has found none. Requires
// mutex_.
std::size_t BlockHeap::find_spare(Region& region, std::size_t most, std::size_t& pages) {
  constexpr std::size_t looked_at_once = 1024;
  const std::size_t end = std::min(trim_at_ + looked_at_once, region_pages);
  for (std::size_t p = next(region.resident, trim_at_, end, true); p < end; p = next(region.resident, p + 1, end, true)) {
    if (page_in_use(region.used, p)) continue;
    pages = 1;
    while (pages < most && p + pages < region_pages && test(region.resident, p + pages) && !page_in_use(region.used, p + pages)) {
      ++pages;
    }
    trim_at_ = p + pages;
    return p;
  }
  trim_at_ = end;
  return region_pages;
}

// Gives a run of spare pages back, of up to about `bytes`, if there are more than `keep`. Returns how much work that was in bytes, which
// is one page for a search in vain, or 0 if there is nothing more to give.
std::size_t BlockHeap::trim(std::size_t bytes, std::size_t keep) {
  std::unique_lock lock(mutex_);
  if (spare_pages_.load(std::memory_order_relaxed) * page <= keep) return 0;
  const auto found = std::find_if(regions_.begin(), regions_.end(), [](const auto& region) { return region->spare > 0; });
  const auto index = static_cast<std::size_t>(found - regions_.begin());
  Region& region = **found;
  if (trim_at_ >= region_pages) trim_at_ = 0;
  std::size_t pages = 0;
  const std::size_t first = find_spare(region, std::max<std::size_t>(bytes / page, 1), pages);
  if (pages == 0) return page;  // there may be some further on
  // The pages are marked as used, so that nobody takes them while the lock is released.
  const std::size_t at = first * units_per_page;
  const std::size_t units = pages * units_per_page;
  mark(index, at, units, true);
  fill(region.resident, first, pages, false);
  region.spare -= pages;
  spare_pages_.fetch_sub(pages, std::memory_order_relaxed);
  lock.unlock();
  work::system_call();
  madvise(region.base + first * page, pages * page, MADV_DONTNEED);
  lock.lock();
  mark(index_of(region.base), at, units, false);  // the index may have changed: a region may have been added before this one
  return pages * page;
}

bool BlockHeap::release_spare(std::size_t bytes) {
  const std::lock_guard alone(giving_);
  return trim(bytes, 0) != 0;
}

void BlockHeap::wipe(char* at, std::size_t size) {
  const std::lock_guard lock(mutex_);
  std::memset(at, 0, size);
}

const char* BlockHeap::wipe_free(const char* at) {
  constexpr std::size_t pages_at_once = 16;  // other threads may wait for the lock
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(regions_.begin(), regions_.end(), [at](const auto& region) { return at < region->base + region_size; });
  if (found == regions_.end()) return nullptr;
  Region& region = **found;
  const std::size_t first = at > region.base ? static_cast<std::size_t>(at - region.base) / page : 0;
  const std::size_t start = next(region.resident, first, region_pages, true);
  const std::size_t end = std::min(start + pages_at_once, region_pages);
  for (std::size_t p = start; p < end; p = next(region.resident, p + 1, end, true)) {
    const std::size_t last_unit = (p + 1) * units_per_page;
    for (std::size_t u = next(region.used, p * units_per_page, last_unit, false); u < last_unit;) {
      const std::size_t used = next(region.used, u, last_unit, true);
      std::memset(region.base + u * unit, 0, (used - u) * unit);
      u = next(region.used, used, last_unit, false);
    }
  }
  return region.base + end * page;
}

// Gives the oldest noted block back, or up to about `bytes` of it. Returns how many bytes that were, 0 if there is no block. Requires
// giving_, so that no other thread takes the block while it stays in the list.
std::size_t BlockHeap::give_back_noted(std::size_t bytes) {
  Noted* noted = nullptr;
  {
    const std::lock_guard lock(mutex_);
    noted = oldest_noted_;
  }
  if (noted == nullptr) return 0;
  char* const block = reinterpret_cast<char*>(noted);
  const std::size_t size = noted->size;
  const bool mapping = size >= own_mapping;
  const std::size_t here = mapping ? std::min(bytes, noted->left) : size;
  if (mapping && noted->left > here) {
    noted->left -= here;
    work::system_call();
    madvise(block + noted->left, here, MADV_DONTNEED);
    noted_bytes_ -= here;
    return here;
  }
  std::size_t range = 0;
  {
    const std::lock_guard lock(mutex_);
    oldest_noted_ = noted->next;
    if (oldest_noted_ == nullptr) newest_noted_ = nullptr;
    if (mapping) {
      const auto place = ranges_.find(block);
      range = place->second;
      reserved_ -= range;
      ranges_.erase(place);
    }
  }
  if (mapping) {
    work::system_call();
    munmap(block, range);
  } else {
    work::bytes(size);
    std::memset(block, 0, size);
    free_run(block, size);
  }
  const std::lock_guard lock(mutex_);
  noted_bytes_ -= here;
  ++given_count_;
  return here;
}

bool BlockHeap::give_back(std::size_t bytes) {
  // Memory is given back in pieces: unmapping much at once would make page faults of the whole process wait.
  constexpr std::size_t piece = 512 * 1024;
  const std::lock_guard alone(giving_);
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t here = give_back_noted(piece);
    done += here;
    if (here == 0) break;
  }
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t here = trim(std::min(piece, bytes), spare_);
    done += here;
    if (here == 0) break;
  }
  return noted() != 0;
}

}  // namespace pinfold
