#pragma once
// Where large values live: contiguous blocks whose free space costs no resident memory.
//
// Blocks below 1 MB are runs of 512 B units in reservations of 64 MB, first fit by address, with a bit for each unit.
// Larger ones are mappings of their own. A general allocator keeps the holes that a change of value sizes leaves, and so
// grows past any limit; here the pages of a hole go back to the system, so that what is resident is what is in use,
// rounded to pages, and at most `most_spare` on top. The price is half a unit per block, and a search through bits:
// 64 MB are 2048 words, and a region without a hole that is large enough is skipped.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace pinfold {

/// Thread-safe.
class BlockHeap {
 public:
  static constexpr std::size_t unit = 512;
  static constexpr std::size_t page = 4096;
  /// From here on a block is a mapping of its own; fresh ones are zero.
  static constexpr std::size_t own_mapping = 1024 * 1024;
  /// Free pages kept resident for the next block.
  static constexpr std::size_t most_spare = 1024 * 1024;

  /// `account` is told of every change of the pages in use, in bytes; from any thread, and it must not call back.
  /// `spare`: bytes of free pages that may stay resident for the next block.
  explicit BlockHeap(std::function<void(std::int64_t)> account, std::size_t spare = most_spare);
  ~BlockHeap();
  BlockHeap(const BlockHeap&) = delete;
  BlockHeap& operator=(const BlockHeap&) = delete;

  /// What a block of `bytes` will really be.
  static std::size_t rounded(std::size_t bytes) {
    const std::size_t step = bytes < own_mapping ? unit : page;
    return (bytes + step - 1) & ~(step - 1);
  }
  /// A block of rounded(bytes) bytes; null if the system has none.
  char* allocate(std::size_t bytes);
  /// Makes a block of `size` bytes (as rounded) larger, moving it if need be: the bytes move along. Null if that cannot
  /// be had; then the block is as it was. Without a copy from `own_mapping` on.
  char* grow(char* block, std::size_t size, std::size_t bytes);
  /// Huge mappings are only noted here, and freed by free_noted(), a piece at a time.
  void free(char* block, std::size_t size);

  /// Gives up to about `bytes` of noted mappings back to the system; true if there are more. To be called in the
  /// background, and by whoever is about to allocate as much, lest that falls behind.
  bool free_noted(std::size_t bytes);
  /// Bytes of mappings that still wait for that; they are out of the account already.
  std::uint64_t noted() const { return noted_bytes_.load(std::memory_order_relaxed); }
  /// Gives all pages that are kept for the next block back to the system.
  void release_spare();

  /// While it is on, blocks are overwritten when they are freed.
  void wipe_freed(bool on) { wiping_.store(on, std::memory_order_relaxed); }
  /// Overwrites free bytes, or gives their pages back, in about a megabyte from `at` on (null: from the start). Returns where to
  /// go on; null: that was all. What is mapped only now, or freed behind `at`, is left to wipe_freed().
  const char* wipe_free(const char* at);
  /// Overwrites bytes of a block that several may be overwriting.
  void wipe(char* at, std::size_t size);

  /// Called (with no lock held) when a block was noted.
  void on_noted(std::function<void()> wake) { wake_ = std::move(wake); }

 private:
  static constexpr std::size_t region_size = 64 * 1024 * 1024;
  static constexpr std::size_t region_units = region_size / unit;
  static constexpr std::size_t region_pages = region_size / page;
  static constexpr std::size_t word_bits = 64;
  /// Freeing less takes no longer than a request may.
  static constexpr std::size_t worth_noting = 4 * 1024 * 1024;

  struct Region {
    char* base = nullptr;
    std::size_t largest = region_units;    // no hole has more units than this
    std::size_t first_free = 0;            // no unit below is free
    std::vector<std::uint64_t> used;       // by unit
    std::vector<std::uint64_t> resident;   // by page: in use, or spare
  };
  struct Mapping {
    char* base;
    std::size_t size;
    std::size_t given_back = 0;  // bytes from the start
  };

  char* map(std::size_t bytes);
  char* remap(char* block, std::size_t size, std::size_t bytes);
  bool add_region();
  Region& region_of(const char* block);
  std::size_t find_hole(Region& region, std::size_t units);
  std::int64_t take(Region& region, std::size_t at, std::size_t units);
  void free_run(char* block, std::size_t size);
  bool note(const Mapping& mapping);
  void purge(Region& region, std::size_t first_page, std::size_t pages);

  const std::function<void(std::int64_t)> account_;
  const std::size_t spare_;
  std::function<void()> wake_;
  std::mutex mutex_;  // guards what follows
  std::vector<std::unique_ptr<Region>> regions_;  // by address
  std::size_t spare_pages_ = 0;
  std::vector<Mapping> noted_;
  std::atomic<std::uint64_t> noted_bytes_{0};  // written with the lock
  std::atomic<bool> wiping_{false};
};

}  // namespace pinfold
