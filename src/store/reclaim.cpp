// How a table frees memory: eviction, expiry, compaction, and a smaller index. Each call does what its Budget allows, and keeps
// the place in a segment where the next call goes on.

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <span>
#include <utility>

#include "pinfold/base/prefetch.hpp"
#include "pinfold/base/random.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/store/table.hpp"

namespace pinfold::store {

using eviction::Queue;

void Table::remove(Ref ref, std::uint64_t hash, Cause cause, const Housekeeping& keeping, Budget& budget) {
  index_.erase(index_.find(hash, [ref](Ref other) { return other == ref; }));
  changes_.tell_removed(cause, db_, hash, entry(ref), keeping.clock);
  release(ref, budget);
  log_.mark_dead(ref);
}

// Some entries in use of a segment that are dealt with together. The entries lie one behind the other, but their index buckets
// lie anywhere. So the buckets are fetched some entries ahead.
struct Table::Batch {
  static constexpr std::size_t most = Budget::most_entries / 2;
  std::array<Resident, most> residents;
  std::size_t count = 0;
  std::uint32_t end = 0;  // the offset behind the last entry that was looked at
};

// Begins to empty a segment. If it is the newest one of its queue, it is sealed, because entries that are moved out of it must
// not be appended to it again.
void Table::begin(Emptying& place, std::uint32_t id) {
  place = {log_.place_in(id)};
  if (log_.is_newest(id) && log_.segment(id).used > 0) log_.seal(id);
}

// Puts the next entries in use of a segment that is being emptied into `batch`.
void Table::collect(const Log::Place& place, Batch& batch, Budget& budget) const {
  const Segment& segment = log_.segment(place.id);
  const std::size_t most = std::min<std::size_t>(Batch::most, budget.entries_left());
  std::uint32_t at = place.offset;
  std::uint64_t hashed = 0;
  std::size_t visited = 0;
  batch.count = 0;
  for (; visited < most && at < segment.used; ++visited) {
    const Entry e(segment.base + at);
    if (!e.dead()) {
      const Ref ref = Log::ref(place.id, at);
      batch.residents[batch.count++] = {ref, hash_of(ref)};
      if (!e.keeps_hash()) hashed += e.key().size();
    }
    at += static_cast<std::uint32_t>(e.extent());
  }
  batch.end = at;
  budget.spend(visited);
  budget.take(0, hashed);
}

namespace {
// Sets the cutoff for a batch: half of the batch's deadlines are not later than it. If the batch has only a few deadlines, as
// at the end of a segment, they say little. Then the cutoff of the batch before stays, if there was one.
template <class EntryAt, class Resident>
void set_cutoff(UnixMs& cutoff, std::span<const Resident> residents, EntryAt&& entry_at) {
  constexpr std::size_t few = 64;
  std::array<UnixMs, Budget::most_entries / 2> deadlines{};
  std::size_t count = 0;
  for (const auto& resident : residents) {
    if (const UnixMs at = entry_at(resident.ref).expires_at(); at != 0) deadlines[count++] = at;
  }
  if (cutoff == 0 || count >= few) cutoff = eviction::nearer_half(std::span(deadlines).first(count));
}
}  // namespace

// Takes the entries in use out of a segment, from `place` on. An entry for which `keep` returns a queue moves to the newest
// segment of that queue; `keep` may change its frequency. All other entries are removed. Returns true when the segment is
// empty, and so freed. Returns false if the budget is spent or `wanted` bytes have been freed before. `cutoff` may be null;
// otherwise it is the cutoff of the entries before, and is set for the next ones.
template <class Keep>
bool Table::empty_some(Emptying& place, const Housekeeping& keeping, std::uint64_t wanted, UnixMs* cutoff, Budget& budget, Keep&& keep) {
  constexpr std::size_t ahead = 8;
  const Queue which{log_.segment(place.id).queue};
  const std::uint64_t before = occupied();
  Batch batch;
  while (log_.valid(place) && place.offset < log_.segment(place.id).used) {
    if (budget.spent()) return false;
    collect(place, batch, budget);
    const std::span<const Resident> residents = std::span(batch.residents).first(batch.count);
    if (cutoff != nullptr) set_cutoff(*cutoff, residents, [this](Ref ref) { return entry(ref); });
    for (std::size_t i = 0; i < residents.size() && log_.valid(place); ++i) {
      if (budget.bytes_spent() || (wanted != no_bound && before - std::min(before, occupied()) >= wanted)) return false;
      if (purges_ != nullptr && !budget.allows(cost_to_sweep(residents[i].ref))) return false;
      if (memory_.erasing() != 0 && !wipe_before_move(place, residents[i].ref, budget)) [[unlikely]]
        return false;
      if (i + ahead < residents.size()) {
        index_.prefetch(residents[i + ahead].hash);
        policy_.prefetch_evicted(which, residents[i + ahead].hash);
      }
      place.offset = Log::offset_of(residents[i].ref) + static_cast<std::uint32_t>(entry(residents[i].ref).extent());
      empty_entry(residents[i], keeping, budget, keep);
    }
    place.offset = batch.end;
  }
  // The newest segment of a queue is begun anew when it becomes empty, so it has to be freed here.
  log_.free_if_empty(place.id, which);
  return true;
}

namespace {
// Tells a value that its entry has moved. Returns where the value is then.
Handle move_value(Handle handle, Budget& budget) {
  const Handle now = handle.moved();
  // The search for a new block may take a dozen steps in a tree. So this is more than what is copied.
  constexpr std::uint64_t cost = 8 * 1024;
  if (now.raw() != handle.raw()) budget.take(0, cost);
  return now;
}
}  // namespace

// During an erasure, an entry that moves may come to a place where the pass has been. So its values are wiped before. Returns false
// if the budget is spent before that is done; the next hold goes on with the same entry.
bool Table::wipe_before_move(Emptying& place, Ref ref, Budget& budget) const {
  const Entry e = entry(ref);
  if (!e.has_handles()) return true;
  if (std::exchange(place.wiping, Log::offset_of(ref)) != Log::offset_of(ref)) place.inside = 0;
  return wipe_values(e, place.inside, budget);
}

template <class Keep>
void Table::empty_entry(const Resident& resident, const Housekeeping& keeping, Budget& budget, Keep&& keep) {
  const Ref ref = resident.ref;
  const std::uint64_t hash = resident.hash;
  // Purges are applied first, because an entry that has moved counts as written after them.
  if (purges_ != nullptr && !sweep_entry(ref, budget)) [[unlikely]]
    return;
  Entry e = entry(ref);
  if (e.expired(keeping.now) && !outlasts(e)) {
    ++keeping.expired;
    return remove(ref, hash, Cause::expired, keeping, budget);
  }
  unsigned frequency = e.frequency();
  const std::optional<Queue> to = keep(e, hash, frequency);
  const std::size_t extent = e.extent();
  const Ref moved = to ? log_.append(*to, extent) : 0;
  if (moved == 0) {  // the entry is to be evicted, or there is no memory for a new place
    ++keeping.evicted;
    return remove(ref, hash, Cause::evicted, keeping, budget);
  }
  if (memory_.erasing() != 0) [[unlikely]]
    e.wipe_slack();
  Entry fresh = entry(moved);
  std::memcpy(fresh.data(), e.data(), extent);
  budget.spend(0, extent);
  fresh.set_frequency(frequency);
  Log::note_deadline(log_.segment_of(moved), fresh.gone_at());
  account_blobs(log_.segment_of(ref), e, -1);
  if (const Handle handle = fresh.handle()) fresh.set_handle(move_value(handle, budget));
  account_blobs(log_.segment_of(moved), fresh, 1);
  *index_.find(hash, [ref](Ref other) { return other == ref; }).ref = moved;
  log_.mark_dead(ref);
}

Reclaimed Table::note_emptied(Emptying& place, std::uint64_t before, bool done) {
  place.change += static_cast<std::int64_t>(occupied()) - static_cast<std::int64_t>(before);
  if (!done) return Reclaimed::unfinished;
  const bool gave = place.change < 0;
  place = {};
  return gave ? Reclaimed::something : Reclaimed::nothing;
}

bool Table::evictable(std::uint32_t id) const {
  const Segment& segment = log_.segment(id);
  if (segment.base == nullptr || segment.used == 0 || !policy_.reads(static_cast<Queue>(segment.queue))) return false;
  // The newest segment is emptied last, because entries that are written next must not lie before older ones.
  const Log::Queue& queue = log_.queue_of(segment);
  return queue.newest != id || queue.oldest == id;
}

// A random segment that may be emptied, or with `only` one of that queue. It is the first one from a random id on, so all have
// nearly equal chances. If the next 256 ids have none, it is the oldest segment of a queue.
std::uint32_t Table::random_segment(std::optional<Queue> only) const {
  constexpr std::size_t most_looked_at = 256;
  const std::size_t ids = log_.end() - 1;
  const std::uint64_t start = ids == 0 ? 0 : random_below(ids);
  const auto meant = [&](std::uint32_t id) { return evictable(id) && (!only || static_cast<Queue>(log_.segment(id).queue) == *only); };
  for (std::size_t i = 0; i < std::min(ids, most_looked_at); ++i) {
    const auto id = static_cast<std::uint32_t>((start + i) % ids + 1);
    work::nodes();
    if (meant(id)) return id;
  }
  for (const Log::Queue& queue : log_.queues()) {
    if (queue.oldest != no_segment && meant(queue.oldest)) return queue.oldest;
  }
  return no_segment;
}

// The segment with the earliest deadline among all segments, or among a sample of 256 if the table has more.
std::uint32_t Table::soonest_segment() const {
  constexpr std::size_t most_looked_at = 256;
  const std::size_t ids = log_.end() - 1;
  std::uint32_t best = no_segment;
  for (std::size_t i = 0; i < std::min(ids, most_looked_at); ++i) {
    const auto id = static_cast<std::uint32_t>(ids <= most_looked_at ? i + 1 : random_below(ids) + 1);
    work::nodes();
    if (evictable(id) && (best == no_segment || earliest_of(id) < earliest_of(best))) best = id;
  }
  return best != no_segment ? best : random_segment();
}

void Table::fit_policy() {
  follow_policy();
  policy_.set_decay(settings_.decay_minutes.load(std::memory_order_relaxed));
  policy_.fit(size_ - negatives_.keys, occupied() - log_.queue(Queue::negative).bytes());
  account_ghosts();
}

bool Table::prepare_eviction() {
  fit_policy();
  const bool more = policy_.provide();
  account_ghosts();  // provide() may have taken pages for them
  return more;
}

Table::Order Table::eviction_order() const {
  constexpr auto relaxed = std::memory_order_relaxed;
  Order order;
  if (!settings_.has_policies.load(relaxed)) return order;
  std::uint64_t last = 0;
  for (unsigned slot = 1; slot < settings_.priority.size(); ++slot) {
    const std::uint64_t bytes = memory_.used_by_policy(static_cast<std::uint8_t>(slot));
    if (bytes == 0) continue;
    const Priority priority = settings_.priority[slot].load(relaxed);
    const std::uint64_t quota = settings_.quota[slot].load(relaxed);
    order.some_first |= priority == Priority::first_out || (quota != 0 && bytes > quota);
    if (priority == Priority::protect) last += bytes;
  }
  order.protects = last <= memory_.limit() / 2;
  return order;
}

// How soon the entry is to be evicted, by the policy under which it was written.
Priority Table::priority_of(const Entry& e, const Order& order) const {
  constexpr auto relaxed = std::memory_order_relaxed;
  const std::uint8_t slot = Extra::read(e.extra()).policy;
  const std::uint64_t quota = settings_.quota[slot].load(relaxed);
  if (quota != 0 && memory_.used_by_policy(slot) > quota) return Priority::first_out;
  const Priority priority = settings_.priority[slot].load(relaxed);
  return priority == Priority::protect && !order.protects ? Priority::normal : priority;
}

// Chooses the segment to be emptied next: the one that was begun in the queue that the policy names, or else a new one as the
// policy picks it. Returns false if there is none.
bool Table::choose_segment(eviction::Victim victim, unsigned& pressure, Emptying*& place) {
  std::uint32_t id = no_segment;
  // The entries of the oldest segments are used often. Before some of them are evicted, other segments are tried, which may
  // have entries that are not.
  const bool further =
      victim.pick == eviction::Pick::oldest && victim.queue == Queue::small && pressure > 0 && pressure < eviction::most_frequency;
  switch (victim.pick) {
    case eviction::Pick::none:
      return false;
    case eviction::Pick::oldest:
      id = log_.queue(victim.queue).oldest;
      if (!further || log_.valid(evicting_[static_cast<unsigned>(victim.queue)])) break;
      if (const std::uint32_t other = random_segment(Queue::small); other != no_segment) id = other;
      break;
    case eviction::Pick::random:
      id = random_segment();
      break;
    case eviction::Pick::soonest:
      id = soonest_segment();
      break;
  }
  if (further) pressure = 0;
  if (id == no_segment) return false;
  place = &evicting_[log_.segment(id).queue];
  if (!log_.valid(*place)) begin(*place, id);
  return true;
}

// Counts why an entry is evicted. Those that the eviction policy has chosen are what is left of all.
void Table::note_departure(const Entry& e, Priority priority, const Housekeeping& keeping) const {
  Departures& departures = keeping.departures;
  if (const std::int64_t accessed = e.accessed(); accessed != 0) {
    departures.idle_times.add(static_cast<std::uint64_t>(std::max<std::int64_t>(keeping.clock / 1000 - accessed, 0)));
  }
  const auto count = [&departures](EvictionCause cause) { ++departures.by_cause[static_cast<std::size_t>(cause)]; };
  if (e.absent()) return count(EvictionCause::negative);
  if (!e.has_extra()) return;
  const std::uint8_t slot = Extra::read(e.extra()).policy;
  if (slot == 0) return;
  ++departures.by_policy[slot];
  if (priority != Priority::first_out) return;
  const std::uint64_t quota = settings_.quota[slot].load(std::memory_order_relaxed);
  count(quota != 0 && memory_.used_by_policy(slot) > quota ? EvictionCause::quota : EvictionCause::first_out);
}

Reclaimed Table::evict(const Housekeeping& keeping, std::uint64_t wanted, unsigned pressure, bool patient, Budget& budget) {
  fit_policy();
  policy_.provide_a_little();
  account_ghosts();
  const bool negatives_first = settings_.negatives_first(memory_.used_by_negatives());
  const auto& queues = log_.queues();
  const eviction::Victim victim =
      policy_.victim({queues[0].bytes(), queues[1].bytes(), queues[2].bytes(), queues[3].bytes()}, negatives_first);
  Emptying* place = nullptr;
  if (size_ == 0 || !choose_segment(victim, pressure, place)) return Reclaimed::impossible;
  const Segment& segment = log_.segment(place->id);
  const Order order = eviction_order();
  eviction::Reading reading{.from = static_cast<Queue>(segment.queue), .pressure = order.some_first && patient ? 0 : pressure};
  const std::uint32_t seconds = monotonic_seconds();
  const std::uint32_t minutes = seconds > segment.opened ? (seconds - segment.opened) / 60 : 0;
  const auto keep = [&](const Entry& e, std::uint64_t hash, unsigned& frequency) -> std::optional<Queue> {
    const Priority priority = e.has_extra() && !e.absent() ? priority_of(e, order) : Priority::normal;
    if (priority == Priority::protect) return reading.from;
    eviction::Candidate candidate{
        .hash = hash, .bytes = returned_by(e), .frequency = frequency, .expires_at = e.expires_at(), .minutes = minutes};
    std::optional<Queue> to = policy_.keep(reading, candidate);
    if (priority == Priority::first_out && to != Queue::pinned) to.reset();
    frequency = candidate.frequency;
    if (to) return to;
    policy_.evicted(reading.from, candidate);
    note_departure(e, priority, keeping);
    return to;
  };
  // Entries in a segment of 64 KB may refer to many large values. No more of these are evicted than is wanted.
  constexpr std::uint64_t most_at_once = 1024 * 1024;
  const std::uint64_t bound = segment.blobs > 0 ? std::min(wanted, most_at_once) : no_bound;
  const std::uint64_t before = occupied();
  reading.cutoff = place->cutoff;
  UnixMs* const cutoff = victim.pick == eviction::Pick::soonest ? &reading.cutoff : nullptr;
  const std::uint64_t evicted = keeping.evicted;
  const std::uint32_t age = seconds > segment.opened ? seconds - segment.opened : 0;
  const bool done = empty_some(*place, keeping, bound, cutoff, budget, keep);
  if (keeping.evicted != evicted) keeping.departures.ages.add(age, keeping.evicted - evicted);
  place->cutoff = reading.cutoff;
  account_ghosts();  // the ghosts may have forgotten keys that have become too old
  return note_emptied(*place, before, done);
}

bool Table::expire_some(const Housekeeping& keeping, Budget& budget) {
  // A segment is read only when its earliest deadline passed this long ago. So entries that expire one by one are removed
  // together.
  constexpr UnixMs patience_ms = 500;
  if (expires_ == 0) return false;
  while (!budget.spent()) {
    if (log_.valid(expiring_)) {
      expire_segment(keeping, budget);
      continue;
    }
    if (sweep_at_ >= log_.end()) {
      sweep_at_ = 1;
      return false;
    }
    const std::uint32_t id = sweep_at_++;
    Segment& segment = log_.segment(id);
    budget.spend(1);
    if (segment.base == nullptr || segment.earliest > keeping.now - patience_ms) continue;
    expiring_ = {log_.place_in(id)};
    expiring_.before = segment.earliest;
    segment.earliest = no_deadline;  // from now on it has the deadlines of entries that are written meanwhile
  }
  return true;
}

// Whether an entry whose time is up is kept, because of serve-stale of its policy.
bool Table::outlasts(const Entry& e) const { return e.has_extra() && settings_.serves_stale(Extra::read(e.extra()).policy); }

// Goes on in the segment from which expired entries are being removed.
void Table::expire_segment(const Housekeeping& keeping, Budget& budget) {
  // How soon a segment is read again that has an entry which serve-stale keeps.
  constexpr UnixMs asked_again_ms = 15'000;
  const std::uint32_t id = expiring_.id;
  while (expiring_.offset < log_.segment(id).used) {
    if (budget.spent()) return;
    const Entry e(log_.segment(id).base + expiring_.offset);
    const Ref ref = Log::ref(id, expiring_.offset);
    expiring_.offset += static_cast<std::uint32_t>(e.extent());
    budget.spend(1);
    if (e.dead()) continue;
    if (e.expired(keeping.now) && outlasts(e)) {
      expiring_.earliest = std::min(expiring_.earliest, keeping.now + asked_again_ms);
      continue;
    }
    if (!e.expired(keeping.now)) {
      if (const UnixMs gone = e.gone_at(); gone != 0) expiring_.earliest = std::min(expiring_.earliest, gone);
      continue;
    }
    ++keeping.expired;
    if (!e.keeps_hash()) budget.take(0, e.key().size());
    remove(ref, hash_of(ref), Cause::expired, keeping, budget);
    if (!log_.valid(expiring_)) return;  // the segment was freed or begun anew with its last entry in use
  }
  log_.segment(id).earliest = std::min(log_.segment(id).earliest, expiring_.earliest);
  expiring_ = {};
}

std::uint32_t Table::emptiest_segment() {
  // Looks at all segments of a small table, and at a sample of a large one, because the choice must not take longer than the
  // work.
  constexpr std::size_t most_looked_at = 256;
  std::uint32_t best = no_segment;
  double best_share = 0.25;  // with a smaller share of dead bytes the copying is not worth it
  const auto look = [&](std::uint32_t id) {
    const Segment& segment = log_.segment(id);
    if (segment.base == nullptr || segment.used == 0 || log_.is_newest(id)) return;
    const double share = static_cast<double>(segment.dead) / segment_size;
    if (share > best_share) {
      best = id;
      best_share = share;
    }
  };
  const std::size_t ids = log_.end() - 1;
  for (std::size_t i = 0; i < std::min(ids, most_looked_at); ++i) {
    look(static_cast<std::uint32_t>(ids <= most_looked_at ? i + 1 : random_below(ids) + 1));
  }
  return best;
}

Reclaimed Table::compact(const Housekeeping& keeping, Budget& budget) {
  constexpr std::uint64_t worthwhile = 4 * segment_size;
  if (!log_.valid(compacting_)) {
    if (log_.used_bytes() < worthwhile || log_.dead_bytes() * 8 < log_.used_bytes()) return Reclaimed::impossible;
    const std::uint32_t id = emptiest_segment();
    if (id == no_segment) return Reclaimed::impossible;
    begin(compacting_, id);
  }
  const std::uint64_t before = occupied();
  const std::optional<Queue> same = static_cast<Queue>(log_.segment(compacting_.id).queue);
  const auto keep = [same](const Entry&, std::uint64_t, unsigned&) { return same; };
  const bool done = empty_some(compacting_, keeping, no_bound, nullptr, budget, keep);
  return note_emptied(compacting_, before, done);
}

bool Table::shrink_index() {
  // Bytes of index for each entry: twice as many as usual.
  constexpr std::uint64_t too_much = 13;
  constexpr std::uint64_t not_worth_it = 64 * 1024;
  const bool sparse = index_.memory() >= not_worth_it && index_.memory() >= size_ * too_much;
  if (!sparse && !memory_.index_heap().wasteful()) return false;
  return index_.shrink_some([this](Ref r) { return hash_of(r); }, [this](Ref r) { prefetch(entry(r).data()); });
}

}  // namespace pinfold::store
