// Erasure: overwriting the bytes that removed entries have left in memory.
//
// The bytes of a deleted, overwritten or moved entry stay in memory until their place is used again. They may lie in a dead
// entry, behind a shorter entry in use, behind the end of a segment that was begun anew, or in free segments and blocks. One pass
// goes through all of these, a piece at a time, with the shard locked. While a pass is under way, memory is overwritten at once
// when it is freed, and an entry that moves takes no older bytes along (Memory::erasing()). So a place that the pass has seen
// stays clean. A request may store a large value before the pass has dealt with it. Then the pass comes back to its entry. At
// the end of the pass the store's memory has no byte of an entry that was removed before the pass began, except in blocks that
// replies still refer to. Without a pass, erasure costs one comparison when a segment or block is freed or moved.

#include <algorithm>
#include <cstring>
#include <utility>

#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/segment.hpp"
#include "pinfold/store/shard.hpp"

namespace pinfold::store {

// --- a table ---

// Overwrites what removed elements have left in the value of an entry in use, and in the block of its key. `at` is how far that has come
// in the value, 0 for the start. Returns false if the budget is spent before.
bool Table::wipe_values(const Entry& e, std::uint64_t& at, Budget& budget) const {
  const std::uint64_t erasure = memory_.erasing();
  std::uint64_t of_key = 0;  // a key has so little slack that each call begins anew
  if (void* const block = e.key_blob(); block != nullptr && !Handle(Type::string, block).wipe_slack(erasure, of_key, budget)) return false;
  const Handle value = e.handle();
  return !value || value.wipe_slack(erasure, at, budget);
}

// A request has stored an entry while an erasure is under way, perhaps in a place where the pass has been. Overwrites a piece of what is
// left in its value, whose key the request names. If there is more, has the pass look at the entry.
[[gnu::cold]] void Table::wipe_stored(Ref ref) {
  Budget budget;
  std::uint64_t at = 0;
  if (!wipe_values(entry(ref), at, budget)) erase_again(Log::id_of(ref));
}

// Has the pass look at a segment, which it may have seen.
void Table::erase_again(std::uint32_t id) {
  if (erasing_.pass == memory_.erasing()) {  // or else the pass has not begun here, and will see all of the table
    if (id <= erasing_.at) {
      erasing_.at = id;
      erasing_.offset = 0;
      erasing_.inside = 0;
    }
    erasing_.end = std::max(erasing_.end, id + 1);
  }
  memory_.erase_again();  // it may have left the table behind, or the table may be new
}

// Overwrites what removed entries have left in one segment, from erasing_.offset on. Returns false if the budget is spent before the end.
bool Table::erase_segment(std::uint32_t id, Budget& budget) {
  const Segment& segment = log_.segment(id);
  if (std::exchange(erasing_.sequence, segment.sequence) != segment.sequence) erasing_.offset = erasing_.inside = 0;
  while (erasing_.offset < segment.used) {
    if (budget.spent()) return false;
    Entry e(segment.base + erasing_.offset);
    const std::size_t extent = e.extent();
    budget.spend(1);
    if (e.dead()) {
      e.wipe();
      budget.spend(0, extent);
    } else {
      e.wipe_slack();
      if (!wipe_values(e, erasing_.inside, budget)) return false;
    }
    erasing_.offset += static_cast<std::uint32_t>(extent);
    erasing_.inside = 0;
  }
  if (budget.spent()) return false;
  std::memset(segment.base + segment.used, 0, segment_size - segment.used);
  budget.spend(0, segment_size - segment.used);
  return true;
}

bool Table::erase_some(std::uint64_t pass, Budget& budget) {
  if (erasing_.pass != pass) erasing_ = {.pass = pass, .end = log_.end()};
  for (; erasing_.at < erasing_.end; ++erasing_.at) {
    if (budget.spent()) return true;
    budget.spend(1);
    if (log_.segment(erasing_.at).base != nullptr && !erase_segment(erasing_.at, budget)) return true;
  }
  return false;
}

// --- all of them ---

std::uint64_t Keyspace::erase() {
  const std::uint64_t number = erasures_asked_.fetch_add(1, std::memory_order_acq_rel) + 1;
  wake_background();
  return number;
}

void Keyspace::begin_erasure(std::uint64_t number) {
  erasing_ = {};
  erasing_.number = number;
  static_cast<void>(memory_.take_erase_again());
  memory_.set_erasing(number);
  pool_->wipe_spare();  // before the tables, so that segments which they take afterwards are clean
}

// Goes on through the tables until the time `end_us`. Returns false when all tables have been seen.
bool Keyspace::erase_shards(std::int64_t end_us) {
  const HoldCause cause("erase");
  for (; erasing_.shard < shard_count(); ++erasing_.shard) {
    Shard& shard = *shards_[erasing_.shard];
    for (bool more = true; more;) {
      if (monotonic_us() >= end_us) return true;
      Budget budget;
      const LockAfterWaiters lock(shard.mutex);
      // Each hold goes through the databases from the first on, because databases may have been swapped in between.
      more = std::any_of(shard.tables.begin(), shard.tables.end(),
                         [&](const auto& table) { return table && table->erase_some(erasing_.number, budget); });
    }
  }
  return false;
}

void Keyspace::note_rest() {
  {
    const std::lock_guard lock(to_free_mutex_);
    erasing_.tables = tables_removed_;
  }
}

// Goes on with the pass that was asked for, until the time `end_us`. Returns true if there is more to do.
bool Keyspace::erase_some(std::int64_t end_us) {
  if (erased(erasing_.number)) {
    const std::uint64_t asked = erasures_asked_.load(std::memory_order_acquire);
    if (erased(asked)) return false;
    begin_erasure(asked);
  }
  if (erase_shards(end_us)) return true;
  if (memory_.take_erase_again()) {
    erasing_.shard = 0;
    return true;
  }
  while (!erasing_.blocks) {
    if (monotonic_us() >= end_us) return true;
    erasing_.block = memory_.heap().wipe_free(erasing_.block);
    erasing_.blocks = erasing_.block == nullptr;
  }
  // The rest is the memory that was freed up to now. Memory that is freed later is not waited for. Otherwise the pass would
  // never end while large values come and go.
  if (!std::exchange(erasing_.rest, true)) note_rest();
  if (has_tables_to_free(erasing_.tables)) return true;
  // Those tables may have left something until just now, and what they and the leftovers have freed is still to be overwritten.
  if (!std::exchange(erasing_.tables_are_free, true)) erasing_.leftovers = memory_.leftovers().last();
  if (!memory_.leftovers().freed(erasing_.leftovers)) return true;
  if (!std::exchange(erasing_.all_is_noted, true)) {
    erasing_.noted_blocks = memory_.heap().last_noted();
    erasing_.noted_segments = pool_->last_noted();
  }
  if (!memory_.heap().given_back(erasing_.noted_blocks) || !pool_->given_back(erasing_.noted_segments)) return true;
  memory_.set_erasing(0);
  erasures_done_.store(erasing_.number, std::memory_order_release);
  return !erased(erasures_asked_.load(std::memory_order_acquire));
}

}  // namespace pinfold::store
