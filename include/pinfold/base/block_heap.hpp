#pragma once
// Where large values live: contiguous blocks whose free space costs no resident memory.
//
// Blocks below 1 MB are runs of 512 B units in reservations of 64 MB, first fit by address, with a bit for each unit.
// Larger ones are mappings of their own. A general allocator keeps the holes that a change of value sizes leaves, and so
// grows past any limit; here the pages of a hole go back to the system, so that what is resident is what is in use,
// rounded to pages, and at most `most_spare` on top. The price is half a unit per block, and a search for the hole: of 11 steps
// in its region (base/holes.hpp), which is the first with one that is large enough.
//
// Whoever uses blocks may hold a lock that others wait for, so most of it takes no system call:
//   - to free a block: pages and mappings are only noted, and give_back() returns them to the system
//   - to allocate less than a mapping, while prepare() has a reservation ready
//   - to let a mapping grow, while that stays within the addresses that were reserved for it. Those cost nothing until they are
//     written to. Where the system counts them all the same (RLIMIT_AS, vm.overcommit_memory=2), none are reserved
// To allocate a mapping takes one.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "pinfold/base/holes.hpp"

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
  /// Up to here a mapping grows in place: the longest value that clients may send by default, and the room that it gets to grow.
  static constexpr std::size_t range_size = 640UL * 1024 * 1024;

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
  /// be had; then the block is as it was. Without a copy from `own_mapping` on, and where it is up to `range_size`.
  char* grow(char* block, std::size_t size, std::size_t bytes);
  /// `wipe`: give_back() overwrites it first; until then it stays in the account, unless it is a mapping. Takes no memory.
  void free(char* block, std::size_t size, bool wipe = false);

  /// Gives up to about `bytes` of what was freed back to the system; true if there is more. With no lock held that others wait
  /// for: in the background, and by whoever is about to allocate as much, lest that falls behind.
  bool give_back(std::size_t bytes);
  /// Bytes that wait for that, in blocks that were noted and in pages beyond those kept for the next block.
  std::uint64_t noted() const {
    const std::uint64_t spare = spare_pages_.load(std::memory_order_relaxed) * page;
    return noted_bytes_.load(std::memory_order_relaxed) + (spare > spare_ ? spare - spare_ : 0);
  }
  /// The number of the block that was noted last; whether that and all before it have been given back.
  std::uint64_t last_noted() const;
  bool given_back(std::uint64_t number) const;
  /// Has a reservation ready for when those in use are full. With no lock held that others wait for.
  void prepare();
  /// Gives a run of the pages that are kept for the next block back to the system, up to `bytes` of them; true if there may be more.
  bool release_spare(std::size_t bytes);

  /// While it is on, blocks are overwritten when they are freed.
  void wipe_freed(bool on) { wiping_.store(on, std::memory_order_relaxed); }
  /// Overwrites free bytes, or gives their pages back, in about a megabyte from `at` on (null: from the start). Returns where to
  /// go on; null: that was all. What is mapped only now, or freed behind `at`, is left to wipe_freed().
  const char* wipe_free(const char* at);
  /// Overwrites bytes of a block that several may be overwriting.
  void wipe(char* at, std::size_t size);

  /// A block has come to be kept by the store, or is no longer: what blocks beside those take together. For Blob.
  void note_loose(std::int64_t bytes) { loose_.fetch_add(bytes, std::memory_order_relaxed); }
  std::int64_t loose() const { return loose_.load(std::memory_order_relaxed); }

  /// Whether a large block has been noted, or a reservation taken that was ready, since this was last asked: somebody is to see to
  /// it soon.
  bool has_news() { return news_.load(std::memory_order_relaxed) && news_.exchange(false, std::memory_order_relaxed); }

 private:
  static constexpr std::size_t region_size = 64 * 1024 * 1024;
  static constexpr std::size_t region_units = region_size / unit;
  static constexpr std::size_t region_pages = region_size / page;
  static constexpr std::size_t word_bits = 64;
  /// The background sees to less when it comes by.
  static constexpr std::size_t worth_news = 4 * 1024 * 1024;

  struct Region {
    char* base = nullptr;
    std::vector<std::uint64_t> used;        // by unit
    Holes holes{region_units / word_bits};  // of `used`
    std::vector<std::uint64_t> resident;    // by page: in use, or spare
    std::size_t spare = 0;                  // pages that are resident and not in use
  };
  /// Lies in the block itself.
  struct Noted {
    Noted* next;
    std::size_t size;
    std::size_t left;  // of a mapping, which is given back from its end
  };

  static char* map(std::size_t bytes);
  static std::unique_ptr<Region> make_region();
  char* map_block(std::size_t size);
  char* grow_mapping(char* block, std::size_t size, std::size_t bytes);
  char* remap(char* block, std::size_t range, std::size_t size, std::size_t bytes);
  bool add_region();
  std::size_t index_of(const char* block) const;
  void mark(std::size_t index, std::size_t at, std::size_t units, bool used);
  std::int64_t take(std::size_t index, std::size_t at, std::size_t units);
  void free_run(char* block, std::size_t size);
  void note(char* block, std::size_t size);
  std::size_t give_back_noted(std::size_t bytes);
  std::size_t trim(std::size_t bytes, std::size_t keep);
  std::size_t find_spare(Region& region, std::size_t most, std::size_t& pages);

  const std::function<void(std::int64_t)> account_;
  const std::size_t spare_;
  mutable std::mutex giving_;                            // taken before mutex_, by one thread that gives back at a time
  mutable std::mutex mutex_;                             // guards what follows
  std::vector<std::unique_ptr<Region>> regions_;         // by address
  std::vector<std::uint32_t> longest_;                   // the longest hole of each, in one row for the search
  std::vector<std::unique_ptr<Region>> ready_;           // one, not in use yet, or none
  std::unordered_map<const char*, std::size_t> ranges_;  // of mappings: the bytes of addresses that each has
  std::size_t reserved_ = 0;                             // their sum
  std::size_t trim_at_ = 0;                              // the page of its region where trim() looks next
  Noted* oldest_noted_ = nullptr;
  Noted* newest_noted_ = nullptr;
  std::uint64_t noted_count_ = 0;  // ever
  std::uint64_t given_count_ = 0;
  std::atomic<std::size_t> spare_pages_{0};  // written with the lock, as the next
  std::atomic<std::uint64_t> noted_bytes_{0};
  std::atomic<bool> news_{false};
  std::atomic<bool> wiping_{false};
  std::atomic<bool> is_ready_{false};
  std::atomic<std::int64_t> loose_{0};
};

}  // namespace pinfold
