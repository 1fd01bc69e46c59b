#pragma once
// One shard of the keyspace: a lock, and the tables of all databases for the keys that fall into the shard.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <new>

#include "pinfold/store/changes.hpp"
#include "pinfold/store/departures.hpp"
#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/shard_mutex.hpp"
#include "pinfold/store/table.hpp"
#include "pinfold/store/watchers.hpp"

namespace pinfold::store {

/// `mutex` guards all members of the shard, except for `occupied` and `mutex` itself. No cache line belongs to two shards. The
/// first line of a shard has what every request writes: the lock and the counters of reads. A thread that waits for the lock
/// reads that line all the time. So the data that requests only read begins on the second line.
class alignas(64) Shard {
 public:
  Shard(SegmentPool& pool, Memory& memory, const HashKey& hash_key, const PolicySettings& policy, LockWatch& watch)
      : mutex(watch, lock_waits), pool_(pool), memory_(memory), hash_key_(hash_key), policy_(policy) {}

  ShardMutex mutex;
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;

  alignas(64) std::array<std::unique_ptr<Table>, database_count> tables;  // by database; null until the first write
  Changes changes;
  Watchers watchers{changes};       // subscribes before all other observers, so it is told first
  std::uint64_t negative_hits = 0;  // misses that met a negative entry
  std::uint64_t bypassed = 0;       // misses because their keys are bypassed
  std::uint64_t expired = 0;
  std::uint64_t evicted = 0;
  LockWaits lock_waits;
  Departures departures;
  TtlCounts written_ttls;

  /// Bytes of segments, and of blocks to which entries refer. Written with the lock held. Read without it, to choose the shard
  /// to evict from.
  std::atomic<std::uint64_t> occupied{0};

  /// The table of a database, which is made if there is none yet. Null: no memory.
  Table* table(unsigned db) {
    if (tables[db]) [[likely]]
      return tables[db].get();
    try {
      tables[db] = std::make_unique<Table>(pool_, memory_, hash_key_, policy_, occupied, changes, db);
    } catch (const std::bad_alloc&) {
    }
    return tables[db].get();
  }
  /// Housekeeping for this shard. Nothing is removed as expired if `keeps_expired` is true, or while serve-stale is on.
  Housekeeping housekeeping(UnixMs now, bool keeps_expired = false) {
    const bool keeps = keeps_expired || policy_.serve_stale.load(std::memory_order_relaxed);
    return {keeps ? 0 : now, expired, evicted, departures, now};
  }

  /// Frees memory, by compaction if a table has many dead bytes, otherwise by eviction (Table::evict()). Evicts
  /// first from the table in which it has begun to empty a segment, otherwise from the largest table that has something to evict.
  /// While negative entries are to be evicted first, it prefers the table whose
  /// negative entries occupy the most bytes.
  Reclaimed reclaim(const Housekeeping& keeping, std::uint64_t wanted, unsigned pressure, bool patient, Budget& budget);
  /// Takes the table of a database out of the shard and returns it. There must be one. The caller owns it, and should destroy
  /// it without the lock.
  std::unique_ptr<Table> detach(unsigned db);

 private:
  SegmentPool& pool_;
  Memory& memory_;
  const HashKey& hash_key_;
  const PolicySettings& policy_;
  unsigned unfinished_ = database_count;  // the database in whose table reclaim() has begun to empty a segment; database_count: none
};

static_assert(sizeof(ShardMutex) + 2 * sizeof(std::uint64_t) <= 64);

}  // namespace pinfold::store
