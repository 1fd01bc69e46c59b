// What a table does about purges: judging what a look-up finds, and sweeping.

#include <cstring>
#include <string>
#include <utility>

#include "pinfold/base/work.hpp"
#include "pinfold/store/table.hpp"

namespace pinfold::store {

// The purge that is for the entry; null if there is none.
Purge* Table::purge_of(Ref ref, std::size_t& looked_at) const {
  const Entry e = entry(ref);
  const std::size_t before = looked_at;
  Purge* const found = purges_->match(
      e.key(), e.extra(), [&](const LogPosition& position) { return log_.written_before(ref, position); }, looked_at);
  work::bytes(looked_at - before);
  return found;
}

// The most that sweep_entry() may look at.
std::size_t Table::cost_to_sweep(Ref ref) const { return purges_->most_looked_at(entry(ref).key(), entry(ref).extra()); }

void Table::note_purged(const Entry& e, Purge& purge) const {
  purge.entries.fetch_add(1, std::memory_order_relaxed);
  purge.bytes.fetch_add(returned_by(e), std::memory_order_relaxed);
}

// A look-up has found an entry: whether it may.
Index::Slot Table::settle_purges(const Key& key, Index::Slot slot) {
  std::size_t looked_at = 0;
  Purge* const purge = purge_of(*slot.ref, looked_at);
  return purge != nullptr ? apply_purge(key, slot, *purge) : slot;
}

// Does to an entry what a purge that is for it wants. Returns where it is then.
Index::Slot Table::apply_purge(const Key& key, Index::Slot slot, Purge& purge) {
  const Ref ref = *slot.ref;
  const auto find = [&] { return index_.find(key.hash, [&](Ref other) { return entry(other).key() == key.text; }); };
  const bool was_live = entry(ref).live(purge.at);
  const bool stays = purge.soft && !entry(ref).absent();
  if (stays && !was_live) return slot;
  if (stays && stale_entry(key, slot, purge.at, purge.stale_ms(key.text))) {
    purge.entries.fetch_add(1, std::memory_order_relaxed);
    changes_.tell(Cause::purged_soft, db_, key, purge.at);
    return find();
  }
  purge_entry(ref, key.hash, purge);
  return {};
}

// Removes an entry and its bytes.
void Table::purge_entry(Ref ref, std::uint64_t hash, Purge& purge) {
  Entry e = entry(ref);
  note_purged(e, purge);
  index_.erase(index_.find(hash, [ref](Ref other) { return other == ref; }));
  changes_.tell_removed(Cause::purged, db_, hash, e, purge.at);
  e.for_each_handle([](Handle handle) { handle.wipe_when_freed(); });  // a reply may hold a block as well
  release(ref);
  work::bytes(e.extent());
  e.wipe();
  log_.mark_dead(ref);
}

void Table::purge(const std::shared_ptr<Purge>& purge, const TagMarks& tags) {
  if (size_ == 0) return;
  if (purges_ == nullptr) purges_ = std::make_unique<Purges>(tags);
  purge->unswept.fetch_add(1, std::memory_order_relaxed);
  try {
    purges_->add(purge, log_.position());
  } catch (...) {
    Purge::swept(purge);
    throw;
  }
  account_purges();
}

void Table::account_purges() {
  const std::uint64_t now = purges_ != nullptr ? purges_->memory() : 0;
  memory_.add(Use::herd, static_cast<std::int64_t>(now) - static_cast<std::int64_t>(purges_bytes_));
  purges_bytes_ = now;
}

// Does to an entry what purges want. True if it is where it was: no purge is for it, or it was stale already.
bool Table::sweep_entry(Ref ref, Budget& budget) {
  std::size_t looked_at = 0;
  Purge* const purge = purge_of(ref, looked_at);
  budget.take(0, looked_at);
  if (purge == nullptr) return true;
  // The entry's own bytes may be wiped. A long name is a block, which is shared instead of copied.
  void* const block = entry(ref).key_blob();
  const Blob shared = block != nullptr ? Blob::share(block) : Blob();
  const std::string copy(block == nullptr ? entry(ref).key() : std::string_view());
  work::bytes(copy.size());
  budget.take(0, copy.size());
  const std::uint64_t hash = hash_of(ref);
  const Index::Slot left =
      apply_purge({shared ? shared.view() : copy, hash}, index_.find(hash, [ref](Ref other) { return other == ref; }), *purge);
  return left && *left.ref == ref;
}

// Sweeps the entries of one segment from `at` on. False if the budget ended before; `at` is then where to go on.
bool Table::sweep_segment(std::uint32_t id, std::uint32_t& at, Budget& budget) {
  const std::uint64_t sequence = log_.segment(id).sequence;
  const std::uint32_t used = log_.segment(id).used;  // what is added from now on is not meant
  while (at < used) {
    const Entry e(log_.segment(id).base + at);
    const Ref ref = Log::ref(id, at);
    const std::size_t extent = e.extent();
    if (budget.spent() || (!e.dead() && !budget.allows(cost_to_sweep(ref)))) return false;
    budget.spend(1);
    if (!e.dead() && !sweep_entry(ref, budget)) budget.take(0, extent);
    at += static_cast<std::uint32_t>(extent);                // only now: for want of memory it may have to be done once more
    if (log_.segment(id).sequence != sequence) return true;  // that was its last entry
  }
  return true;
}

bool Table::purge_some(Budget& budget) {
  if (purges_ == nullptr) return false;
  if (!purges_->in_round()) purges_->begin_round();
  for (; purges_->sweep_at < log_.end(); ++purges_->sweep_at, purges_->sweep_offset = 0) {
    if (budget.spent()) return true;
    budget.spend(1);
    const std::uint32_t id = purges_->sweep_at;
    std::uint32_t& at = purges_->sweep_offset;
    if (log_.segment(id).sequence != std::exchange(purges_->sweep_sequence, log_.segment(id).sequence)) at = 0;
    const bool meant = log_.segment(id).base != nullptr && log_.segment(id).sequence <= purges_->newest();
    if (meant && !sweep_segment(id, at, budget)) return true;
  }
  const bool more = purges_->end_round();
  if (purges_->empty()) purges_.reset();
  account_purges();
  return more || purges_ != nullptr;
}

}  // namespace pinfold::store
