#pragma once
// The log of one table: log-structured memory in which entries lie one behind the other in segments of 64 KB. The
// segments form one list for each queue of the eviction policy.
//
// An entry is appended to the newest segment of a queue, and later marked dead where it lies. When the last entry in use of a
// segment is marked dead, the segment is freed. The log knows where entries lie and how many bytes each takes (its extent). The
// table knows the rest: which entries are in use, which blocks they refer to, and which may be evicted.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "pinfold/eviction/policy.hpp"
#include "pinfold/store/entry.hpp"
#include "pinfold/store/index.hpp"
#include "pinfold/store/purges.hpp"
#include "pinfold/store/segment.hpp"
#include "pinfold/store/segments.hpp"

namespace pinfold::store {

/// Not thread-safe: guarded by the shard's lock, as its table is. Sizes are in bytes. Every function is O(1) unless it
/// says otherwise. `pool` must outlive the log.
class Log {
 public:
  /// The segments of one queue, a list from the oldest to the newest.
  struct Queue {
    std::uint32_t oldest = no_segment;
    std::uint32_t newest = no_segment;
    std::uint64_t segments = 0;    // how many
    std::uint64_t blob_bytes = 0;  // of blocks to which these segments' entries in use refer
    std::uint64_t bytes() const { return segments * segment_size + blob_bytes; }
  };

  /// A place in a segment where work has stopped, to go on in a later hold of the lock. It is valid while the segment
  /// has the same sequence number: a segment that was freed or begun anew has another. While the place is valid, the entries of
  /// the segment stay at their offsets.
  struct Place {
    std::uint32_t id = no_segment;
    std::uint32_t offset = 0;
    std::uint64_t sequence = 0;
  };

  /// `occupied` is the shard's count of bytes in segments, and in blocks to which entries refer, for all its tables.
  /// The log keeps it up to date. The destructor does not touch it, because a table may be destroyed without the lock.
  Log(SegmentPool& pool, std::atomic<std::uint64_t>& occupied) : pool_(pool), occupied_(occupied) {}
  /// Frees no segment. All must have been freed before: see free_of_dismantled().
  ~Log() = default;
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // --- where an entry lies ---

  /// The reference of the entry that lies `offset` bytes from the start of segment `id`: 17 bits of id, 15 bits of
  /// offset in words of 2 bytes.
  static Ref ref(std::uint32_t id, std::uint32_t offset) { return id << offset_bits | offset / static_cast<std::uint32_t>(word); }
  static std::uint32_t id_of(Ref ref) { return ref >> offset_bits; }
  /// The offset of the entry in bytes from the start of its segment.
  static std::uint32_t offset_of(Ref ref) { return (ref & offset_mask) * static_cast<std::uint32_t>(word); }
  Entry entry(Ref ref) const { return Entry(segments_.base(id_of(ref)) + offset_of(ref)); }

  // --- segments and queues ---

  /// Segments have the ids from 1 to end() - 1. An id is free if its segment has a null base.
  std::uint32_t end() const { return static_cast<std::uint32_t>(segments_.size()); }
  Segment& segment(std::uint32_t id) { return segments_[id]; }
  const Segment& segment(std::uint32_t id) const { return segments_[id]; }
  Segment& segment_of(Ref ref) { return segments_[id_of(ref)]; }
  const Segment& segment_of(Ref ref) const { return segments_[id_of(ref)]; }
  const Queue& queue(eviction::Queue which) const { return queues_[static_cast<unsigned>(which)]; }
  const Queue& queue_of(const Segment& segment) const { return queues_[segment.queue]; }
  const std::array<Queue, eviction::queue_count>& queues() const { return queues_; }
  /// Whether the segment is the newest of its queue, to which entries are appended.
  bool is_newest(std::uint32_t id) const { return queue_of(segments_[id]).newest == id; }

  Place place_in(std::uint32_t id) const { return {.id = id, .offset = 0, .sequence = segments_[id].sequence}; }
  bool valid(const Place& place) const { return place.sequence != 0 && segments_[place.id].sequence == place.sequence; }

  // --- writing ---

