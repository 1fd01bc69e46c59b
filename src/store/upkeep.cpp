// How a keyspace stays within its memory: making room for requests, and the work of the background.

#include <algorithm>
#include <bitset>
#include <limits>
#include <new>
#include <optional>
#include <utility>

#include "pinfold/base/sleeper.hpp"
#include "pinfold/base/thread_clock.hpp"
#include "pinfold/base/waits.hpp"
#include "pinfold/eviction/policy.hpp"
#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/segment.hpp"
#include "pinfold/store/shard.hpp"

namespace pinfold::store {

// --- removed tables ---

// Takes over tables that no other thread can reach any more. The background frees them.
void Keyspace::free_later(std::vector<std::unique_ptr<Table>> tables) {
  if (tables.empty()) return;
  {
    const std::lock_guard lock(to_free_mutex_);
    for (auto& table : tables) tables_to_free_.push_back({++tables_removed_, std::move(table)});
  }
  wake_background();
}

// Frees a piece of the leftovers, or if there are none, of the oldest removed table of which no other thread is freeing a
// piece. Returns false if there is nothing to free.
bool Keyspace::free_some_tables() {
  Budget budget;
  if (memory_.leftovers().free_some(budget)) return true;
  std::list<RemovedTable>::iterator at;
  {
    const std::lock_guard lock(to_free_mutex_);
    if (tables_to_free_.empty()) return false;
    at = tables_to_free_.begin();
    freeing_.splice(freeing_.end(), tables_to_free_, at);
  }
  const bool done = at->table->dismantle(budget);
  if (done) {
    at->table.reset();
    // The purges that were pending in the table count as swept. A request may have freed it while the background sleeps.
    if (tag_marks_.has_swept()) wake_background();
  }
  const std::lock_guard lock(to_free_mutex_);
  if (done) {
    freeing_.erase(at);
  } else {
    tables_to_free_.splice(tables_to_free_.begin(), freeing_, at);
  }
  return true;
}

// Whether a removed table with this number or a lower one has not been freed yet.
bool Keyspace::has_tables_to_free(std::uint64_t number) {
  const std::lock_guard lock(to_free_mutex_);
  const auto before = [number](const RemovedTable& removed) { return removed.number <= number; };
  return std::any_of(tables_to_free_.begin(), tables_to_free_.end(), before) || std::any_of(freeing_.begin(), freeing_.end(), before);
}

void Keyspace::release_spare() {
  pool_->release_spare();
  releasing_spare_.store(true, std::memory_order_relaxed);
  wake_background();
}

// --- room ---

void Keyspace::set_max_memory(std::uint64_t bytes) {
  if (bytes != 0 && bytes < memory_.limit()) release_spare();
  memory_.set_limit(bytes, policy() != eviction::Kind::noeviction);
  gave_up_at_.store(0, std::memory_order_relaxed);
  wake_background();
}

void Keyspace::set_policy(eviction::Kind policy) {
  policy_.kind.store(policy, std::memory_order_relaxed);
  set_max_memory(memory_.limit());  // the new policy may evict entries that the old one kept, so the background tries again
}

// Evicts from the fullest shard, which keeps all shards equally full. A shard that has freed nothing, because its entries are
// used often, is tried again only when all others have been tried. Then the pressure rises, so that entries which are used
// often are evicted too.
bool Keyspace::Reclaiming::step() {
  for (;;) {
    unsigned fullest = max_shards;
    std::uint64_t most = 0;
    for (unsigned i = 0; i < keyspace_.shard_count(); ++i) {
      const std::uint64_t here = keyspace_.shards_[i]->occupied.load(std::memory_order_relaxed);
      if (exhausted_.test(i) || tried_.test(i) || (fullest != max_shards && here <= most)) continue;
      fullest = i;
      most = here;
    }
    if (fullest != max_shards) {
      Shard& shard = *keyspace_.shards_[fullest];
      Budget budget;
      keyspace_.memory_.ghost_pages().tend();
      const WakeLater later;
      const LockAfterWaiters lock(shard.mutex);
      const Reclaimed result =
          shard.reclaim(shard.housekeeping(now_, keeps_expired_), wanted_, pressure(), fruitless_ < most_patience, budget);
      shard.changes.settle();
      if (result == Reclaimed::impossible) exhausted_.set(fullest);
      if (result == Reclaimed::nothing) {
        tried_.set(fullest);
        ++fruitless_;
      }
      return true;
    }
    if (tried_.none() || fruitless_ > most_fruitless) return false;
    tried_.reset();
  }
}

unsigned Keyspace::Reclaiming::pressure() const {
  // With few shards, more steps are tried before the pressure rises, because the next segment of a shard may have more to
  // evict.
  constexpr unsigned least_patience = 4;
  return std::min(fruitless_ / std::max(keyspace_.shard_count(), least_patience), eviction::most_frequency);
}

// Asks the background to measure the memory of the process. While requests evict, it changes faster than the background usually
// looks.
void Keyspace::ask_for_measurement() {
  constexpr std::int64_t fresh_us = 10'000;
  const std::int64_t now = monotonic_us();
  std::int64_t asked = measurement_asked_us_.load(std::memory_order_relaxed);
  if (now - asked < fresh_us || background_.load(std::memory_order_relaxed) == nullptr) return;
  if (measurement_asked_us_.compare_exchange_strong(asked, now, std::memory_order_relaxed)) wake_background();
}

// Takes memory from the system that shards may need soon. They must not ask the system while they are locked.
void Keyspace::prepare_memory() {
  memory_.heap().prepare();
  memory_.index_heap().prepare();
  memory_.ghost_pages().tend();
}

// Gives some of the memory that was freed while shards were locked back to the system. Returns true if there is more.
bool Keyspace::give_back(std::size_t bytes) {
  prepare_memory();
  const bool segments = pool_->give_back(bytes / segment_size);
  const bool index = memory_.index_heap().release();
  return memory_.heap().give_back(bytes) || segments || index;
}

// Gives some spare memory back to the system, if release_spare() has asked for it. Returns true if there is more.
bool Keyspace::release_some_spare() {
  if (!releasing_spare_.load(std::memory_order_relaxed)) return false;
  const bool index = memory_.index_heap().release_spare();
  const bool more = memory_.heap().release_spare(bytes_at_once) || index;
  if (!more) releasing_spare_.store(false, std::memory_order_relaxed);
  return more;
}

namespace {
// Counts how long it exists as a wait for room.
class RoomWait {
 public:
  explicit RoomWait(RoomWaits& waits) : waits_(waits) {}
  ~RoomWait() {
    const std::uint64_t ticks = ThreadClock::ticks_since(began_);
    waits_.waits.fetch_add(1, std::memory_order_relaxed);
    waits_.ticks.fetch_add(ticks, std::memory_order_relaxed);
    // Its waits for locks were noted as such.
    const std::uint64_t noted = thread_waits.total() - noted_before_;
    thread_waits.add_room(ticks - std::min(ticks, noted));
  }
  RoomWait(const RoomWait&) = delete;
  RoomWait& operator=(const RoomWait&) = delete;

