#pragma once
// The log of one table: entries that lie one behind the other in segments, which form one queue for each queue of the eviction policy.
//
// The log knows extents and not what an entry means: which entries are live, what they hold outside of the log and who may go is the
// table's. Entries are appended to the newest segment of a queue, and marked dead where they lie. The last live entry of a segment takes
// the segment with it. Guarded by the shard's lock, as the table is. Every function is O(1) unless it says otherwise.

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

class Log {
 public:
  /// The segments of one queue, from the oldest to the newest, and the bytes that entries in them hold outside of the log.
  struct Queue {
    std::uint32_t oldest = no_segment;
    std::uint32_t newest = no_segment;
    std::uint64_t segments = 0;
    std::uint64_t blob_bytes = 0;
    std::uint64_t bytes() const { return segments * segment_size + blob_bytes; }
  };

  /// A place in a segment where work goes on under a later hold of the lock. The sequence number tells whether the segment is still
  /// the one that it was; then its entries lie where they lay.
  struct Place {
    std::uint32_t id = no_segment;
    std::uint32_t offset = 0;
    std::uint64_t sequence = 0;
  };

  /// `occupied` is kept at the bytes of all logs of the shard and of what their entries hold; it is not touched on destruction, which
  /// may happen without the lock.
  Log(SegmentPool& pool, std::atomic<std::uint64_t>& occupied) : pool_(pool), occupied_(occupied) {}
  /// Frees nothing: every segment must have been freed, see free_of_dismantled().
  ~Log() = default;
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // --- where an entry lies ---

  static Ref ref(std::uint32_t id, std::uint32_t offset) { return id << offset_bits | offset / static_cast<std::uint32_t>(word); }
  static std::uint32_t id_of(Ref ref) { return ref >> offset_bits; }
  /// Bytes from the start of its segment.
  static std::uint32_t offset_of(Ref ref) { return (ref & offset_mask) * static_cast<std::uint32_t>(word); }
  Entry entry(Ref ref) const { return Entry(segments_.base(id_of(ref)) + offset_of(ref)); }

  // --- segments and queues ---

  /// Segments have the ids from 1 to end() - 1; those whose base is null are free.
  std::uint32_t end() const { return static_cast<std::uint32_t>(segments_.size()); }
  Segment& segment(std::uint32_t id) { return segments_[id]; }
  const Segment& segment(std::uint32_t id) const { return segments_[id]; }
  Segment& segment_of(Ref ref) { return segments_[id_of(ref)]; }
  const Segment& segment_of(Ref ref) const { return segments_[id_of(ref)]; }
  const Queue& queue(eviction::Queue which) const { return queues_[static_cast<unsigned>(which)]; }
  const Queue& queue_of(const Segment& segment) const { return queues_[segment.queue]; }
  const std::array<Queue, eviction::queue_count>& queues() const { return queues_; }
  bool is_newest(std::uint32_t id) const { return queue_of(segments_[id]).newest == id; }

  Place place_in(std::uint32_t id) const { return {.id = id, .offset = 0, .sequence = segments_[id].sequence}; }
  bool valid(const Place& place) const { return place.sequence != 0 && segments_[place.id].sequence == place.sequence; }

  // --- writing ---

  /// Takes `extent` bytes at the end of a queue, for an entry that the caller writes there. 0: there is no memory for a segment.
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
  /// The bytes at `ref` are nobody's any more. Frees the segment with the last of them, or, if it is the one being written, begins it
  /// anew. The entry must hold nothing outside of the log.
  void mark_dead(Ref ref);
  /// Fills the rest of the newest segment of a queue with dead entries: nothing is appended to it any more. O(1), four entries at most.
  void seal(std::uint32_t id);
  /// Frees a segment of the queue that was emptied and begun anew.
  void free_if_empty(std::uint32_t id, eviction::Queue which);
  /// Takes the segment's memory away while the table is being dismantled; neither queues nor figures are kept up then.
  void free_of_dismantled(std::uint32_t id) { pool_.free(std::exchange(segments_[id].base, nullptr)); }
  static void note_deadline(Segment& segment, UnixMs at) {
    if (at != 0) segment.earliest = std::min(segment.earliest, at);
  }
  /// A live entry of the segment holds a block of so many bytes (`sign` 1), or holds it no longer (-1).
  void count_blob(Segment& segment, std::uint64_t bytes, int sign);

  // --- figures ---

  /// Bytes of segments, and of blocks that entries hold.
  std::uint64_t occupied() const {
    std::uint64_t bytes = 0;
    for (const Queue& queue : queues_) bytes += queue.bytes();
    return bytes;
  }
  std::uint64_t used_bytes() const { return used_bytes_; }
  std::uint64_t dead_bytes() const { return dead_bytes_; }
  /// Blocks that live entries hold; one that two entries hold counts twice.
  std::uint64_t blobs() const { return blobs_; }

  // --- positions ---

  /// Behind all that has been written.
  LogPosition position() const;
  bool written_before(Ref ref, const LogPosition& position) const;

  /// Whether each queue's list leads through as many segments as it counts, both ways, and every other id is free. O(segments); for tests.
  bool audit_queues() const;

 private:
  static constexpr unsigned offset_bits = 15;  // 64 KB in words
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
  std::uint64_t used_bytes_ = 0;  // in segments, those of dead entries included
  std::uint64_t dead_bytes_ = 0;
  std::uint64_t blobs_ = 0;
  std::uint64_t sequence_ = 0;  // of the segment begun last
};

}  // namespace pinfold::store
