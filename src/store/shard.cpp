#include "pinfold/store/shard.hpp"

#include <utility>

namespace pinfold::store {

std::unique_ptr<Table> Shard::detach(unsigned db) {
  occupied.store(occupied.load(std::memory_order_relaxed) - tables[db]->occupied(), std::memory_order_relaxed);
  return std::move(tables[db]);
}

bool Shard::reclaim(UnixMs now, bool may_evict, std::uint64_t wanted, unsigned pressure) {
  unsigned largest = database_count;
  for (unsigned db = 0; db < database_count; ++db) {
    if (!tables[db]) continue;
    if (tables[db]->compact(housekeeping(db, now))) return true;
    if (tables[db]->size() == 0) continue;
    if (largest == database_count || tables[db]->occupied() > tables[largest]->occupied()) largest = db;
  }
  return may_evict && largest != database_count &&
         tables[largest]->evict(housekeeping(largest, now), wanted, pressure);
}

}  // namespace pinfold::store
