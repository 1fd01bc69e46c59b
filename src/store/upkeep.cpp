// What keeps a keyspace within its memory: making room for a request, and the background's work.

#include <algorithm>
#include <bitset>
#include <utility>

#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/segment.hpp"
#include "pinfold/store/shard.hpp"

namespace pinfold::store {

// --- dropped tables ---

// Takes over the tables of a flush. Small ones are freed at once if the caller holds nothing, so that the memory is back
// when the command replies; the rest in the background.
void Keyspace::drop(std::vector<std::unique_ptr<Table>> tables, bool at_once) {
  constexpr std::size_t bearable = 16;  // segments; some 0.1 ms
  if (tables.empty()) return;
  {
    const std::lock_guard lock(dropped_mutex_);
    for (auto& table : tables) dropped_.push_back(std::move(table));
  }
  for (std::size_t i = 0; at_once && i < bearable && free_dropped(1); ++i) {
  }
  if (wake_) wake_();
}

// Frees up to `segments` segments of one dropped table; false if there is none.
bool Keyspace::free_dropped(std::size_t segments) {
  std::unique_ptr<Table> table;
  {
    const std::lock_guard lock(dropped_mutex_);
    if (dropped_.empty()) return false;
    table = std::move(dropped_.back());
    dropped_.pop_back();
  }
  if (table->dismantle(segments)) return true;
  const std::lock_guard lock(dropped_mutex_);
  dropped_.push_back(std::move(table));
  return true;
}

void Keyspace::on_work(std::function<void()> wake) {
  wake_ = std::move(wake);
  memory_.heap().on_noted(wake_);
}

// --- room ---

void Keyspace::set_max_memory(std::uint64_t bytes) {
  memory_.set_limit(bytes, policy() != EvictionPolicy::noeviction);
  if (wake_) wake_();
}

// The fullest shard gives way, which keeps all of them level. False if none has anything to give.
bool Keyspace::reclaim_from_fullest(std::uint64_t wanted, UnixMs now, unsigned pressure,
                                    std::bitset<max_shards>& exhausted) {
  const bool may_evict = policy() != EvictionPolicy::noeviction;
  unsigned fullest = max_shards;
  std::uint64_t most = 0;
  for (unsigned i = 0; i < shard_count(); ++i) {
    const std::uint64_t here = shards_[i]->occupied.load(std::memory_order_relaxed);
    if (exhausted.test(i) || (fullest != max_shards && here <= most)) continue;
    fullest = i;
    most = here;
  }
  if (fullest == max_shards) return false;
  const std::lock_guard lock(shards_[fullest]->mutex);
  if (!shards_[fullest]->reclaim(now, may_evict, wanted, pressure)) exhausted.set(fullest);
  return true;
}

bool Keyspace::make_room(std::uint64_t bytes) {
  // A command may open a segment on top of what it announced.
  const std::uint64_t wanted = bytes + segment_size;
  pool_->prepare();
  // Who takes much helps to give back as much; the background does it for all others.
  if (bytes >= BlockHeap::own_mapping && memory_.heap().noted() > 0) memory_.heap().free_noted(bytes);
  if (memory_.fits(wanted)) return true;
  if (wanted > memory_.limit()) return false;
  // Steps without any gain, only entries that were worth keeping, before the bar is raised by one.
  constexpr unsigned patience = 4;
  constexpr std::size_t segments_at_once = 4;
  const UnixMs now = unix_ms();
  std::bitset<max_shards> exhausted;
  std::uint64_t lowest = memory_.used();
  for (unsigned fruitless = 0; !memory_.fits(wanted);) {
    if (free_dropped(segments_at_once)) continue;
    if (!reclaim_from_fullest(wanted, now, std::min(fruitless / patience, 3U), exhausted)) return memory_.fits(bytes);
    const std::uint64_t used = memory_.used();
    fruitless = used < lowest ? 0 : fruitless + 1;
    lowest = std::min(lowest, used);
  }
  return true;
}

// --- the background ---

bool Keyspace::background_step(UnixMs now, std::int64_t budget_us) {
  constexpr std::size_t bytes_at_once = 2 * 1024 * 1024;
  const std::int64_t start = monotonic_us();
  const std::int64_t end = start + budget_us;
  // What was dropped leaves half of the time to the rest.
  bool garbage = true;
  while (garbage && monotonic_us() < start + budget_us / 2) {
    const bool mappings = memory_.heap().free_noted(bytes_at_once);
    garbage = free_dropped(1) || mappings;
  }
  std::bitset<max_shards> exhausted;
  while (memory_.over_limit() && monotonic_us() < end) {
    if (!reclaim_from_fullest(segment_size, now, 0, exhausted)) {
      memory_.give_up_lowering();
      break;
    }
    memory_.lower_ceiling();
  }
  bool waiting = garbage || memory_.over_limit();
  for (unsigned i = 0; i < shard_count(); ++i) {
    background_shard_ = (background_shard_ + 1) & shard_mask_;
    bool more = true;
    while (more) {
      more = tend(*shards_[background_shard_], now);
      if (monotonic_us() >= end) return true;
    }
  }
  return waiting;
}

// A piece of work on each table of a shard, under its lock; true if there is more.
bool Keyspace::tend(Shard& shard, UnixMs now) {
  bool more = false;
  std::vector<std::unique_ptr<Table>> empty;
  {
    const std::lock_guard lock(shard.mutex);
    for (unsigned db = 0; db < database_count; ++db) {
      if (!shard.tables[db]) continue;
      Table& table = *shard.tables[db];
      if (table.size() == 0) {
        empty.push_back(shard.detach(db));  // the next entry gets a new table, with an index of its size
        continue;
      }
      const Housekeeping keeping = shard.housekeeping(db, now);
      if (active_expire_.load(std::memory_order_relaxed)) more |= table.expire_some(keeping);
      more |= table.compact(keeping) || table.shrink_index();
    }
  }
  drop(std::move(empty), true);
  return more;
}

}  // namespace pinfold::store
