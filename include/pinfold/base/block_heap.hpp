#pragma once
// The heap of large values: contiguous blocks whose free space costs no resident memory.
//
// Blocks below 1 MB are runs of 512 B units in reservations of 64 MB, first fit by address, with a bit for each unit.
// Larger blocks are mappings of their own. A general allocator keeps the holes that a change of value sizes leaves, and so
// grows past any limit. Here the pages of a hole go back to the system: the resident memory is what is in use, rounded to
// pages, and at most `most_spare` more. The price is half a unit per block, and the search for a hole: the first region with a
// hole that is large enough is chosen, and the hole is found there in 11 steps (base/holes.hpp).
//
// The caller may hold a lock that other threads wait for. So these take no system call:
//   - Freeing a block. Its pages or its mapping are only noted, and give_back() returns them to the system.
//   - Allocating a block below 1 MB, while prepare() has a reservation ready, or the last prepare() was refused one.
//   - Growing a mapping within the addresses that were reserved for it. Reserved addresses cost nothing until they are
//     written to. Where the system counts them all the same (RLIMIT_AS, vm.overcommit_memory=2), none are reserved.
// Allocating a mapping takes a system call.

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
  /// A block of this size or more is a mapping of its own. A new mapping is zero.
  static constexpr std::size_t own_mapping = 1024 * 1024;
  /// Bytes of free pages that are kept resident for the next block.
  static constexpr std::size_t most_spare = 1024 * 1024;
  /// A mapping grows in place up to this size: the longest value that clients may send by default, and the room that it gets to grow.
  static constexpr std::size_t range_size = 640UL * 1024 * 1024;

  /// `account` is called with every change of the pages in use, in bytes. It is called from any thread and must not call the heap.
  /// `spare`: bytes of free pages that may stay resident for the next block.
  explicit BlockHeap(std::function<void(std::int64_t)> account, std::size_t spare = most_spare);
  ~BlockHeap();
  BlockHeap(const BlockHeap&) = delete;
  BlockHeap& operator=(const BlockHeap&) = delete;

  /// The size of the block that allocate(bytes) returns.
  static std::size_t rounded(std::size_t bytes) {
    const std::size_t step = bytes < own_mapping ? unit : page;
    return (bytes + step - 1) & ~(step - 1);
  }
  /// Returns a block of rounded(bytes) bytes, or null if the system has no memory.
  char* allocate(std::size_t bytes);
  /// Makes a block of `size` bytes (as rounded) larger. The block may move, with its bytes. Returns null, with the block unchanged, if
  /// there is no memory. A mapping grows without a copy, and up to `range_size` in place.
  char* grow(char* block, std::size_t size, std::size_t bytes);
  /// With `wipe`, give_back() overwrites the block first. Until then the block stays in the account, unless it is a mapping. Takes no
  /// memory.
  void free(char* block, std::size_t size, bool wipe = false);

  /// Gives up to about `bytes` of freed memory back to the system. Returns true if there is more. To be called with no lock held that
  /// other threads wait for: by the background, and before a large allocation, so that giving back keeps pace with allocating.
  bool give_back(std::size_t bytes);
  /// Bytes that give_back() would give back: noted blocks, and free pages beyond those kept for the next block.
  std::uint64_t noted() const {
    const std::uint64_t spare = spare_pages_.load(std::memory_order_relaxed) * page;
    return noted_bytes_.load(std::memory_order_relaxed) + (spare > spare_ ? spare - spare_ : 0);
  }
  /// The number of the block that was noted last.
  std::uint64_t last_noted() const;
  /// Whether the block with this number and all blocks noted before it have been given back.
  bool given_back(std::uint64_t number) const;
  /// Makes a reservation that will be used when the present ones are full. To be called with no lock held that other threads wait for.
  void prepare();
  /// Gives a run of the pages that are kept for the next block back to the system, up to `bytes`. Returns true if there may be more.
  bool release_spare(std::size_t bytes);

  /// While this is on, every freed block is overwritten.
  void wipe_freed(bool on) { wiping_.store(on, std::memory_order_relaxed); }
  /// Overwrites free bytes in resident pages, a few pages at a time, from `at` on (null: from the start). Returns where to go on,
  /// or null at the end. Does not see what is reserved meanwhile, or freed before `at`: wipe_freed() covers that.
  const char* wipe_free(const char* at);
  /// Overwrites bytes of a block. Several threads may do so with the same bytes.
  void wipe(char* at, std::size_t size);

  /// Adds to the bytes of loose blocks: those that no entry of the store refers to. For Blob.
  void note_loose(std::int64_t bytes) { loose_.fetch_add(bytes, std::memory_order_relaxed); }
  std::int64_t loose() const { return loose_.load(std::memory_order_relaxed); }

  /// Adds to the bytes of all nodes of trees, and of the blocks to which their elements refer. A block counts once for each node that
  /// refers to it. For Tree.
  void note_trees(std::int64_t bytes) { trees_.fetch_add(bytes, std::memory_order_relaxed); }
  /// Adds to the part of this that is the value of an entry. For Collection.
  void note_stored_trees(std::int64_t bytes) { stored_trees_.fetch_add(bytes, std::memory_order_relaxed); }
  /// The bytes of trees that are no entry's value: snapshots whose collection was changed or removed meanwhile, what commands are building,
  /// and what is still to be freed.
  std::int64_t unstored_trees() const { return trees_.load(std::memory_order_relaxed) - stored_trees_.load(std::memory_order_relaxed); }

  /// Whether the background should come soon: since the last call a large block has been noted, or the reservation that was ready has
  /// been used.
  bool has_news() { return news_.load(std::memory_order_relaxed) && news_.exchange(false, std::memory_order_relaxed); }

 private:
  static constexpr std::size_t region_size = 64 * 1024 * 1024;
  static constexpr std::size_t region_units = region_size / unit;
  static constexpr std::size_t region_pages = region_size / page;
  static constexpr std::size_t word_bits = 64;
  /// The background is not woken for a smaller block.
  static constexpr std::size_t worth_news = 4 * 1024 * 1024;

  struct Region {
    char* base = nullptr;
    std::vector<std::uint64_t> used;        // by unit
    Holes holes{region_units / word_bits};  // the holes in `used`
    std::vector<std::uint64_t> resident;    // by page: in use or spare
    std::size_t spare = 0;                  // pages that are resident and not in use
  };
  /// A freed block in the list of those to be given back. Lies in the block itself.
  struct Noted {
    Noted* next;
    std::size_t size;
    std::size_t left;  // bytes of a mapping that are still to be given back, which is done from its end
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
  mutable std::mutex giving_;                            // held while memory is given back; taken before mutex_
  mutable std::mutex mutex_;                             // guards everything below
  std::vector<std::unique_ptr<Region>> regions_;         // by address
  std::vector<std::uint32_t> longest_;                   // the longest hole of each region, side by side for the search
  std::vector<std::unique_ptr<Region>> ready_;           // a region that is not in use yet, or nothing
  bool refused_ = false;                                 // prepare() got none from the system; only prepare() asks for one again
  std::unordered_map<const char*, std::size_t> ranges_;  // for each mapping the bytes of addresses that it has
  std::size_t reserved_ = 0;                             // the sum of ranges_
  std::size_t trim_at_ = 0;                              // the page of its region where trim() looks next
  Noted* oldest_noted_ = nullptr;
  Noted* newest_noted_ = nullptr;
  std::uint64_t noted_count_ = 0;  // since the start
  std::uint64_t given_count_ = 0;
  std::atomic<std::size_t> spare_pages_{0};  // this and all below: written with the lock, read without
  std::atomic<std::uint64_t> noted_bytes_{0};
  std::atomic<bool> news_{false};
  std::atomic<bool> wiping_{false};
  std::atomic<bool> is_ready_{false};
  std::atomic<std::int64_t> loose_{0};
  std::atomic<std::int64_t> trees_{0};
  std::atomic<std::int64_t> stored_trees_{0};
};

}  // namespace pinfold
