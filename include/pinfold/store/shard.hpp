#pragma once
// One shard: a lock and what it guards.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/shard_mutex.hpp"
#include "pinfold/store/table.hpp"
#include "pinfold/store/watchers.hpp"

namespace pinfold::store {

class alignas(64) Shard {
 public:
  Shard(SegmentPool& pool, Memory& memory, const HashKey& hash_key, LockTiming& timing)
      : mutex(timing), pool_(pool), memory_(memory), hash_key_(hash_key) {}

  ShardMutex mutex;  // guards everything below

  std::array<std::unique_ptr<Table>, database_count> tables;  // null until first written
  Watchers watchers;
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t expired = 0;
  std::uint64_t evicted = 0;

  /// Bytes of segments and blocks here. Written under the lock, read without it to choose which shard gives way.
  std::atomic<std::uint64_t> occupied{0};

  Table& table(unsigned db) {
    if (!tables[db]) tables[db] = std::make_unique<Table>(pool_, memory_, hash_key_, occupied);
    return *tables[db];
  }
  Housekeeping housekeeping(unsigned db, UnixMs now) { return {now, db, watchers, expired, evicted}; }

  /// Frees memory: compaction if much is dead, else eviction (if `may_evict`) from the largest table, as
  /// Table::evict. False if nothing could be done.
  bool reclaim(UnixMs now, bool may_evict, std::uint64_t wanted, unsigned pressure);
  /// Takes the table out; the caller destroys it, best without the lock.
  std::unique_ptr<Table> detach(unsigned db);

 private:
  SegmentPool& pool_;
  Memory& memory_;
  const HashKey& hash_key_;
};

}  // namespace pinfold::store
