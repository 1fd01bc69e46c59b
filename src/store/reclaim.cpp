// How a table gives memory back: eviction, expiry, compaction, a smaller index. Each call does a segment's work at most.

#include <algorithm>
#include <cstring>

#include "pinfold/base/prefetch.hpp"
#include "pinfold/base/random.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/store/scratch.hpp"
#include "pinfold/store/table.hpp"

namespace pinfold::store {

using eviction::Queue;

void Table::drop(Ref ref, std::uint64_t hash, const Housekeeping& keeping) {
  const Entry e = entry(ref);
  keeping.watchers.changed(keeping.db, e.key());
  index_.erase(index_.find(hash, [ref](Ref other) { return other == ref; }));
  retire(ref);
}

// Takes every live entry out of a segment and frees it: those for which `keep` names a queue (it may change their
// frequency) move to the newest segment there, the others are gone. Survivors wait in a scratch buffer, so that the freed
// segment itself can take them and no memory beyond the limit is needed.
template <class Keep>
void Table::empty_segment(std::uint32_t id, const Housekeeping& keeping, Scratch& scratch, Keep&& keep) {
  auto& bytes = scratch.bytes;
  auto& survivors = scratch.survivors;
  auto& residents = scratch.residents;
  const Queue which{segments_[id].queue};
  // The segment must outlive its entries: as the newest of its queue it would be restarted by the last one's death.
  const auto release = [&](Ref ref, std::uint64_t hash) {
    Entry e = entry(ref);
    keeping.watchers.changed(keeping.db, e.key());
    index_.erase(index_.find(hash, [ref](Ref other) { return other == ref; }));
    account_blobs(segments_[id], e, -1);
    if (e.expires_at() != 0) --expires_;
    --size_;
    e.release_blobs();
  };
  // Keys lie in order, but their index buckets anywhere: those are fetched some entries ahead.
  walk(id, [&](Ref ref, Entry) { residents.push_back({ref, hash_of(ref)}); });
  constexpr std::size_t ahead = 8;
  for (std::size_t i = 0; i < residents.size(); ++i) {
    if (i + ahead < residents.size()) {
      index_.prefetch(residents[i + ahead].hash);
      policy_.prefetch_evicted(which, residents[i + ahead].hash);
    }
    const auto [ref, hash] = residents[i];
    Entry e = entry(ref);
    if (e.expired(keeping.now)) {
      ++keeping.expired;
      release(ref, hash);
      continue;
    }
    unsigned frequency = e.frequency();
    const std::optional<Queue> to = keep(e, hash, frequency);
    if (!to) {
      ++keeping.evicted;
      release(ref, hash);
      continue;
    }
    e.set_frequency(frequency);
    account_blobs(segments_[id], e, -1);
    if (memory_.erasing()) [[unlikely]] e.wipe_slack();
    survivors.push_back({bytes.size(), ref, hash, *to});
    bytes.insert(bytes.end(), e.data(), e.data() + e.extent());
  }
  free_segment(id);
  work::entries(survivors.size());
  work::bytes(2 * bytes.size());
  for (const Scratch::Survivor& survivor : survivors) {
    Entry waiting(bytes.data() + survivor.at);
    const Index::Slot slot = index_.find(survivor.hash, [&](Ref other) { return other == survivor.old_ref; });
    const Ref ref = append(survivor.to, waiting.extent());
    if (ref == 0) {  // the system has taken even the segment just freed
      ++keeping.evicted;
      keeping.watchers.changed(keeping.db, waiting.key());
      index_.erase(slot);
      if (waiting.expires_at() != 0) --expires_;
      --size_;
      waiting.release_blobs();
      continue;
    }
    Entry moved = entry(ref);
    std::memcpy(moved.data(), waiting.data(), waiting.extent());
    *slot.ref = ref;
    Segment& segment = segment_of(ref);
    note_deadline(segment, moved.gone_at());
    account_blobs(segment, moved, 1);
  }
}

// As empty_segment, entry by entry from the old end, and only until enough has come back: the few bytes of a segment
// may be the places of many large values.
template <class Keep>
void Table::evict_large(std::uint32_t id, const Housekeeping& keeping, std::uint64_t wanted, Keep&& keep) {
  const std::uint64_t before = occupied();
  const char* const base = segments_[id].base;
  for (std::uint32_t at = 0; at < segments_[id].used && before - std::min(before, occupied()) < wanted;) {
    work::entries();
    Entry e(segments_[id].base + at);
    const Ref ref = id << offset_bits | at / static_cast<std::uint32_t>(word);
    at += static_cast<std::uint32_t>(e.extent());
    if (e.dead()) continue;
    const std::uint64_t hash = hash_of(ref);
    unsigned frequency = e.frequency();
    Ref moved = 0;
    std::optional<Queue> to;
    if (e.expired(keeping.now)) {
      ++keeping.expired;
    } else if ((to = keep(e, hash, frequency)) && (moved = append(*to, e.extent())) != 0) {
      Entry fresh = entry(moved);
      if (memory_.erasing()) [[unlikely]] e.wipe_slack();
      std::memcpy(fresh.data(), e.data(), e.extent());
      work::bytes(e.extent());
      fresh.set_frequency(frequency);
      note_deadline(segment_of(moved), fresh.gone_at());
      account_blobs(segment_of(ref), e, -1);
      account_blobs(segment_of(moved), fresh, 1);
      *index_.find(hash, [ref](Ref other) { return other == ref; }).ref = moved;
      mark_dead(ref);
    } else {
      ++keeping.evicted;
    }
    if (moved == 0) drop(ref, hash, keeping);
    if (segments_[id].base != base) return;  // that was its last entry
  }
}

std::uint64_t Table::occupied() const {
  std::uint64_t bytes = 0;
  for (const QueueState& queue : queues_) bytes += queue.bytes();
  return bytes;
}

bool Table::evictable(std::uint32_t id) const {
  const Segment& segment = segments_[id];
  if (segment.base == nullptr || segment.used == 0 || !policy_.reads(static_cast<Queue>(segment.queue))) return false;
  // What is written next must not lie before what is there: the newest segment goes last.
  const QueueState& queue = queues_[segment.queue];
  return queue.newest != id || queue.oldest == id;
}

// Any segment that the policy reads, or of a queue that it reads, with nearly equal chances: from a random one on, the next.
std::uint32_t Table::random_segment(std::optional<Queue> only) const {
  const std::size_t ids = segments_.size() - 1;
  const std::uint64_t start = ids == 0 ? 0 : random_below(ids);
  for (std::size_t i = 0; i < ids; ++i) {
    const auto id = static_cast<std::uint32_t>((start + i) % ids + 1);
    work::nodes();
    if (evictable(id) && (!only || static_cast<Queue>(segments_[id].queue) == *only)) return id;
  }
  return no_segment;
}

// The segment with the nearest deadline, of all or of a sample of a large table.
std::uint32_t Table::soonest_segment() const {
  constexpr std::size_t most_looked_at = 256;
  const std::size_t ids = segments_.size() - 1;
  std::uint32_t best = no_segment;
  for (std::size_t i = 0; i < std::min(ids, most_looked_at); ++i) {
    const auto id = static_cast<std::uint32_t>(ids <= most_looked_at ? i + 1 : random_below(ids) + 1);
    if (evictable(id) && (best == no_segment || segments_[id].earliest < segments_[best].earliest)) best = id;
  }
  return best != no_segment ? best : random_segment();
}

UnixMs Table::nearer_deadlines(std::uint32_t id, Scratch& scratch) {
  walk(id, [&](Ref, Entry e) {
    if (e.expires_at() != 0) scratch.deadlines.push_back(e.expires_at());
  });
  return eviction::nearer_half(scratch.deadlines);
}

void Table::fit_policy() {
  follow_policy();
  policy_.set_decay(settings_.decay_minutes.load(std::memory_order_relaxed));
  policy_.fit(size_ - negatives_.keys, occupied() - queues_[static_cast<unsigned>(Queue::negative)].bytes());
  account_ghosts();
}

bool Table::prepare_eviction() {
  fit_policy();
  return policy_.provide();
}

Table::Order Table::eviction_order() const {
  constexpr auto relaxed = std::memory_order_relaxed;
  Order order;
  if (!settings_.has_standing.load(relaxed)) return order;
  std::uint64_t last = 0;
  for (unsigned slot = 1; slot < settings_.standing.size(); ++slot) {
    const std::uint64_t bytes = memory_.used_by_policy(static_cast<std::uint8_t>(slot));
    if (bytes == 0) continue;
    const Standing standing = settings_.standing[slot].load(relaxed);
    const std::uint64_t quota = settings_.quota[slot].load(relaxed);
    order.some_first |= standing == Standing::first || (quota != 0 && bytes > quota);
    if (standing == Standing::last) last += bytes;
  }
  order.protects = last <= memory_.limit() / 2;
  return order;
}

// What the policy that the entry fell under has to say about its eviction.
Standing Table::standing_of(const Entry& e, const Order& order) const {
  constexpr auto relaxed = std::memory_order_relaxed;
  const std::uint8_t slot = Extra::read(e.extra()).policy;
  const std::uint64_t quota = settings_.quota[slot].load(relaxed);
  if (quota != 0 && memory_.used_by_policy(slot) > quota) return Standing::first;
  const Standing standing = settings_.standing[slot].load(relaxed);
  return standing == Standing::last && !order.protects ? Standing::normal : standing;
}

bool Table::evict(const Housekeeping& keeping, std::uint64_t wanted, unsigned pressure, bool patient) {
  fit_policy();
  policy_.provide_a_little();
  const bool negatives_first = settings_.negatives_first(memory_.used_by_negatives());
  const eviction::Victim victim =
      policy_.victim({queues_[0].bytes(), queues_[1].bytes(), queues_[2].bytes(), queues_[3].bytes()}, negatives_first);
  std::uint32_t id = no_segment;
  switch (victim.pick) {
    case eviction::Pick::none: break;
    case eviction::Pick::oldest:
      id = queues_[static_cast<unsigned>(victim.queue)].oldest;
      // What lies at the old end is used often. Before some of that goes: there may be what is not, further on.
      if (victim.queue == Queue::small && pressure > 0 && pressure < eviction::most_frequency) {
        if (const std::uint32_t other = random_segment(Queue::small); other != no_segment) id = other;
        pressure = 0;
      }
      break;
    case eviction::Pick::random: id = random_segment(); break;
    case eviction::Pick::soonest: id = soonest_segment(); break;
  }
  if (id == no_segment || size_ == 0) return false;
  const ScratchPool::Handle scratch = scratches_.borrow();
  if (!scratch) return false;
  if (!sweep_before_moving(id)) return true;
  const Segment& segment = segments_[id];
  const Order order = eviction_order();
  eviction::Reading reading{.from = static_cast<Queue>(segment.queue), .pressure = order.some_first && patient ? 0 : pressure};
  if (victim.pick == eviction::Pick::soonest) reading.cutoff = nearer_deadlines(id, *scratch);
  const std::uint32_t seconds = monotonic_seconds();
  const std::uint32_t minutes = seconds > segment.opened ? (seconds - segment.opened) / 60 : 0;
  const auto keep = [&](const Entry& e, std::uint64_t hash, unsigned& frequency) -> std::optional<Queue> {
    const Standing standing = e.has_extra() && !e.absent() ? standing_of(e, order) : Standing::normal;
    if (standing == Standing::last) return reading.from;
    eviction::Candidate candidate{.hash = hash,
                                  .bytes = returned_by(e),
                                  .frequency = frequency,
                                  .expires_at = e.expires_at(),
                                  .minutes = minutes};
    std::optional<Queue> to = policy_.keep(reading, candidate);
    if (standing == Standing::first && to != Queue::pinned) to.reset();
    frequency = candidate.frequency;
    if (!to) policy_.evicted(reading.from, candidate);
    return to;
  };
  // What is freed while the lock is held is bounded, be it in bytes.
  constexpr std::uint64_t most_at_once = 1024 * 1024;
  if (segment.blobs > 0) {
    evict_large(id, keeping, std::min(wanted, most_at_once), keep);
  } else {
    empty_segment(id, keeping, *scratch, keep);
  }
  account_ghosts();  // what they remembered until now may have become too old
  return true;
}

bool Table::expire_some(const Housekeeping& keeping) {
  // A segment is read again only when its oldest debt is this old: entries that expire one by one are taken together.
  constexpr UnixMs patience_ms = 500;
  constexpr unsigned most_looked_at = 4096;
  if (expires_ == 0) return false;
  for (unsigned looked_at = 0; sweep_at_ < segments_.size(); ++looked_at) {
    if (looked_at == most_looked_at) return true;
    work::nodes();
    const std::uint32_t id = sweep_at_++;
    if (segments_[id].base == nullptr || segments_[id].earliest > keeping.now - patience_ms) continue;
    expire_segment(id, keeping);
    return true;
  }
  sweep_at_ = 1;
  return false;
}

void Table::expire_segment(std::uint32_t id, const Housekeeping& keeping) {
  constexpr unsigned most_blobs = 64;
  UnixMs earliest = no_deadline;
  const char* const base = segments_[id].base;
  std::uint32_t live = 0;
  unsigned freed = 0;
  for (std::uint32_t at = 0; at < segments_[id].used;) {
    work::entries();
    Entry e(segments_[id].base + at);
    const auto extent = static_cast<std::uint32_t>(e.extent());
    const Ref ref = id << offset_bits | at / static_cast<std::uint32_t>(word);
    at += extent;
    if (e.dead()) continue;
    if (e.expired(keeping.now)) {
      ++keeping.expired;
      freed += e.value_blob() != nullptr ? 1 : 0;
      drop(ref, hash_of(ref), keeping);
      if (segments_[id].base != base || segments_[id].used == 0) return;  // that was its last live entry
      if (freed == most_blobs) {  // the rest when the lock has been free for a moment
        sweep_at_ = id;
        return;
      }
    } else {
      ++live;
      if (const UnixMs gone = e.gone_at(); gone != 0) earliest = std::min(earliest, gone);
    }
  }
  if (live > 0) segments_[id].earliest = earliest;
}

std::uint32_t Table::emptiest_segment() {
  // All of a small table, a sample of a large one: the choice must not take longer than the work.
  constexpr std::size_t most_looked_at = 256;
  std::uint32_t best = no_segment;
  double best_share = 0.25;  // less is not worth the copying
  const auto look = [&](std::uint32_t id) {
    const Segment& segment = segments_[id];
    if (segment.base == nullptr || segment.used == 0 || queue_of(segment).newest == id) return;
    const double share = static_cast<double>(segment.dead) / segment_size;
    if (share > best_share) {
      best = id;
      best_share = share;
    }
  };
  const std::size_t ids = segments_.size() - 1;
  for (std::size_t i = 0; i < std::min(ids, most_looked_at); ++i) {
    look(static_cast<std::uint32_t>(ids <= most_looked_at ? i + 1 : random_below(ids) + 1));
  }
  return best;
}

bool Table::compact(const Housekeeping& keeping) {
  constexpr std::uint64_t worthwhile = 4 * segment_size;
  if (used_bytes_ < worthwhile || dead_bytes_ * 8 < used_bytes_) return false;
  const std::uint32_t id = emptiest_segment();
  if (id == no_segment) return false;
  const ScratchPool::Handle scratch = scratches_.borrow();
  if (!scratch) return false;
  if (!sweep_before_moving(id)) return true;
  const std::optional<Queue> same = static_cast<Queue>(segments_[id].queue);
  empty_segment(id, keeping, *scratch, [same](const Entry&, std::uint64_t, unsigned&) { return same; });
  return true;
}

bool Table::shrink_index() {
  // Twice of what an entry's share normally is.
  constexpr std::uint64_t too_much = 13;
  constexpr std::uint64_t not_worth_it = 64 * 1024;
  if (index_.memory() < not_worth_it || index_.memory() < size_ * too_much) return false;
  return index_.shrink_some([this](Ref r) { return hash_of(r); }, [this](Ref r) { prefetch(entry(r).data()); });
}

}  // namespace pinfold::store
