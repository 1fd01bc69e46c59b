#include "pinfold/store/keyspace.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <numeric>
#include <utility>

#include "pinfold/base/random.hpp"
#include "pinfold/base/sleeper.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/store/shard.hpp"

namespace pinfold::store {

unsigned shards_for(unsigned threads, std::uint64_t max_memory) {
  const std::uint64_t few = std::bit_ceil(std::uint64_t{threads} * 8);
  const std::uint64_t many = threads > 1 ? few * 8 : few;
  const std::uint64_t of_4_mb = std::bit_floor(max_memory >> 22);
  const std::uint64_t of_32_mb = std::bit_floor(max_memory >> 25);
  const std::uint64_t shards = max_memory == 0 ? many : std::min(many, std::max(of_32_mb, std::min(of_4_mb, few)));
  return static_cast<unsigned>(std::clamp<std::uint64_t>(shards, 2, max_shards));
}

Keyspace::Keyspace(const KeyspaceOptions& options)
    : hash_key_(random_hash_key()),
      policy_{options.policy},
      memory_(options.max_memory),
      pool_(std::make_unique<SegmentPool>(memory_)),
      tag_marks_(memory_),
      shard_mask_(options.shards - 1) {
  assert(options.shards > 0 && options.shards <= max_shards && (options.shards & shard_mask_) == 0);
  memory_.heap().prepare();
  memory_.index_heap().prepare();
  std::iota(databases_.begin(), databases_.end(), std::uint64_t{0});
  memory_.index_heap().prepare();
  shards_.reserve(options.shards);
  for (unsigned i = 0; i < options.shards; ++i) {
    shards_.push_back(std::make_unique<Shard>(*pool_, memory_, hash_key_, policy_, lock_watch_));
  }
}

Keyspace::~Keyspace() = default;

// --- locks ---

unsigned Keyspace::waiting(unsigned shard) const { return shards_[shard]->mutex.waiting(); }

void Keyspace::Locks::acquire(const Key& key) { acquire_shard(keyspace_->shard_of(key)); }

void Keyspace::Locks::acquire_shard(unsigned shard) {
  keyspace_->shards_[shard]->mutex.lock();
  held_.set(shard);
  single_ = static_cast<int>(shard);
}

void Keyspace::Locks::acquire(std::span<const Key> keys) {
  assert(held_.none());
  work::entries(keys.size());
  if (keys.size() == 1) return acquire(keys[0]);
  for (const Key& key : keys) held_.set(keyspace_->shard_of(key));
  lock_held();
}

void Keyspace::Locks::acquire_after_waiters(std::span<const Key> keys) {
  for (const Key& key : keys) keyspace_->let_waiters_in(keyspace_->shard_of(key));
  acquire(keys);
}

void Keyspace::Locks::acquire_all() {
  assert(held_.none());
  for (unsigned i = 0; i < keyspace_->shard_count(); ++i) held_.set(i);
  lock_held();
}

bool Keyspace::Locks::try_acquire_more(unsigned shard) {
  if (held_.test(shard)) return true;
  // Others hold a lock for about a microsecond, unless they wait for one that is held here.
  constexpr int tries = 1000;
  for (int i = 0; i < tries; ++i) {
    if (keyspace_->shards_[shard]->mutex.try_lock()) {
      single_ = -1;
      held_.set(shard);
      return true;
    }
    pause_processor();
  }
  return false;
}

bool Keyspace::Locks::try_acquire_rest() {
  for (unsigned i = 0; i < keyspace_->shard_count(); ++i) {
    if (!try_acquire_more(i)) return false;
  }
  return true;
}

void Keyspace::Locks::lock_held() {
  // In ascending order, so that no two threads wait for each other.
  for (std::size_t i = held_._Find_first(); i < held_.size(); i = held_._Find_next(i)) keyspace_->shards_[i]->mutex.lock();
}

// Observers settle before the shard is unlocked: waiting clients are answered before another thread can change the key again.
void Keyspace::Locks::unlock(unsigned shard) {
  Shard& held = *keyspace_->shards_[shard];
  if (held.changes.wants_settle()) [[unlikely]]
    return settle_and_unlock(held);
  held.mutex.unlock();
}

[[gnu::noinline]] void Keyspace::Locks::settle_and_unlock(Shard& held) {
  const WakeLater later;
  held.changes.settle();
  held.mutex.unlock();
}

void Keyspace::Locks::release() {
  if (single_ >= 0) {
    const auto shard = static_cast<unsigned>(std::exchange(single_, -1));
    held_.reset(shard);
    unlock(shard);
    if (keyspace_->memory_.heap().has_news() || keyspace_->samples_.has_become_half_full()) [[unlikely]]
      keyspace_->wake_background();
    return;
  }
  if (!held_.none()) release_several();
}

[[gnu::noinline]] void Keyspace::Locks::release_several() {
  const WakeLater later;
  for (std::size_t i = held_._Find_first(); i < held_.size(); i = held_._Find_next(i)) unlock(static_cast<unsigned>(i));
  held_.reset();
  if (keyspace_->memory_.heap().has_news() || keyspace_->samples_.has_become_half_full()) keyspace_->wake_background();
}

void Keyspace::prefetch_lock(const Key& key) { prefetch_to_write(&shard(key).mutex); }

void Keyspace::prefetch_index(unsigned db, const Key& key) {
  Shard& at = shard(key);
  // The index can only be read with the lock held. Locking twice without contention costs less than the cache misses that it
  // hides.
  const std::unique_lock lock(at.mutex, std::try_to_lock);
  if (lock && at.tables[db]) at.tables[db]->index().prefetch(key.hash);
}

void Keyspace::prefetch_entry(unsigned db, const Key& key) {
  Shard& at = shard(key);
  const std::unique_lock lock(at.mutex, std::try_to_lock);
  if (lock && at.tables[db]) at.tables[db]->prefetch_entry(key.hash);
}

// Calls `action` for every shard, one after the other, with the shard locked. Shards that are not in `held` are locked for the
// call.
template <class Action>
void Keyspace::for_each_shard(const Locks& held, Action&& action) {
  for (unsigned i = 0; i < shard_count(); ++i) with_shard(i, held, action);
}

template <class Action>
void Keyspace::with_shard(unsigned index, const Locks& held, Action&& action) {
  Shard& shard = *shards_[index];
  const WakeLater later;
  std::unique_lock lock(shard.mutex, std::defer_lock);
  if (!held.holds(index)) lock.lock();
  action(shard);
  if (lock) shard.changes.settle();
}

void Keyspace::let_waiters_in(unsigned shard) { shards_[shard]->mutex.let_waiters_in(); }

Changes& Keyspace::changes(unsigned shard) { return shards_[shard]->changes; }

std::optional<Value> Keyspace::glance(unsigned db, const Key& key) {
  Table* const table = shard(key).tables[db].get();
  const std::optional<Entry> entry = table != nullptr ? table->glance(key) : std::nullopt;
  return entry ? std::optional(entry->value()) : std::nullopt;
}

// --- the whole keyspace ---

namespace {

// Has all shards locked during its life, unless the caller has locked them. With one shard locked at a time, RENAME or COPY
// could carry a value from a shard that is still to come into one that has been dealt with.
class All {
 public:
  explicit All(Keyspace::Locks& held) : held_(held), taken_(held.empty()) {
    if (taken_) held_.acquire_all();
  }
  ~All() {
    if (taken_) held_.release();
  }
  All(const All&) = delete;
  All& operator=(const All&) = delete;

