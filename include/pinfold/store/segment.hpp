#pragma once
// Segments: the fixed-size pieces of memory that logs are made of, and the pool that hands them out.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <vector>

#include "pinfold/base/clock.hpp"
#include "pinfold/store/memory.hpp"

namespace pinfold::store {

/// Small enough that a shard of a few megabytes still has a queue of several segments, and that emptying one is a
/// matter of microseconds; large enough that the unused end of a segment does not count.
constexpr std::size_t segment_size = 64 * 1024;
constexpr UnixMs no_deadline = std::numeric_limits<UnixMs>::max();
constexpr std::uint32_t no_segment = 0;  // ids start at 1, so that a reference of 0 is none

/// What is known of a segment without reading it. 56 bytes for 64 KB.
struct Segment {
  char* base = nullptr;              // null: the id is free
  std::uint32_t used = 0;            // bytes from the start that hold entries, dead ones included
  std::uint32_t dead = 0;            // bytes of dead entries among them
  UnixMs earliest = no_deadline;     // no live entry expires before this
  std::uint64_t sequence = 0;        // higher than that of any segment of its table that was started before
  std::uint32_t older = no_segment;  // neighbours in its queue
  std::uint32_t newer = no_segment;
  std::uint32_t opened = 0;  // monotonic seconds
  std::uint32_t blobs = 0;   // that live entries here hold
  std::uint8_t queue = 0;
};

/// Thread-safe. Memory comes from large reservations of address space; a freed segment's pages go back to the
/// system unless it is one of a few kept for the next allocation. free() takes no system call: give_back() does that later, and until then
/// allocate() takes from what was freed.
class SegmentPool {
 public:
  explicit SegmentPool(Memory& memory) : memory_(memory) {}
  ~SegmentPool();
  SegmentPool(const SegmentPool&) = delete;
  SegmentPool& operator=(const SegmentPool&) = delete;

  /// segment_size bytes, aligned to as many, contents undefined; null if the system has none.
  char* allocate();
  void free(char* base);
  /// Gives the pages of up to `segments` freed segments back; true if there are more. With no shard locked.
  bool give_back(std::size_t segments);
  /// The number of the segment whose pages were last to be given back; whether that and all before it have been.
  std::uint64_t last_noted();
  bool given_back(std::uint64_t number);
  /// Keeps no free segment for the next allocation: give_back() is to return the pages of all of them.
  void release_spare();
  /// Overwrites the free segments that keep their pages. While Memory::erasing(), those freed from then on are overwritten too.
  void wipe_spare();
  /// Sees to it that the next segments have their pages already: for a huge page the kernel takes longer than a shard's
  /// lock may be held. To be called with nothing locked before segments may be needed; mostly one comparison.
  void prepare() {
    if (ready_.load(std::memory_order_relaxed) < least_warm) [[unlikely]]
      refill();
  }

 private:
  static constexpr std::size_t region_size = 64 * 1024 * 1024;
  static constexpr std::size_t most_kept_warm = 16;
  static constexpr std::size_t least_warm = 2;  // a huge page more than needed is a few bytes per key
  /// Few enough that a small cache does not feel them.
  std::size_t kept_warm() const {
    const std::uint64_t limit = memory_.limit();
    return limit == 0 ? most_kept_warm : std::clamp<std::size_t>(limit / 64 / segment_size, 2, most_kept_warm);
  }
  static constexpr std::size_t huge_page = 2 * 1024 * 1024;
  static constexpr std::uint64_t worth_huge_pages = 128ULL * 1024 * 1024;  // of maxmemory

  struct Region {
    char* base = nullptr;
    bool huge = false;
  };
  /// Lies in the segment itself.
  struct Noted {
    Noted* next;
  };
  void note(char* base);
  Region map_region() const;
  char* take_noted();
  bool add_region();
  char* take_cold();
  void refill();
  void keep_holes(const char* base);

  Memory& memory_;
  std::mutex mutex_;
  std::vector<Region> regions_;
  Region next_region_;                // not in use yet: to map one takes too long where a shard is locked
  std::size_t carved_ = region_size;  // bytes of the last region handed out
  std::vector<char*> warm_;           // free, with pages
  std::vector<char*> cold_;           // free, pages given back
  Noted* oldest_noted_ = nullptr;     // free, pages to be given back; counted by Memory::returning()
  Noted* newest_noted_ = nullptr;
  std::atomic<std::uint64_t> noted_count_{0};  // ever; written with mutex_, as the next
  std::atomic<std::uint64_t> given_count_{0};
  std::mutex giving_;                  // taken before mutex_, by one thread that gives back at a time
  std::atomic<std::size_t> ready_{0};  // as many as warm_
  std::mutex refill_mutex_;            // taken before mutex_, by one thread at a time
};

}  // namespace pinfold::store
