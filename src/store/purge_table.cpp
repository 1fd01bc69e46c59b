// What a table does about purges: it applies them to entries that a look-up or the sweep meets.

#include <cstring>
#include <string>
#include <utility>

#include "pinfold/base/work.hpp"
#include "pinfold/store/table.hpp"

namespace pinfold::store {

// The pending purge that hits the entry; null if there is none.
Purge* Table::purge_of(Ref ref, std::size_t& looked_at) const {
  const Entry e = entry(ref);
  const std::size_t before = looked_at;
  Purge* const found = purges_->match(
      e.key(), e.extra(), [&](const LogPosition& position) { return log_.written_before(ref, position); }, looked_at);
  work::bytes(looked_at - before);
  return found;
}

// The most bytes that sweep_entry() may compare for this entry.
std::size_t Table::cost_to_sweep(Ref ref) const { return purges_->most_looked_at(entry(ref).key(), entry(ref).extra()); }

void Table::note_purged(const Entry& e, Purge& purge) const {
  purge.entries.fetch_add(1, std::memory_order_relaxed);
  purge.bytes.fetch_add(returned_by(e), std::memory_order_relaxed);
}

// A look-up has found this entry. If a pending purge hits it, applies the purge. Returns where the entry is then; no slot if it
// was removed.
Index::Slot Table::apply_purges(const Key& key, Index::Slot slot) {
  std::size_t looked_at = 0;
  Purge* const purge = purge_of(*slot.ref, looked_at);
  if (purge == nullptr) return slot;
  Budget budget;
  return apply_purge(key, slot, *purge, budget);
}

// Applies a purge that hits the entry: removes the entry or makes it stale. Returns where the entry is then; no slot if it was
// removed.
Index::Slot Table::apply_purge(const Key& key, Index::Slot slot, Purge& purge, Budget& budget) {
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
  purge_entry(ref, key.hash, purge, budget);
  return {};
}

// Removes an entry, and overwrites its bytes before they are marked dead.
void Table::purge_entry(Ref ref, std::uint64_t hash, Purge& purge, Budget& budget) {
  Entry e = entry(ref);
  note_purged(e, purge);
  index_.erase(index_.find(hash, [ref](Ref other) { return other == ref; }));
  changes_.tell_removed(Cause::purged, db_, hash, e, purge.at, &purge);
  e.for_each_handle([](Handle handle) { handle.wipe_when_freed(); });  // a reply may still refer to the block
  release(ref, budget);
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
  memory_.add(Use::coalescing, static_cast<std::int64_t>(now) - static_cast<std::int64_t>(purges_bytes_));
  purges_bytes_ = now;
}

// Applies pending purges to an entry. Returns true if the entry still lies where it lay, because no purge hits it or it was
// stale already.
bool Table::sweep_entry(Ref ref, Budget& budget) {
  std::size_t looked_at = 0;
  Purge* const purge = purge_of(ref, looked_at);
  budget.take(0, looked_at);
  if (purge == nullptr) return true;
  // The key is kept aside, because the entry may be wiped. A long key lies in a block, which is shared instead of copied.
  void* const block = entry(ref).key_blob();
  const Blob shared = block != nullptr ? Blob::share(block) : Blob();
  const std::string copy(block == nullptr ? entry(ref).key() : std::string_view());
  work::bytes(copy.size());
  budget.take(0, copy.size());
  const std::uint64_t hash = hash_of(ref);
  const Index::Slot left =
      apply_purge({shared ? shared.view() : copy, hash}, index_.find(hash, [ref](Ref other) { return other == ref; }), *purge, budget);
  return left && *left.ref == ref;
}

// Sweeps the entries of one segment from the offset `at` on. Returns false if the budget is spent before the end; `at` is then
// where to go on.
bool Table::sweep_segment(std::uint32_t id, std::uint32_t& at, Budget& budget) {
  const std::uint64_t sequence = log_.segment(id).sequence;
  const std::uint32_t used = log_.segment(id).used;  // no purge hits entries that are appended from now on
  while (at < used) {
    const Entry e(log_.segment(id).base + at);
    const Ref ref = Log::ref(id, at);
    const std::size_t extent = e.extent();
    if (budget.spent() || (!e.dead() && !budget.allows(cost_to_sweep(ref)))) return false;
    budget.spend(1);
    if (!e.dead() && !sweep_entry(ref, budget)) budget.take(0, extent);
    at += static_cast<std::uint32_t>(extent);                // not before: if sweep_entry() throws, the entry is swept again
    if (log_.segment(id).sequence != sequence) return true;  // the segment was freed or begun anew with its last entry in use
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
