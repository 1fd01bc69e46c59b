#include "pinfold/store/log.hpp"

#include <new>

#include "pinfold/base/clock.hpp"

namespace pinfold::store {

// Adds one id. Reserves a place for it in free_ids_ at once, so that freeing a segment takes no memory.
bool Log::add_id() {
  try {
    if (free_ids_.capacity() < segments_.size()) free_ids_.reserve(2 * segments_.size());
  } catch (const std::bad_alloc&) {
    return false;
  }
  if (!segments_.add()) return false;
  free_ids_.push_back(static_cast<std::uint32_t>(segments_.size() - 1));
  return true;
}

std::uint32_t Log::open_segment(eviction::Queue which) {
  if (free_ids_.empty() && segments_.size() > most_segments) return no_segment;
  if (free_ids_.empty() && !add_id()) return no_segment;
  char* base = pool_.allocate();
  if (base == nullptr) return no_segment;
  const std::uint32_t id = free_ids_.back();
  free_ids_.pop_back();
  Queue& queue = queues_[static_cast<unsigned>(which)];
  Segment& segment = segments_.begin(id, base);
  segment.queue = static_cast<std::uint8_t>(which);
  segment.opened = monotonic_seconds();
  segment.sequence = ++sequence_;
  segment.older = queue.newest;
  if (queue.newest != no_segment) segments_[queue.newest].newer = id;
  if (queue.oldest == no_segment) queue.oldest = id;
  queue.newest = id;
  ++queue.segments;
  occupy(segment_size);
  return id;
}

void Log::free_segment(std::uint32_t id) {
  Segment& segment = segments_[id];
  Queue& queue = queues_[segment.queue];
  if (segment.older != no_segment) segments_[segment.older].newer = segment.newer;
  if (segment.newer != no_segment) segments_[segment.newer].older = segment.older;
  if (queue.oldest == id) queue.oldest = segment.newer;
  if (queue.newest == id) queue.newest = segment.older;
  --queue.segments;
  occupy(-static_cast<std::int64_t>(segment_size));
  used_bytes_ -= segment.used;
  dead_bytes_ -= segment.dead;
  pool_.free(segment.base);
  segment = {};
  free_ids_.push_back(id);
}

void Log::free_if_empty(std::uint32_t id, eviction::Queue which) {
  const Segment& segment = segments_[id];
  if (segment.base != nullptr && segment.used == 0 && segment.queue == static_cast<std::uint8_t>(which)) free_segment(id);
}

void Log::mark_dead(Ref ref) {
  Entry e = entry(ref);
  const std::uint32_t id = id_of(ref);
  Segment& segment = segments_[id];
  e.mark_dead();
  const auto extent = static_cast<std::uint32_t>(e.extent());
  segment.dead += extent;
  dead_bytes_ += extent;
  if (segment.dead != segment.used) return;
  if (queue_of(segment).newest != id) return free_segment(id);
  // The segment that is being written has no entries in use any more, so it is begun anew.
  used_bytes_ -= segment.used;
  dead_bytes_ -= segment.dead;
  segment.used = segment.dead = 0;
  segment.earliest = no_deadline;
  segment.sequence = ++sequence_;  // entries that are written from now on are later than any position that was taken
}

void Log::seal(std::uint32_t id) {
  constexpr std::uint32_t longest = 0x3fff * word;
  Segment& segment = segments_[id];
  for (std::uint32_t rest = 0; (rest = segment_size - segment.used) >= entry_header;) {
    // The last filler must not be shorter than a header.
    const std::uint32_t extent = rest > longest ? std::min<std::uint32_t>(longest, rest - entry_header) & ~1U : rest & ~1U;
    Entry filler(segment.base + segment.used);
    filler.write({}, extent);
    filler.mark_dead();
    segment.used += extent;
    segment.dead += extent;
    used_bytes_ += extent;
    dead_bytes_ += extent;
  }
}

void Log::count_blob(Segment& segment, std::uint64_t bytes, int sign) {
  const std::int64_t change = static_cast<std::int64_t>(bytes) * sign;
  segment.blobs += static_cast<std::uint32_t>(sign);
  queues_[segment.queue].blob_bytes += static_cast<std::uint64_t>(change);
  blobs_ += static_cast<std::uint64_t>(std::int64_t{sign});
  occupy(change);
}

LogPosition Log::position() const {
  LogPosition position{.sequence = sequence_, .segment = {}, .used = {}};
  for (unsigned q = 0; q < queues_.size(); ++q) {
    position.segment[q] = queues_[q].newest;
    position.used[q] = queues_[q].newest != no_segment ? segments_[queues_[q].newest].used : 0;
  }
  return position;
}

bool Log::written_before(Ref ref, const LogPosition& position) const {
  const std::uint32_t id = id_of(ref);
  const Segment& segment = segments_[id];
  if (segment.sequence > position.sequence) return false;
  return position.segment[segment.queue] != id || offset_of(ref) < position.used[segment.queue];
}

bool Log::audit_queues() const {
  std::size_t listed = 0;
  for (unsigned q = 0; q < queues_.size(); ++q) {
    std::uint32_t before = no_segment;
    std::uint64_t count = 0;
    for (std::uint32_t id = queues_[q].oldest; id != no_segment; id = segments_[id].newer) {
      const Segment& segment = segments_[id];
      if (++count > queues_[q].segments || segment.base == nullptr || segment.queue != q || segment.older != before) return false;
      before = id;
    }
    if (count != queues_[q].segments || queues_[q].newest != before) return false;
    listed += count;
  }
  return listed + free_ids_.size() + 1 == segments_.size();
}

}  // namespace pinfold::store
