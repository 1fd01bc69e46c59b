#pragma once
// Segments, which are the pieces of 64 KB that logs are made of, and the pool from which all tables take them.

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

/// In bytes. Small enough that the queues of a shard of a few megabytes still have several segments each, and that a
/// segment is emptied within microseconds. Large enough that the unused bytes at the end of a segment do not matter.
constexpr std::size_t segment_size = 64 * 1024;
constexpr UnixMs no_deadline = std::numeric_limits<UnixMs>::max();
constexpr std::uint32_t no_segment = 0;  // ids start at 1, so that the reference 0 can mean none

/// What a table knows of a segment without reading its 64 KB. A table names its segments by ids (segments.hpp). Guarded
/// by the shard's lock. 56 bytes.
struct Segment {
  char* base = nullptr;              // null: the id is free
  std::uint32_t used = 0;            // bytes from the start that hold entries, dead ones included
  std::uint32_t dead = 0;            // bytes of dead entries among these
  UnixMs earliest = no_deadline;     // no entry in use expires before this, except while Table::expiring_ is at this segment
  std::uint64_t sequence = 0;        // a number that grows with each segment that the table begins, or begins anew
  std::uint32_t older = no_segment;  // the ids of its neighbours in its queue
  std::uint32_t newer = no_segment;
  std::uint32_t opened = 0;  // when it was taken from the pool, by monotonic_seconds()
  std::uint32_t blobs = 0;   // references of its entries in use to blocks
  std::uint8_t queue = 0;    // an eviction::Queue
};

/// Hands out segments and takes them back. Thread-safe. Counts segments that are handed out as Use::segments in `memory`, which
/// must outlive the pool.
///
/// Segments are cut from reservations of 64 MB of address space (regions). A free segment is in one of three states:
///   - warm: it keeps its pages for the next allocate(). There are at most a few dozen of these
///   - noted: its pages are to be given back to the system. free() only notes that, because it may be called with a
///     shard locked and must make no system call. allocate() may take such a segment again
///   - cold: give_back() has returned its pages to the system
class SegmentPool {
 public:
  explicit SegmentPool(Memory& memory) : memory_(memory) {}
  ~SegmentPool();
  SegmentPool(const SegmentPool&) = delete;
  SegmentPool& operator=(const SegmentPool&) = delete;

  /// Returns segment_size bytes, aligned to segment_size, with undefined contents. Null if the system has no memory.
  /// O(1), with no system call unless a new region is needed, and with none if prepare() has just been refused one.
  char* allocate();
  /// Takes a segment back. O(1), without a system call and without taking memory.
  void free(char* base);
  /// Gives the pages of up to `segments` noted segments back to the system. Returns true if more are noted. Must be called with
  /// no shard locked.
  bool give_back(std::size_t segments);
  /// How many segments have been noted since the start. This is also the number of the segment that was noted last.
  std::uint64_t last_noted();
  /// Whether none of the segments with numbers up to this one is noted any more: their pages were given back, or they were
  /// taken for use.
  bool given_back(std::uint64_t number);
  /// Notes all warm segments, so that give_back() returns their pages too.
  void release_spare();
  /// Overwrites all warm segments with zeros. Segments that are freed while Memory::erasing() need not be overwritten:
  /// they are noted, and not used again before their pages have been given back.
  void wipe_spare();
  /// Makes segments warm if few are. The kernel takes longer to supply a huge page than a shard's lock may be held. So this
  /// must be called with nothing locked, before segments may be needed. Usually it costs one comparison.
  void prepare() {
    if (ready_.load(std::memory_order_relaxed) < least_warm) [[unlikely]]
      refill();
  }

 private:
  static constexpr std::size_t region_size = 64 * 1024 * 1024;
  static constexpr std::size_t most_kept_warm = 16;
  static constexpr std::size_t least_warm = 2;  // refill() below this; low, because a needless refill takes a huge page
  /// How many free segments stay warm. They are few, so that a small cache hardly loses memory to them.
  std::size_t kept_warm() const {
    const std::uint64_t limit = memory_.limit();
    return limit == 0 ? most_kept_warm : std::clamp<std::size_t>(limit / 64 / segment_size, 2, most_kept_warm);
  }
  static constexpr std::size_t huge_page = 2 * 1024 * 1024;
  // The least maxmemory with huge pages. Without a maxmemory they are used too.
  static constexpr std::uint64_t worth_huge_pages = 128ULL * 1024 * 1024;

  struct Region {
    char* base = nullptr;
    bool huge = false;
  };
  /// A noted segment, in a list. It lies in the first bytes of the segment itself, so noting takes no memory.
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
  Region next_region_;                // mapped before it is needed, because mapping takes too long with a shard locked
  bool refused_ = false;              // refill() got none from the system; only refill() asks for one again
  std::size_t carved_ = region_size;  // bytes of the last region that have been cut off
  std::vector<char*> warm_;           // free segments with pages
  std::vector<char*> cold_;           // free segments without pages
  Noted* oldest_noted_ = nullptr;     // free segments whose pages are to be given back; counted by Memory::returning()
  Noted* newest_noted_ = nullptr;
  std::atomic<std::uint64_t> noted_count_{0};  // since the start; written with mutex_ held, like the next
  std::atomic<std::uint64_t> given_count_{0};
  std::mutex giving_;                  // held while giving back, by one thread at a time; taken before mutex_
  std::atomic<std::size_t> ready_{0};  // the size of warm_, to be read without mutex_
  std::mutex refill_mutex_;            // held by the one thread that refills warm_; taken before mutex_
};

}  // namespace pinfold::store
