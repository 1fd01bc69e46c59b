#include "pinfold/base/page_heap.hpp"

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

#include <sys/mman.h>

#include "pinfold/base/work.hpp"

namespace pinfold {

namespace {

// A word with a bit wherever a run of `length` set bits starts.
std::uint32_t run_starts(std::uint32_t bits, unsigned length) {
  for (; length > 1; --length) bits &= bits >> 1;
  return bits;
}

unsigned longest_run(std::uint32_t bits) {
  unsigned length = 0;
  for (; bits != 0; bits &= bits >> 1) ++length;
  return length;
}

std::uint32_t mask_of(unsigned units) { return static_cast<std::uint32_t>((std::uint64_t{1} << units) - 1); }

}  // namespace

PageHeap::PageHeap(std::function<void(std::int64_t)> account, std::size_t spare) : account_(std::move(account)), spare_(spare) {}

PageHeap::~PageHeap() {
  for (Region* region : regions_) munmap(region, region_size);
}

void PageHeap::list(std::uint32_t number, unsigned run) {
  if (run == 0) return;
  Page& entry = at(number);
  entry.previous = none;
  entry.next = lists_[run];
  if (entry.next != none) at(entry.next).previous = number;
  lists_[run] = number;
  runs_ |= std::uint64_t{1} << run;
}

void PageHeap::unlist(std::uint32_t number, unsigned run) {
  if (run == 0) return;
  const Page& entry = at(number);
  if (entry.next != none) at(entry.next).previous = entry.previous;
  if (entry.previous != none) {
    at(entry.previous).next = entry.next;
  } else {
    lists_[run] = entry.next;
    if (entry.next == none) runs_ &= ~(std::uint64_t{1} << run);
  }
}

// Adds a region. It starts at a multiple of its size, so that the address of a block tells where its page is described. Requires mutex_.
bool PageHeap::add_region() {
  constexpr std::size_t most_regions = (std::size_t{1} << 32) / region_pages;
  if (regions_.size() == most_regions) return false;
  try {
    regions_.reserve(regions_.size() + 1);
  } catch (const std::bad_alloc&) {
    return false;
  }
  for (int call = 0; call < 4; ++call) work::system_call();
  void* const raw = mmap(nullptr, 2 * region_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return false;
  char* const mapped = static_cast<char*>(raw);
  const std::size_t before = (region_size - reinterpret_cast<std::uintptr_t>(raw) % region_size) % region_size;
  if (before > 0) munmap(mapped, before);
  munmap(mapped + before + region_size, region_size - before);
  madvise(mapped + before, region_size, MADV_NOHUGEPAGE);  // else the kernel would fill pages again that were given back
  auto* const region = reinterpret_cast<Region*>(mapped + before);
  region->number = static_cast<std::uint32_t>(regions_.size());
  regions_.push_back(region);
  carved_ = header_pages;
  return true;
}

void PageHeap::prepare() {
  constexpr std::size_t plenty = 1024 * 1024 / page;
  const std::lock_guard lock(mutex_);
  if (regions_.empty()) {
    refused_ = !add_region();
  } else if (refused_ || (cold_ == none && region_pages - carved_ < plenty && free_resident() == 0)) {
    // The unused pages of the last region are kept in the list of pages that were given back.
    const auto last = static_cast<std::uint32_t>((regions_.size() - 1) * region_pages);
    const std::size_t begin = carved_;
    refused_ = !add_region();
    if (refused_) return;
    for (std::size_t i = begin; i < region_pages; ++i) {
      const auto number = static_cast<std::uint32_t>(last + i);
      at(number).next = std::exchange(cold_, number);
    }
  }
}

// Returns an empty page, resident or not, or `none` if the system has no memory. Requires mutex_.
std::uint32_t PageHeap::take_fresh() {
  if (cold_ != none) return std::exchange(cold_, at(cold_).next);
  if (carved_ == region_pages && (refused_ || !add_region())) return none;
  return static_cast<std::uint32_t>((regions_.size() - 1) * region_pages + carved_++);
}

std::uint32_t PageHeap::number_of(const char* block) {
  const auto where = reinterpret_cast<std::uintptr_t>(block);
  const auto* const region = reinterpret_cast<const Region*>(where & ~(region_size - 1));
  return static_cast<std::uint32_t>(region->number * region_pages + where % region_size / page);
}

bool PageHeap::wasteful() const {
  constexpr std::uint64_t negligible = 32 * 1024 / unit;
  const std::uint64_t there = used_pages_.load(std::memory_order_relaxed) * page_units;
  return there * 2 > used_units_.load(std::memory_order_relaxed) * 3 + negligible;
}

bool PageHeap::sparse(const char* block) const {
  const std::lock_guard lock(mutex_);
  return std::popcount(at(number_of(block)).used) * 3 < static_cast<int>(page_units * 2);
}

char* PageHeap::allocate(std::size_t bytes) {
  const auto units = static_cast<unsigned>(rounded(bytes) / unit);
  char* block = nullptr;
  bool fresh = false;
  {
    const std::lock_guard lock(mutex_);
    std::uint32_t number = none;
    if (const std::uint64_t fitting = runs_ >> units; fitting != 0) {
      const unsigned run = units + static_cast<unsigned>(std::countr_zero(fitting));
      number = lists_[run];
      unlist(number, run);
      if (run == page_units) free_resident_.fetch_sub(1, std::memory_order_relaxed);
    } else {
      number = take_fresh();
      if (number == none) return nullptr;
      at(number).used = 0;
    }
    Page& entry = at(number);
    fresh = entry.used == 0;
    if (fresh) used_pages_.fetch_add(1, std::memory_order_relaxed);
    used_units_.fetch_add(units, std::memory_order_relaxed);
    const int start = std::countr_zero(run_starts(~entry.used, units));
    entry.used |= mask_of(units) << start;
    list(number, longest_run(~entry.used));
    block = address(number) + static_cast<std::size_t>(start) * unit;
  }
  if (fresh) account_(page);
  return block;
}

void PageHeap::free(char* block, std::size_t bytes) {
  const auto units = static_cast<unsigned>(rounded(bytes) / unit);
  const std::size_t first = reinterpret_cast<std::uintptr_t>(block) % page / unit;
  bool empty = false;
  {
    const std::lock_guard lock(mutex_);
    const std::uint32_t number = number_of(block);
    Page& entry = at(number);
    unlist(number, longest_run(~entry.used));
    entry.used &= ~(mask_of(units) << first);
    list(number, longest_run(~entry.used));
    empty = entry.used == 0;
    used_units_.fetch_sub(units, std::memory_order_relaxed);
    if (empty) {
      used_pages_.fetch_sub(1, std::memory_order_relaxed);
      free_resident_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  if (empty) account_(-static_cast<std::int64_t>(page));
}

bool PageHeap::release_beyond(std::size_t spare) {
  constexpr std::size_t at_once = 64;
  if (free_resident() <= spare) return false;
  std::array<std::uint32_t, at_once> taken{};
  std::size_t count = 0;
  {
    const std::lock_guard lock(mutex_);
    while (count < at_once && free_resident() > spare) {
      taken[count] = lists_[page_units];
      unlist(taken[count++], page_units);
      free_resident_.fetch_sub(1, std::memory_order_relaxed);
    }
  }
  const auto end = taken.begin() + static_cast<std::ptrdiff_t>(count);
  std::sort(taken.begin(), end);
  for (auto first = taken.begin(); first != end;) {
    auto last = first + 1;
    while (last != end && *last == *(last - 1) + 1) ++last;
    char* base = nullptr;
    {
      const std::lock_guard lock(mutex_);  // another thread may add a region
      base = address(*first);
    }
    work::system_call();
    madvise(base, static_cast<std::size_t>(last - first) * page, MADV_DONTNEED);
    first = last;
  }
  const std::lock_guard lock(mutex_);
  for (auto it = taken.begin(); it != end; ++it) at(*it).next = std::exchange(cold_, *it);
  return free_resident() > spare;
}

}  // namespace pinfold