 private:
  RoomWaits& waits_;
  const std::uint64_t began_ = ThreadClock::ticks();
  const std::uint64_t noted_before_ = thread_waits.total();
};
}  // namespace

bool Keyspace::make_room(std::uint64_t bytes, Room* room) {
  std::optional<Reclaiming> reclaiming;
  return make_room(bytes, room, reclaiming, std::numeric_limits<std::int64_t>::max()) == MadeRoom::yes;
}

Keyspace::MadeRoom Keyspace::make_room(std::uint64_t bytes, Room* room, std::optional<Reclaiming>& reclaiming, std::int64_t end_us) {
  // Beyond the bytes that it has announced, a command may open a segment and split a group of the index.
  constexpr std::uint64_t index_growth = 16 * 1024;
  const std::uint64_t wanted = bytes + segment_size + index_growth;
  constexpr std::uint64_t much = Room::least;
  pool_->prepare();
  // A request for much memory gives as much of the freed memory back to the system. For other requests the background does it.
  if (bytes >= much) {
    memory_.heap().prepare();
    if (memory_.heap().noted() > 0) memory_.heap().give_back(bytes);
  }
  const auto fits = [&] { return room != nullptr && bytes >= much ? room->take(memory_, wanted) : memory_.fits(wanted); };
  if (fits()) return MadeRoom::yes;
  if (!memory_.could_fit(wanted)) return MadeRoom::no;
  const RoomWait wait(room_waits_);
  ask_for_measurement();
  const HoldCause cause("evict");
  if (!reclaiming) reclaiming.emplace(*this, unix_ms(), wanted);
  const bool may_end = end_us != std::numeric_limits<std::int64_t>::max();
  while (!fits()) {
    if (may_end && monotonic_us() >= end_us) return MadeRoom::unfinished;
    // Memory that is freed already is given back to the system before an entry is evicted.
    if (const std::uint64_t returning = memory_.returning(); returning > 0) {
      give_back(std::max(wanted, bytes_at_once));
      if (memory_.returning() < returning) continue;
    }
    prepare_memory();
    if (!free_some_tables() && !reclaiming->step()) return MadeRoom::no;
  }
  return MadeRoom::yes;
}

// --- the background ---

bool Keyspace::background_step(UnixMs now, std::int64_t budget_us, BackgroundTimes* times) {
  const std::int64_t start = monotonic_us();
  const std::int64_t end = start + budget_us;
  // Freeing tables and leftovers takes half of the time at most.
  bool garbage = true;
  memory_.index_heap().prepare();
  while (garbage && monotonic_us() < start + budget_us / 2) {
    const bool noted = give_back(bytes_at_once);
    const bool spare = release_some_spare();
    garbage = free_some_tables() || noted || spare;
  }
  BackgroundTimes unasked;
  BackgroundTimes& took = times != nullptr ? *times : unasked;
  const std::int64_t evicting_since = monotonic_us();
  const bool preparing = prepare_eviction(start + budget_us / 2);
  Reclaiming reclaiming(*this, now, segment_size);
  while (!preparing && lowering() && monotonic_us() < end) {
    const HoldCause cause("lower-memory");
    if (!reclaiming.step()) {
      memory_.give_up_lowering();
      gave_up_at_.store(memory_.data(), std::memory_order_relaxed);
      break;
    }
    memory_.lower_ceiling();
  }
  memory_.lower_ceiling();  // clients may have freed enough for it
  took.evicting_us = monotonic_us() - evicting_since;
  const bool erasing = erase_some(monotonic_us() + budget_us / 4);
  bool forgetting = false;
  do {
    forgetting = tag_marks_.forget_some();
  } while (forgetting && monotonic_us() < end);
  const std::int64_t expiring_since = monotonic_us();
  for (unsigned i = 0; i < shard_count(); ++i) {
    background_shard_ = (background_shard_ + 1) & shard_mask_;
    bool more = true;
    while (more) {
      more = tend(*shards_[background_shard_], now);
      const std::int64_t present = monotonic_us();
      took.expiring_us = present - expiring_since;
      if (present >= end) return true;
    }
  }
  const std::lock_guard lock(to_free_mutex_);
  return garbage || preparing || lowering() || erasing || forgetting || tag_marks_.has_swept() || !tables_to_free_.empty() ||
         !memory_.leftovers().empty();
}

// Whether more memory is used than the limit allows, and eviction has not been given up for that.
bool Keyspace::lowering() const { return memory_.over_limit() && memory_.data() > gave_up_at_.load(std::memory_order_relaxed); }

// Lets tables that will soon have to evict prepare for it while there is room. Returns true if the time was up before all were
// prepared.
bool Keyspace::prepare_eviction(std::int64_t end_us) {
  const std::uint64_t limit = memory_.limit();
  if (limit == 0 || memory_.data() < limit / 4 * 3) return false;
  const HoldCause cause("prepare-eviction");
  for (; prepared_shards_ < shard_count(); ++prepared_shards_) {
    Shard& shard = *shards_[prepared_shards_];
    for (bool more = true; more;) {
      if (memory_.data() > limit / 8 * 7) return false;
      if (monotonic_us() >= end_us) return true;
      more = false;
      memory_.ghost_pages().tend();
      const LockAfterWaiters lock(shard.mutex);
      for (const auto& table : shard.tables) more |= table && table->prepare_eviction();
    }
  }
  prepared_shards_ = 0;
  return false;
}

// Does a piece of work on one table, in a hold of its own. Returns whether there is more; false also if there is no table any
// more.
template <class Work>
bool Keyspace::tend_table(Shard& shard, unsigned db, std::string_view cause_name, Work&& work) {
  const HoldCause cause(cause_name);
  const WakeLater later;
  const LockAfterWaiters lock(shard.mutex);
  Table* const table = shard.tables[db].get();
  Budget budget;
  const bool more = table != nullptr && work(*table, budget);
  shard.changes.settle();
  return more;
}

// Does a piece of each kind of work on each table of a shard. Returns true if there is more.
bool Keyspace::tend(Shard& shard, UnixMs now) {
  const bool keeps = keeps_expired();
  std::bitset<database_count> used;
  std::vector<std::unique_ptr<Table>> idle;
  {
    const HoldCause cause("look-for-work");
    const LockAfterWaiters lock(shard.mutex);
    for (unsigned db = 0; db < database_count; ++db) {
      if (!shard.tables[db]) continue;
      used.set(db);
      // A table that stays empty is removed. The next entry gets a new table with a small index.
      if (shard.tables[db]->idle()) idle.push_back(shard.detach(db));
    }
  }
  free_later(std::move(idle));
  bool more = false;
  for (unsigned db = 0; db < database_count; ++db) {
    if (!used.test(db)) continue;
    const Housekeeping keeping = shard.housekeeping(now, keeps);
    if (active_expire_.load(std::memory_order_relaxed) && !keeps) {
      more |= tend_table(shard, db, "expire", [&](Table& table, Budget& budget) { return table.expire_some(keeping, budget); });
    }
    more |= tend_table(shard, db, "sweep-purges", [](Table& table, Budget& budget) { return table.purge_some(budget); });
    const bool compacted = tend_table(
        shard, db, "compact", [&](Table& table, Budget& budget) { return table.compact(keeping, budget) != Reclaimed::impossible; });
    more |= compacted || tend_table(shard, db, "shrink-index", [](Table& table, Budget&) { return table.shrink_index(); });
  }
  return more;
}

}  // namespace pinfold::store