  /// Takes `extent` bytes at the end of a queue. The caller must write an entry of this extent there before it unlocks the
  /// shard. Returns 0 if there is no memory for a new segment, or no id for one.
  Ref append(eviction::Queue which, std::size_t extent) {
    const auto bytes = static_cast<std::uint32_t>(extent);
    std::uint32_t id = queue(which).newest;
    if (id == no_segment || segment_size - segments_[id].used < bytes) [[unlikely]] {
      id = open_segment(which);
      if (id == no_segment) return 0;
    }
    Segment& segment = segments_[id];
    const Ref at = ref(id, segment.used);
    segment.used += bytes;
    used_bytes_ += bytes;
    return at;
  }
  /// Marks an entry dead: its bytes are garbage from now on. If it was the last entry in use of the segment, the segment is
  /// freed, or begun anew if it is the newest one of its queue. Must be called after the entry has given up its references to
  /// blocks.
  void mark_dead(Ref ref);
  /// Fills the rest of a segment with at most four dead entries, so that nothing is appended to it any more.
  void seal(std::uint32_t id);
  /// Frees a segment of this queue if it has no entries at all, because mark_dead() has begun it anew. Otherwise does nothing.
  void free_if_empty(std::uint32_t id, eviction::Queue which);
  /// Frees the memory of a segment while the table is being dismantled. Queues and figures are no longer right
  /// afterwards.
  void free_of_dismantled(std::uint32_t id) { pool_.free(std::exchange(segments_[id].base, nullptr)); }
  /// Tells a segment that one of its entries expires at `at`, its gone_at() (0: never).
  static void note_deadline(Segment& segment, UnixMs at) {
    if (at != 0) segment.earliest = std::min(segment.earliest, at);
  }
  /// Counts a block of `bytes` bytes to which an entry in use of the segment refers (`sign` 1), or no longer refers (-1).
  void count_blob(Segment& segment, std::uint64_t bytes, int sign);
  /// Counts a block whose bytes have changed.
  void count_growth(const Segment& segment, std::int64_t bytes) {
    queues_[segment.queue].blob_bytes += static_cast<std::uint64_t>(bytes);
    occupy(bytes);
  }

  // --- figures ---

  /// Bytes of segments, and of blocks to which entries in use refer.
  std::uint64_t occupied() const {
    std::uint64_t bytes = 0;
    for (const Queue& queue : queues_) bytes += queue.bytes();
    return bytes;
  }
  /// Bytes of all entries in segments, dead ones included.
  std::uint64_t used_bytes() const { return used_bytes_; }
  /// Bytes of the dead entries among them.
  std::uint64_t dead_bytes() const { return dead_bytes_; }
  /// References of entries in use to blocks. A block to which two entries refer counts twice.
  std::uint64_t blobs() const { return blobs_; }

  // --- positions ---

  /// The end of everything that has been written so far.
  LogPosition position() const;
  /// Whether the entry was written before that position. An entry that was moved counts as written when it was moved.
  bool written_before(Ref ref, const LogPosition& position) const;

  /// Whether each queue's list has as many segments as the queue counts, is linked in both directions, and every id
  /// outside of the lists is free. O(segments); for tests.
  bool audit_queues() const;

 private:
  static constexpr unsigned offset_bits = 15;  // 64 KB in words of 2 bytes
  static constexpr Ref offset_mask = (1U << offset_bits) - 1;
  static constexpr std::uint32_t most_segments = (1U << (32 - offset_bits)) - 1;

  void occupy(std::int64_t bytes) {
    occupied_.store(occupied_.load(std::memory_order_relaxed) + static_cast<std::uint64_t>(bytes), std::memory_order_relaxed);
  }
  bool add_id();
  std::uint32_t open_segment(eviction::Queue which);
  void free_segment(std::uint32_t id);

  SegmentPool& pool_;
  std::atomic<std::uint64_t>& occupied_;
  Segments segments_;
  std::vector<std::uint32_t> free_ids_;
  std::array<Queue, eviction::queue_count> queues_;
  std::uint64_t used_bytes_ = 0;  // of entries in segments, dead ones included
  std::uint64_t dead_bytes_ = 0;
  std::uint64_t blobs_ = 0;
  std::uint64_t sequence_ = 0;  // of the segment that was begun last
};

}  // namespace pinfold::store
