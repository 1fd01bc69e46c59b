#pragma once
// One shard: a lock and what it guards.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <new>

#include "pinfold/store/changes.hpp"
#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/shard_mutex.hpp"
#include "pinfold/store/table.hpp"
#include "pinfold/store/watchers.hpp"

namespace pinfold::store {

/// No cache line belongs to two shards. The first one has what every request writes, the lock and the counters of reads; a thread
/// that waits reads it all the time, so what a request only reads begins on the next.
class alignas(64) Shard {
 public:
  Shard(SegmentPool& pool, Memory& memory, const HashKey& hash_key, const PolicySettings& policy, LockWatch& watch)
      : mutex(watch), pool_(pool), memory_(memory), hash_key_(hash_key), policy_(policy) {}

  ShardMutex mutex;  // guards everything below
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;

  alignas(64) std::array<std::unique_ptr<Table>, database_count> tables;  // null until first written
  Changes changes;
  Watchers watchers{changes};       // the first of the observers
  std::uint64_t negative_hits = 0;  // misses that met a negative entry
  std::uint64_t expired = 0;
  std::uint64_t evicted = 0;

  /// Bytes of segments and blocks here. Written under the lock, read without it to choose which shard gives way.
  std::atomic<std::uint64_t> occupied{0};

  /// The table to write to; null if there is no memory for one.
  Table* table(unsigned db) {
    if (tables[db]) [[likely]]
      return tables[db].get();
    try {
      tables[db] = std::make_unique<Table>(pool_, memory_, hash_key_, policy_, occupied, changes, db);
    } catch (const std::bad_alloc&) {
    }
    return tables[db].get();
  }
  /// While stale values are served, or `keeps_expired`, nothing counts as expired.
  Housekeeping housekeeping(UnixMs now, bool keeps_expired = false) {
    const bool keeps = keeps_expired || policy_.serve_stale.load(std::memory_order_relaxed);
    return {keeps ? 0 : now, expired, evicted, now};
  }

  /// Frees memory: compaction if much is dead, else eviction from the largest table that has something to give (or,
  /// while those must go first, from the one with the most negative entries), as Table::evict.
  Reclaimed reclaim(UnixMs now, std::uint64_t wanted, unsigned pressure, bool patient, Budget& budget);
  /// Takes the table out; the caller destroys it, best without the lock.
  std::unique_ptr<Table> detach(unsigned db);

 private:
  SegmentPool& pool_;
  Memory& memory_;
  const HashKey& hash_key_;
  const PolicySettings& policy_;
  unsigned unfinished_ = database_count;  // the database in whose table reclaim() has begun a segment
};

static_assert(sizeof(ShardMutex) + 2 * sizeof(std::uint64_t) <= 64);

}  // namespace pinfold::store