 private:
  Keyspace::Locks& held_;
  const bool taken_;
};

}  // namespace

std::uint64_t Keyspace::size(unsigned db, Locks& held) {
  std::uint64_t keys = 0;
  for_each_shard(held, [&](Shard& shard) {
    if (shard.tables[db]) keys += shard.tables[db]->size() - shard.tables[db]->negatives().keys;
  });
  return keys;
}

std::uint64_t Keyspace::entries(unsigned db, Locks& held) {
  std::uint64_t entries = 0;
  for_each_shard(held, [&](Shard& shard) {
    if (shard.tables[db]) entries += shard.tables[db]->size();
  });
  return entries;
}

namespace {
// To exchange or remove a table is less work than to visit an entry, but it is some work.
constexpr std::size_t pointers_per_entry = 16;
}  // namespace

void Keyspace::flush(unsigned db, Locks& held) {
  const WakeLater later;
  const All all(held);
  std::vector<std::unique_ptr<Table>> tables;
  tables.reserve(shard_count());
  ++histories_[db].generation;
  for_each_shard(held, [&](Shard& shard) {
    if (shard.tables[db]) tables.push_back(shard.detach(db));
    shard.changes.tell(Cause::flushed, db, {}, 0);
  });
  work::entries(1 + tables.size() / pointers_per_entry);
  free_later(std::move(tables));
}

bool Keyspace::purge(unsigned db, const std::shared_ptr<Purge>& purge, Locks& held, const std::function<void()>& accepted) {
  const WakeLater later;
  const All all(held);
  bool room = true;
  for_each_shard(held, [&](Shard& shard) { room &= !shard.tables[db] || shard.tables[db]->can_purge(*purge); });
  purge->database = databases_[db];
  if (!room || (!purge->by_prefix && !tag_marks_.has_room_for(*purge))) return false;
  purge->number = ++purges_;
  purge->marks = &tag_marks_;
  // As long as a table does not know the purge, it ignores the purge's marks.
  if (!purge->by_prefix) tag_marks_.add(*purge);
  if (accepted) accepted();
  histories_[db].purged = histories_[db].generation;
  for_each_shard(held, [&](Shard& shard) {
    if (shard.tables[db]) shard.tables[db]->purge(purge, tag_marks_);
  });
  if (!purge->by_prefix) tag_marks_.supersede(*purge);
  wake_background();
  return true;
}

void Keyspace::swap(unsigned a, unsigned b, UnixMs now, Locks& held) {
  work::entries(1 + shard_count() / pointers_per_entry);
  for_each_shard(held, [&](Shard& shard) {
    std::swap(shard.tables[a], shard.tables[b]);
    for (const unsigned db : {a, b}) {
      if (shard.tables[db]) shard.tables[db]->set_database(db);
    }
    for (const unsigned db : {a, b}) shard.changes.tell(Cause::exchanged, db, {}, now);
  });
  for (const unsigned db : {a, b}) {
    databases_[db] = next_database_++;
    DatabaseHistory& history = histories_[db];
    history.exchanged_before = std::exchange(history.exchanged, ++history.generation);
    history.exchanged_at = now;
  }
}

// --- WATCH ---

Watch Keyspace::watch(unsigned db, const Key& key, UnixMs now) {
  const bool live = Database(*this, db, now).find(key, Access::none()).has_value();
  return {live, shard(key).watchers.add(db, key), histories_[db].generation, views_};
}

void Keyspace::unwatch(unsigned db, const Key& key) { shard(key).watchers.remove(db, key); }

bool Keyspace::has_changed(unsigned db, const Key& key, const Watch& watch, UnixMs now) {
  Shard& at = shard(key);
  const Watchers::Seen seen = at.watchers.look(db, key);
  if (seen.changes != watch.changes || views_ != watch.view) return true;
  const DatabaseHistory& history = histories_[db];
  // A key that existed has changed if its database was emptied or exchanged. If it was purged or has expired, it is no longer
  // found.
  if (watch.live) return history.generation != watch.generation || !Database(*this, db, now).find(key, Access::none());
  // A key that did not exist and was not written can exist now only if another database was exchanged for this one.
  if (history.exchanged <= watch.generation) return false;
  const bool changed_since = history.generation != history.exchanged || history.purged == history.exchanged;
  if (history.exchanged_before > watch.generation || changed_since) return true;  // it is no longer known what was there
  // An entry that has not changed since the exchange existed then, unless it had expired.
  const auto entry = at.tables[db] ? at.tables[db]->find(key) : std::nullopt;
  const auto outlasted = [&history](UnixMs deadline) { return deadline > history.exchanged_at; };
  return outlasted(seen.expired) || (entry && !entry->absent() && (entry->expires_at() == 0 || outlasted(entry->expires_at())));
}

// --- figures ---

KeyspaceStats Keyspace::stats(const Locks& held) {
  KeyspaceStats sum;
  for_each_shard(held, [&](Shard& shard) {
    sum.hits += shard.hits;
    sum.misses += shard.misses;
    sum.negative_hits += shard.negative_hits;
    sum.bypassed += shard.bypassed;
    sum.expired += shard.expired;
    sum.evicted += shard.evicted;
    sum.departures += shard.departures;
    sum.written_ttls += shard.written_ttls;
    sum.lock_waits.waits += shard.lock_waits.waits;
    sum.lock_waits.slept += shard.lock_waits.slept;
    sum.lock_waits.ticks += shard.lock_waits.ticks;
    sum.lock_waits.most_ticks = std::max(sum.lock_waits.most_ticks, shard.lock_waits.most_ticks);
    const std::uint64_t occupied = shard.occupied.load(std::memory_order_relaxed);
    sum.fullest_bytes = std::max(sum.fullest_bytes, occupied);
    sum.occupied_bytes += occupied;
    for (const auto& table : shard.tables) {
      if (!table) continue;
      sum.entries += table->size();
      sum.entry_bytes += table->entry_bytes();
    }
  });
  return sum;
}

void Keyspace::take_back_reads(const ReadCounts& reads) {
  // Which shard does not matter: only sums are shown.
  with_locked(0, [&] {
    Shard& any = *shards_[0];
    any.hits -= reads.hits;
    any.misses -= reads.misses;
    any.negative_hits -= reads.negative_hits;
  });
}

void Keyspace::reset_stats(const Locks& held) {
  for_each_shard(held, [](Shard& shard) {
    shard.hits = shard.misses = shard.negative_hits = shard.bypassed = shard.expired = shard.evicted = 0;
    shard.departures = {};
    shard.written_ttls = {};
    shard.lock_waits = {};
  });
  for (auto* counter : {&room_waits_.waits, &room_waits_.ticks}) counter->store(0, std::memory_order_relaxed);
}

void Keyspace::reset_evicted_of(std::uint8_t slot, const Locks& held) {
  for_each_shard(held, [slot](Shard& shard) { shard.departures.by_policy[slot] = 0; });
}

EntryUse Keyspace::use_of(std::uint8_t slot, const Locks& held) {
  EntryUse sum;
  for_each_shard(held, [&](Shard& shard) {
    for (const auto& table : shard.tables) {
      if (!table) continue;
      sum.keys += table->use_of(slot).keys;
      sum.bytes += table->use_of(slot).bytes;
    }
  });
  return sum;
}

EntryUse Keyspace::negative_use(const Locks& held) {
  EntryUse sum;
  for_each_shard(held, [&](Shard& shard) {
    for (const auto& table : shard.tables) {
      if (!table) continue;
      sum.keys += table->negatives().keys;
      sum.bytes += table->negatives().bytes;
    }
  });
  return sum;
}

DatabaseStats Keyspace::database_stats(unsigned db, UnixMs now, const Locks& held) {
  constexpr unsigned samples_per_shard = 8;
  DatabaseStats sum;
  std::uint64_t sampled = 0;
  for_each_shard(held, [&](Shard& shard) {
    Table* table = shard.tables[db].get();
    if (table == nullptr) return;
    sum.keys += table->size() - table->negatives().keys;
    sum.index_bytes += table->index().memory();
    sum.expires += table->expires() - table->negatives().keys;  // each negative entry has a deadline
    for (unsigned i = 0; i < samples_per_shard && table->expires() > 0; ++i) {
      const Ref ref = table->index().sample(random_u64());
      if (ref == 0) continue;
      const UnixMs at = table->entry(ref).expires_at();
      if (at <= now) continue;
      ++sampled;
      // The average is kept up to date instead of a sum, which might overflow.
      sum.average_ttl += (at - now - sum.average_ttl) / static_cast<UnixMs>(sampled);
    }
  });
  return sum;
}

SizeClasses Keyspace::size_classes(const Locks& held) {
  constexpr unsigned samples_per_table = 8;
  SizeClasses sum;
  std::array<double, SizeClasses::in_log> estimates{};
  for_each_shard(held, [&](Shard& shard) {
    for (const auto& table : shard.tables) {
      if (!table) continue;
      std::uint64_t in_log = table->size() - table->negatives().keys;
      for (std::size_t i = 0; i < SizeClasses::outside; ++i) {
        sum.keys[SizeClasses::in_log + i] += table->outside_sizes()[i];
        in_log -= table->outside_sizes()[i];
      }
      std::array<unsigned, SizeClasses::in_log> found{};
      unsigned sampled = 0;
      for (unsigned i = 0; i < samples_per_table && in_log > 0; ++i) {
        const Ref ref = table->index().sample(random_u64());
        if (ref == 0) continue;
        const Entry e = table->entry(ref);
        if (e.handle() || e.absent()) continue;
        ++found[SizeClasses::in_log_class(e.value_text().size())];
        ++sampled;
      }
      if (sampled == 0) {
        estimates[0] += static_cast<double>(in_log);
        continue;
      }
      for (std::size_t i = 0; i < found.size(); ++i) estimates[i] += static_cast<double>(in_log) * found[i] / sampled;
    }
  });
  // The sums are rounded, so that the classes add up to what there is.
  double up_to = 0;
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < estimates.size(); ++i) {
    up_to += estimates[i];
    const auto rounded = static_cast<std::uint64_t>(std::llround(up_to));
    sum.keys[i] = rounded - before;
    before = rounded;
  }
  return sum;
}

std::optional<std::uint64_t> Keyspace::memory_usage(unsigned db, const Key& key, UnixMs now) {
  if (!Database(*this, db, now).find(key, Access::none())) return std::nullopt;
  Table& table = *shard(key).tables[db];
  return table.memory_of(*table.find(key));
}

}  // namespace pinfold::store
