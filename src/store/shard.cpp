#include "pinfold/store/shard.hpp"

#include <algorithm>
#include <functional>
#include <span>
#include <utility>

namespace pinfold::store {

std::unique_ptr<Table> Shard::detach(unsigned db) {
  occupied.store(occupied.load(std::memory_order_relaxed) - tables[db]->occupied(), std::memory_order_relaxed);
  tables[db]->leave_policies();
  return std::move(tables[db]);
}

Reclaimed Shard::reclaim(const Housekeeping& keeping, std::uint64_t wanted, unsigned pressure, bool patient, Budget& budget) {
  std::array<unsigned, database_count> by_size{};
  unsigned count = 0;
  for (unsigned db = 0; db < database_count; ++db) {
    if (!tables[db]) continue;
    const Reclaimed compacted = tables[db]->compact(keeping, budget);
    if (compacted != Reclaimed::impossible) return compacted;
    if (tables[db]->size() > 0) by_size[count++] = db;
  }
  const auto reclaim_from = [&](unsigned db) {
    const Reclaimed result = tables[db]->evict(keeping, wanted, pressure, patient, budget);
    unfinished_ = result == Reclaimed::unfinished ? db : database_count;
    return result;
  };
  // A segment whose emptying has begun comes first, because it frees nothing until it is empty.
  if (unfinished_ != database_count && tables[unfinished_] && tables[unfinished_]->size() > 0) {
    if (const Reclaimed result = reclaim_from(unfinished_); result != Reclaimed::impossible) return result;
  }
  const auto candidates = std::span(by_size).first(count);
  const bool negatives_first = policy_.negatives_first(memory_.used_by_negatives());
  std::ranges::sort(candidates, std::greater{},
                    [&](unsigned db) { return std::pair(negatives_first ? tables[db]->negatives().bytes : 0, tables[db]->occupied()); });
  // A large table may have nothing that the policy evicts.
  for (const unsigned db : candidates) {
    if (const Reclaimed result = reclaim_from(db); result != Reclaimed::impossible) return result;
  }
  return Reclaimed::impossible;
}

}  // namespace pinfold::store
