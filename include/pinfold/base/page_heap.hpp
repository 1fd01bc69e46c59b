#pragma once
// The heap of small blocks that come and go in many sizes: runs of 128 B units that never cross a page of 4 KB.
//
// A page's units are the bits of one word. Pages are listed by their longest run of free units, and a block goes into the page
// where it leaves the least free (best fit). So both allocate() and free() take a bounded number of steps, however many pages
// there are. Free pages are kept for the next block until release() gives all but a few of them back to the system. Pages lie in
// reservations of 64 MB. The start of each reservation describes its pages, with 12 bytes for each.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

namespace pinfold {

/// Thread-safe.
class PageHeap {
 public:
  static constexpr std::size_t unit = 128;
  static constexpr std::size_t page = 4096;
  static constexpr std::size_t largest_block = page;

  /// `account` is called with every change of the pages in use, in bytes. It is called from any thread and must not call the heap.
  /// `spare`: bytes of free pages that release() leaves resident for the next block.
  PageHeap(std::function<void(std::int64_t)> account, std::size_t spare);
  ~PageHeap();
  PageHeap(const PageHeap&) = delete;
  PageHeap& operator=(const PageHeap&) = delete;

  /// The size of the block that allocate(bytes) returns.
  static constexpr std::size_t rounded(std::size_t bytes) { return (bytes + unit - 1) & ~(unit - 1); }
  /// Returns a block of rounded(bytes) bytes, aligned to a unit and with undefined contents, or null if the system has no memory.
  /// `bytes` is at most largest_block.
  char* allocate(std::size_t bytes);
  void free(char* block, std::size_t bytes);

  /// Gives up to 64 free pages beyond the spare ones back to the system. Returns true if there are more. Makes system calls, so it
  /// must be called with no shard locked.
  bool release() { return release_beyond(spare_); }
  /// As release(), but gives the spare pages back too.
  bool release_spare() { return release_beyond(0); }
  /// Reserves addresses for the next blocks if none or few are left. Makes system calls, so it must be called with no shard locked.
  /// If the system refuses, allocate() does not ask it again.
  void prepare();
  /// Whether holes are more than a third of the pages in use, and more than 32 KB. Then blocks should move out of sparse pages.
  bool wasteful() const;
  /// Whether holes are more than a third of the page of this block. A new block of its size would go into a fuller page, if there is one.
  bool sparse(const char* block) const;
  /// Bytes of free pages that are still resident.
  std::uint64_t free_resident() const { return free_resident_.load(std::memory_order_relaxed) * page; }
  /// The part of free_resident() that release() gives back.
  std::uint64_t releasable() const {
    const std::uint64_t free = free_resident();
    return free > spare_ ? free - spare_ : 0;
  }

 private:
  static constexpr std::size_t region_size = 64 * 1024 * 1024;
  static constexpr std::size_t region_pages = region_size / page;
  static constexpr unsigned page_units = page / unit;  // the bits of a word
  static constexpr std::uint32_t none = 0;             // no page has this number: page 0 of a region describes the others

  struct Page {
    std::uint32_t used;  // a bit for each unit
    std::uint32_t next;  // neighbours in its list
    std::uint32_t previous;
  };
  struct Region {
    std::array<Page, region_pages> pages;
    std::uint32_t number;
  };
  static constexpr std::size_t header_pages = (sizeof(Region) + page - 1) / page;

  static std::uint32_t number_of(const char* block);
  Page& at(std::uint32_t number) { return regions_[number / region_pages]->pages[number % region_pages]; }
  const Page& at(std::uint32_t number) const { return regions_[number / region_pages]->pages[number % region_pages]; }
  char* address(std::uint32_t number) { return reinterpret_cast<char*>(regions_[number / region_pages]) + number % region_pages * page; }
  void list(std::uint32_t number, unsigned run);
  void unlist(std::uint32_t number, unsigned run);
  bool add_region();
  std::uint32_t take_fresh();
  bool release_beyond(std::size_t spare);

  const std::function<void(std::int64_t)> account_;
  const std::size_t spare_;
  mutable std::mutex mutex_;  // guards everything below
  std::vector<Region*> regions_;
  std::size_t carved_ = region_pages;                  // pages of the last region that have been used so far
  std::uint64_t runs_ = 0;                             // a bit for each list that is not empty
  std::array<std::uint32_t, page_units + 1> lists_{};  // by the longest free run; a full page is in no list
  std::uint32_t cold_ = none;                          // a list of free pages that were given back
  bool refused_ = false;                               // prepare() got no region from the system; only prepare() asks for one again
  // Written with the lock, read without:
  std::atomic<std::uint64_t> free_resident_{0};  // pages
  std::atomic<std::uint64_t> used_pages_{0};
  std::atomic<std::uint64_t> used_units_{0};
};

}  // namespace pinfold
