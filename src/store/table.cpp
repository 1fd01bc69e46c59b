#include "pinfold/store/table.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "pinfold/base/prefetch.hpp"
#include "pinfold/base/random.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/store/collection.hpp"
#include "pinfold/store/growth.hpp"

namespace pinfold::store {

using eviction::Queue;

namespace {
constexpr std::uint64_t index_share = 6;  // of an entry: a 64-byte bucket of 12 slots, 75-95 % full
}  // namespace

Table::Table(SegmentPool& pool, Memory& memory, const HashKey& hash_key, const PolicySettings& settings,
             std::atomic<std::uint64_t>& occupied, Changes& changes, unsigned db)
    : memory_(memory),
      hash_key_(hash_key),
      settings_(settings),
      changes_(changes),
      db_(db),
      index_(memory),
      policy_(settings.kind.load(std::memory_order_relaxed), random_u64(), &memory.ghost_pages()),
      log_(pool, occupied) {}

Table::~Table() {
  for (Budget budget; !dismantle(budget); budget = {}) {
  }
  memory_.add(Use::ghosts, -static_cast<std::int64_t>(ghost_bytes_));
  memory_.add(Use::coalescing, -static_cast<std::int64_t>(purges_bytes_));
}

bool Table::dismantle(Budget& budget) {
  if (!dismantling_) {
    dismantling_ = true;
    sweep_at_ = 1;
    dismantled_ = 0;
  }
  for (; sweep_at_ < log_.end(); ++sweep_at_, dismantled_ = 0) {
    Segment& segment = log_.segment(sweep_at_);
    if (segment.base == nullptr) continue;
    while (log_.blobs() > 0 && dismantled_ < segment.used) {
      if (budget.spent()) return false;
      Entry e(segment.base + dismantled_);
      dismantled_ += static_cast<std::uint32_t>(e.extent());
      budget.spend(1);
      if (e.dead()) continue;
      e.for_each_handle([](Handle handle) { handle.note_stored(-1); });
      release_handles(e, budget);
      e.mark_dead();
      segment.dead += static_cast<std::uint32_t>(e.extent());
    }
    if (budget.spent()) return false;
    budget.spend(1);
    budget.take(0, segment_size);  // giving the pages of a segment back takes about as long as copying it
    log_.free_of_dismantled(sweep_at_);
  }
  constexpr std::size_t groups = 64;
  for (; !budget.spent(); budget.take(groups, groups * 1024)) {
    if (index_.dismantle(groups)) return true;
  }
  return false;
}

// --- looking up ---

Index::Slot Table::find_slot(const Key& key) {
  work::entry(key.text.size());
  const Index::Slot slot = index_.find(key.hash, [&](Ref ref) { return entry(ref).key() == key.text; });
  if (purges_ != nullptr && slot) [[unlikely]]
    return apply_purges(key, slot);
  return slot;
}

std::optional<Entry> Table::find(const Key& key) {
  const Index::Slot slot = find_slot(key);
  if (!slot) return std::nullopt;
  return entry(*slot.ref);
}

std::optional<Entry> Table::glance(const Key& key) {
  work::entry(key.text.size());
  const Index::Slot slot = index_.find(key.hash, [&](Ref ref) { return entry(ref).key() == key.text; });
  if (!slot) return std::nullopt;
  const Entry e = entry(*slot.ref);
  std::size_t looked_at = 0;
  const Purge* const purge = purges_ != nullptr ? purge_of(*slot.ref, looked_at) : nullptr;
  const bool stays = purge == nullptr || (purge->soft && !e.absent() && !e.live(purge->at));
  return stays ? std::optional(e) : std::nullopt;
}

void Table::prefetch_entry(std::uint64_t hash) {
  constexpr std::ptrdiff_t line = 64;
  index_.find(hash, [this](Ref ref) {
    const char* at = entry(ref).data();
    // Fetches the header, the key and the start of the value. The processor fetches the rest of a longer value ahead by itself.
    prefetch(at);
    prefetch(at + line);
    prefetch(at + 2 * line);
    return true;
  });
}

std::uint64_t Table::memory_of(const Entry& e) const { return returned_by(e) + index_share; }

std::uint64_t Table::entry_bytes() const {
  std::uint64_t bytes = log_.used_bytes() - log_.dead_bytes() + size_ * index_share;
  for (const Log::Queue& queue : log_.queues()) bytes += queue.blob_bytes;
  return bytes;
}

// The bytes that the removal of the entry frees: at once those of its values outside of the log, and later those in its
// segment.
std::uint64_t Table::returned_by(const Entry& e) const {
  std::uint64_t bytes = e.extent();
  e.for_each_handle([&](Handle handle) { bytes += handle.memory(); });
  return bytes;
}

// --- figures ---

bool Table::provide_uses() {
  if (uses_ == nullptr) uses_.reset(new (std::nothrow) std::array<EntryUse, 256>{});
  return uses_ != nullptr;
}

void Table::count_use(const Entry& e, int sign) {
  const std::int64_t bytes = static_cast<std::int64_t>(returned_by(e)) * sign;
  const auto add = [&](EntryUse& use) {
    use.keys += static_cast<std::uint64_t>(std::int64_t{sign});
    use.bytes += static_cast<std::uint64_t>(bytes);
  };
  if (e.absent()) {
    add(negatives_);
    memory_.add_to_negatives(bytes);
  }
  if (!e.has_extra() || uses_ == nullptr) return;
  const std::uint8_t slot = Extra::read(e.extra()).policy;
  if (slot == 0) return;
  add((*uses_)[slot]);
  memory_.add_to_policy(slot, bytes);
}

// The value of an entry, which is no negative one, has changed by so many bytes.
void Table::count_growth(const Entry& e, std::int64_t bytes) {
  const std::uint8_t slot = Extra::read(e.extra()).policy;
  if (uses_ == nullptr || slot == 0) return;
  (*uses_)[slot].bytes += static_cast<std::uint64_t>(bytes);
  memory_.add_to_policy(slot, bytes);
}

void Table::leave_policies() {
  memory_.add_to_negatives(-static_cast<std::int64_t>(negatives_.bytes));
  negatives_ = {};
  if (uses_ == nullptr) return;
  for (std::size_t slot = 1; slot < uses_->size(); ++slot) {
    memory_.add_to_policy(static_cast<std::uint8_t>(slot), -static_cast<std::int64_t>((*uses_)[slot].bytes));
  }
  uses_.reset();
}

void Table::account_blobs(Segment& segment, const Entry& e, int sign) {
  if (e.has_extra() || e.absent()) [[unlikely]]
    count_use(e, sign);
  e.for_each_handle([&](Handle handle) {
    handle.note_stored(sign);
    log_.count_blob(segment, handle.memory(), sign);
  });
  if (const Handle value = e.handle()) [[unlikely]]
    outside_sizes_[SizeClasses::outside_class(value.memory())] += static_cast<std::uint64_t>(std::int64_t{sign});
}

// Whether a value is a Collection to which nothing refers but its entry.
bool Table::is_unshared_collection(Handle handle) {
  return value_type(handle.type()).note_stored == Collection::note_stored && Collection::of(handle).unique();
}

// The collection that an entry refers to had `before` bytes, and has `now` bytes.
void Table::account_growth(Ref ref, std::uint64_t before, std::uint64_t now) {
  if (memory_.erasing() != 0) [[unlikely]]
    wipe_stored(ref);
  if (now == before) return;
  const std::int64_t growth = static_cast<std::int64_t>(now) - static_cast<std::int64_t>(before);
  Collection::of(entry(ref).handle()).note_growth(growth);
  log_.count_growth(log_.segment_of(ref), growth);
  --outside_sizes_[SizeClasses::outside_class(before)];
  ++outside_sizes_[SizeClasses::outside_class(now)];
  if (const Entry e = entry(ref); e.has_extra()) [[unlikely]]
    count_growth(e, growth);
}

// Gives up the references of an entry. Afterwards only its extent may be read, and it may be wiped and marked dead. Without a
// budget it is for a request that names the key.
void Table::release_handles(const Entry& e) {
  e.for_each_handle([this](Handle handle) { memory_.leftovers().give_up(handle); });
}
void Table::release_handles(const Entry& e, Budget& budget) {
  e.for_each_handle([&](Handle handle) { memory_.leftovers().give_up(handle, budget); });
}

// The second of the three steps of a removal. The first step has removed the entry from the index, so no look-up finds it. This
// step takes the entry out of all counts, and gives up its references. The third step is Log::mark_dead(): the bytes of the
// entry become garbage.
void Table::release(Ref ref) {
  uncount(ref);
  release_handles(entry(ref));
}
void Table::release(Ref ref, Budget& budget) {
  uncount(ref);
  release_handles(entry(ref), budget);
}

// The part of release() before the references are given up.
inline void Table::uncount(Ref ref) {
  const Entry e = entry(ref);
  account_blobs(log_.segment_of(ref), e, -1);
  if (e.expires_at() != 0) --expires_;
  --size_;
}

// --- writing ---

// Takes over the eviction policy if it was changed at run time. Entries change their queues when they are next written or
// evicted.
void Table::follow_policy() {
  const eviction::Kind kind = settings_.kind.load(std::memory_order_relaxed);
  if (kind == policy_.kind()) return;
  policy_.set_kind(kind);
  account_ghosts();
}

void Table::account_ghosts() {
  const std::uint64_t now = policy_.memory();
  if (now == ghost_bytes_) return;
  memory_.add(Use::ghosts, static_cast<std::int64_t>(now) - static_cast<std::int64_t>(ghost_bytes_));
  ghost_bytes_ = now;
}

namespace {
// Whether an entry of `extent` bytes may not take the place of one with `room`: it does not fit, or would waste too much of it.
bool is_wasted(std::size_t room, std::size_t extent) {
  constexpr std::size_t negligible = 64;
  return extent > room || (extent * 2 < room && room > negligible);
}
}  // namespace

// Stores an entry of these parts under `key`, in the place of the old entry if it fits there, otherwise at the end of a queue.
// `slot` is the slot of the key; empty if there is no old entry.
bool Table::store_entry(const Key& key, Index::Slot slot, EntryParts&& parts, std::size_t extent) {
  follow_policy();
  const UnixMs expires_at = parts.expires_at;
  const UnixMs gone_at = parts.gone_at();
  eviction::Candidate candidate{
      .hash = key.hash, .bytes = extent, .frequency = parts.frequency, .expires_at = parts.expires_at, .negative = parts.absent};
  Queue queue{};
  if (slot) {
    Entry old = entry(*slot.ref);
    Segment& segment = log_.segment_of(*slot.ref);
    queue = policy_.requeue(static_cast<Queue>(segment.queue), candidate);
    const std::size_t room = old.extent();
    const bool plain = !old.has_handles() && !parts.key_blob && !parts.outside;
    // Not while a purge is pending: it would take the new entry for one that was written before it.
    if (plain && purges_ == nullptr && static_cast<Queue>(segment.queue) == queue && !is_wasted(room, extent)) {
      if (old.expires_at() != 0) --expires_;
      if (expires_at != 0) ++expires_;
      if (old.has_extra() || old.absent()) count_use(old, -1);
      old.write(std::move(parts), room);
      if (old.has_extra() || old.absent()) count_use(old, 1);
      Log::note_deadline(segment, gone_at);
      return true;
    }
  } else {
    queue = policy_.admit(candidate);
  }
  const Ref ref = log_.append(queue, extent);
  if (ref == 0) return false;
  Entry fresh = entry(ref);
  fresh.write(std::move(parts), extent);
  const auto hash = [this](Ref r) { return hash_of(r); };
  const auto fetch = [this](Ref r) { prefetch(entry(r).data()); };
  if (!slot && !index_.insert(key.hash, ref, hash, fetch)) {
    release_handles(fresh);
    log_.mark_dead(ref);
    return false;
  }
  ++size_;
  if (expires_at != 0) ++expires_;
  Segment& segment = log_.segment_of(ref);
  account_blobs(segment, fresh, 1);
  if (fresh.has_handles() && memory_.erasing() != 0) [[unlikely]]
    wipe_stored(ref);
  Log::note_deadline(segment, gone_at);
  if (slot) {
    const Ref old = *slot.ref;
    *slot.ref = ref;
    release(old);
    log_.mark_dead(old);
  }
  return true;
}

// Sets the key of the parts. A long key gets a block, unless the parts have one already.
bool Table::fill_key(EntryParts& parts, const Key& key) {
  parts.key = key.text;
  if (parts.key_blob || key.text.size() <= max_inline_key) [[likely]]
    return true;
  parts.key_blob = Blob::copy_of(memory_.heap(), key.text);
  return static_cast<bool>(parts.key_blob);
}

// Sets the key and value of the parts, and decides which of them lie in the entry and which in blobs. `blob` is moved from if
// it becomes the value. Returns false if there is no memory.
bool Table::fill_parts(EntryParts& parts, const Key& key, std::string_view text, Blob& blob) {
  if (!fill_key(parts, key)) return false;
  parts.value = blob ? blob.view() : text;
  if (Entry::size_of(parts) > max_inline_entry) {
    if (!blob) blob = Blob::copy_of(memory_.heap(), text);
    if (!blob) return false;
    parts.value = {};
    parts.outside = OwnedHandle(std::move(blob));
  }
  return true;
}

namespace {
// Copies a part of an old entry, because the new entry may be written in its place.
std::string_view copy_aside(std::string_view bytes, ExtraBuffer& to) {
  if (!bytes.empty()) std::memcpy(to.data(), bytes.data(), bytes.size());
  return {to.data(), bytes.size()};
}
}  // namespace

// The time of access for an entry that is written now. 0 under a policy that counts frequencies, because only the other ones
// show a time (OBJECT IDLETIME).
std::uint32_t Table::access_to_keep() const { return is_lfu(settings_.kind.load(std::memory_order_relaxed)) ? 0 : unix_seconds(); }

bool Table::put(const Key& key, std::string_view text, Blob blob, const PutOptions& options) {
  // A block that is small enough is copied into the log. Then `blob` gives up the reference to it.
  return put_filled(key, options, [&](EntryParts& parts) { return fill_parts(parts, key, text, blob); });
}

bool Table::replace_packed(const Key& key, ValueKind kind, std::string_view bytes, UnixMs now) {
  follow_policy();
  const Index::Slot slot = find_slot(key);
  if (!slot || purges_ != nullptr) return false;
  Entry old = entry(*slot.ref);
  if (!old.typed() || old.has_handles() || old.has_extra() || !old.live(now)) return false;
  if (is_wasted(old.extent(), old.extent() - old.packed_room() + bytes.size())) return false;
  if ((access_to_keep() != 0) != (old.accessed() != 0)) return false;
  eviction::Candidate candidate{.hash = key.hash, .bytes = old.extent(), .frequency = old.frequency(), .expires_at = old.expires_at()};
  const auto at = static_cast<Queue>(log_.segment_of(*slot.ref).queue);
  if (policy_.requeue(at, candidate) != at) return false;
  old.set_packed(kind, bytes);
  old.touch();
  if (old.accessed() != 0) old.set_accessed(unix_seconds());
  work::bytes(bytes.size());
  return true;
}

bool Table::put(const Key& key, TypedValue value, const PutOptions& options) {
  if (!value.outside && value.packed.size() > TypedValue::most_packed) return false;
  return put_filled(key, options, [&](EntryParts& parts) {
    parts.encoding = Encoding::typed;
    parts.kind = value.kind;
    parts.value = value.outside ? std::string_view() : value.packed;
    parts.outside = std::move(value.outside);
    return fill_key(parts, key);
  });
}

namespace {
constexpr std::size_t growth_share = 8;
}  // namespace

// Stores an entry whose key and value `fill` puts into the parts. Returns false if `fill` does, or if there is no memory.
template <class Fill>
inline bool Table::put_filled(const Key& key, const PutOptions& options, Fill&& fill) {
  policy_.prefetch_admit(key.hash);
  const Index::Slot slot = find_slot(key);
  EntryParts parts;
  parts.hash = key.hash;
  parts.expires_at = options.expires_at;
  parts.encoding = options.encoding;
  parts.accessed = access_to_keep();
  parts.absent = options.absent;
  ExtraBuffer extra;
  if (options.extra != nullptr && options.extra->size() > 0) {
    if (options.extra->policy != 0 && !provide_uses()) return false;
    options.extra->write(extra.data());
    parts.extra = {extra.data(), options.extra->size()};
  }
  if (slot) {
    const Entry old = entry(*slot.ref);
    if (options.keep_expiry) {
      parts.expires_at = old.expires_at();
      if (options.extra == nullptr) parts.extra = copy_aside(old.extra_bytes(), extra);
    }
    parts.frequency = std::min<std::uint8_t>(static_cast<std::uint8_t>(old.frequency() + 1), 3);
    parts.key_blob = Blob::share(old.key_blob());
    if (old.has_extra()) [[unlikely]]
      changes_.tell_replaced(db_, key.hash, old, parts.extra.empty() ? std::string_view() : Extra::read(parts.extra.data()).tags);
  }
  if (!fill(parts)) return false;
  std::size_t extent = Entry::size_of(parts);
  // A packed collection that has grown is likely to grow again: with some room, it is not written anew each time.
  if (slot && parts.encoding == Encoding::typed && !parts.outside && entry(*slot.ref).extent() < extent)
    extent = std::min(max_inline_entry, extent + (extent / growth_share & ~(word - 1)));
  return store_entry(key, slot, std::move(parts), extent);
}

bool Table::idle() {
  // The last entry to die begins its segment anew, which the sequence counts.
  const std::optional<std::uint64_t> now = size_ == 0 ? std::optional(log_.position().sequence) : std::nullopt;
  return std::exchange(empty_at_, now) == now && now;
}

bool Table::remove(const Key& key, Cause cause, UnixMs now) {
  const Index::Slot slot = find_slot(key);
  if (!slot) return false;
  const Ref ref = *slot.ref;
  index_.erase(slot);
  changes_.tell_removed(cause, db_, key.hash, entry(ref), now);
  release(ref);
  log_.mark_dead(ref);
  return true;
}

bool Table::set_expiry(const Key& key, UnixMs at, std::uint32_t stale_ms) {
  const Index::Slot slot = find_slot(key);
  if (!slot) return false;
  Entry old = entry(*slot.ref);
  if (stale_ms != 0) {
    Extra extra = old.has_extra() ? Extra::read(old.extra()) : Extra{};
    if (extra.stale_ms == 0) {
      extra.stale_ms = stale_ms;
      ExtraBuffer bytes;
      extra.write(bytes.data());
      return rewrite(key, slot, at, {bytes.data(), extra.size()});
    }
  }
  if (old.set_deadline_in_place(at)) {
    Log::note_deadline(log_.segment_of(*slot.ref), old.gone_at());
    return true;
  }
  return rewrite(key, slot, at, old.extra_bytes());
}

// Writes an entry anew, because its deadline or its Extra takes more or fewer bytes than before.
bool Table::rewrite(const Key& key, Index::Slot slot, UnixMs expires_at, std::string_view extra) {
  const Entry old = entry(*slot.ref);
  // Value and extra are copied aside first, because the entry may be rewritten where it lies.
  char aside[max_inline_entry];
  ExtraBuffer extra_aside;
  EntryParts parts;
  parts.key = key.text;
  parts.hash = key.hash;
  parts.key_blob = Blob::share(old.key_blob());
  if (const Handle handle = old.handle()) {
    parts.outside = handle.share();
    if (!parts.outside) return false;
  }
  parts.expires_at = expires_at;
  parts.accessed = old.accessed();
  parts.extra = copy_aside(extra, extra_aside);
  parts.absent = old.absent();
  parts.encoding = old.encoding();
  parts.kind = old.kind();
  parts.frequency = old.frequency();
  if (!parts.outside) {
    const std::string_view bytes = old.inline_bytes();
    std::memcpy(aside, bytes.data(), bytes.size());
    work::bytes(bytes.size());
    parts.value = {aside, bytes.size()};
  }
  const std::size_t extent = Entry::size_of(parts);
  return store_entry(key, slot, std::move(parts), extent);
}

bool Table::make_stale(const Key& key, UnixMs at, std::uint32_t stale_ms) {
  const Index::Slot slot = find_slot(key);
  return slot && stale_entry(key, slot, at, stale_ms);
}

bool Table::stale_entry(const Key& key, Index::Slot slot, UnixMs at, std::uint32_t stale_ms) {
  const Entry old = entry(*slot.ref);
  if (!old.live(at)) return false;
  // The entry gets a deadline that passed an hour ago. So it is fresh to no thread, however old the thread's reading of the
  // clock is.
  constexpr UnixMs long_ago = 3'600'000;
  Extra extra = old.has_extra() ? Extra::read(old.extra()) : Extra{};
  const UnixMs gone = old.gone_at();
  const UnixMs since = std::max<UnixMs>(at - long_ago, 1);
  const UnixMs window = (gone == 0 ? UnixMs{stale_ms} : gone - at) + (at - since);
  extra.stale_ms = static_cast<std::uint32_t>(std::min<UnixMs>(window, UINT32_MAX));
  ExtraBuffer bytes;
  extra.write(bytes.data());
  return rewrite(key, slot, since, {bytes.data(), extra.size()});
}

// Resizes a value that lies in a block, or that becomes too large for the log.
char* Table::resize_blob(const Key& key, Index::Slot slot, std::size_t size, std::size_t capacity) {
  Entry old = entry(*slot.ref);
  const std::size_t before = old.value_text().size();
  const std::size_t roomy = before == 0 ? size : capacity;
  void* const raw = old.handle().raw();
  if (raw != nullptr && Blob::borrow(raw, [](const Blob& blob) { return blob.unique(); })) {
    char* bytes = nullptr;
    change_handle(*slot.ref, [&](OwnedHandle& handle) {
      Blob mine = handle.take_block();
      if (size > mine.capacity()) mine.reserve(roomy);
      if (mine.resize(size)) bytes = mine.data();
      handle = OwnedHandle(std::move(mine));
    });
    if (bytes != nullptr) {
      old.set_encoding(Encoding::raw);
      old.touch();
    }
    return bytes;
  }
  Blob grown = Blob::allocate(memory_.heap(), 0, roomy);
  if (!grown) return nullptr;
  const std::size_t kept = std::min(before, size);
  std::memcpy(grown.data(), old.value_text().data(), kept);
  work::bytes(kept);
  grown.set_size(kept);
  if (!grown.resize(size)) return nullptr;
  if (!put(key, {}, std::move(grown), {.keep_expiry = true, .encoding = Encoding::raw})) return nullptr;
  return value_bytes(key);
}

Table::Resizing Table::plan_resizing(const Key& key, std::size_t size, std::size_t capacity) {
  const auto old = find(key);
  const std::size_t before = old->value_text().size();
  const bool inside = old->extent() - before + size <= max_inline_entry;
  if (!old->handle()) {
    if (size <= before) return {};
    return {.cost = capacity, .copied = before, .moves = !inside};
  }
  return Blob::borrow(old->handle().raw(), [&](const Blob& blob) -> Resizing {
    const Resizing moving{.cost = capacity, .copied = std::min(before, size), .moves = true};
    if (!blob.unique()) return moving;
    if (size <= blob.capacity()) return {};
    // A block with a mapping of its own grows without a copy. A smaller block may have to move.
    if (blob.memory() < BlockHeap::own_mapping) return moving;
    return {.cost = capacity - blob.capacity()};
  });
}

Blob Table::share_block(const Key& key) { return Blob::share(find(key)->handle().raw()); }

bool Table::is_from(const Key& key, const Growth& growth) {
  void* const raw = find(key)->handle().raw();
  if (raw == nullptr || !growth.source) return raw == nullptr && !growth.source;
  return Blob::borrow(raw, [&](const Blob& blob) { return blob.view().data() == growth.source.view().data(); });
}

char* Table::create_from(const Key& key, Blob block, std::size_t size, const PutOptions& options) {
  if (block.size() >= size) {
    block.set_size(size);
  } else if (!block.resize(size)) {
    return nullptr;
  }
  return put(key, {}, std::move(block), options) ? value_bytes(key) : nullptr;
}

char* Table::grow_into(const Key& key, Blob block, std::size_t size) {
  const Entry old = *find(key);
  if (!old.handle()) {
    const std::string_view text = old.value_text();
    std::memcpy(block.data(), text.data(), text.size());
    work::bytes(text.size());
  }
  return create_from(key, std::move(block), size, {.keep_expiry = true, .encoding = Encoding::raw});
}

char* Table::value_bytes(const Key& key) {
  Entry e = *find(key);
  return e.handle() ? const_cast<char*>(e.value_text().data()) : e.value_data();
}

char* Table::create(const Key& key, std::size_t size, const PutOptions& options) {
  if (size <= max_inline_entry) {
    char zeros[max_inline_entry];
    std::memset(zeros, 0, size);
    return put(key, {zeros, size}, {}, options) ? value_bytes(key) : nullptr;
  }
  Blob blob = Blob::zeroed(memory_.heap(), size);
  if (!blob) return nullptr;
  return put(key, {}, std::move(blob), options) ? value_bytes(key) : nullptr;
}

char* Table::resize(const Key& key, std::size_t size, std::size_t capacity) {
  const Index::Slot slot = find_slot(key);
  Entry old = entry(*slot.ref);
  const std::size_t before = old.value_text().size();
  EntryParts parts;
  parts.key = old.key_blob() != nullptr ? std::string_view{} : key.text;
  parts.hash = key.hash;
  parts.key_blob = Blob::share(old.key_blob());
  parts.expires_at = old.expires_at();
  parts.accessed = old.accessed();
  ExtraBuffer extra;
  parts.extra = copy_aside(old.extra_bytes(), extra);
  parts.encoding = Encoding::raw;
  parts.frequency = old.frequency();
  // Entry::size_of() reads only the size of the value, so the view may be longer than the bytes. They are copied below.
  parts.value = {old.value_text().data(), size};
  const std::size_t needed = Entry::size_of(parts);
  if (old.handle() || needed > max_inline_entry) return resize_blob(key, slot, size, capacity);
  old.touch();
  if (needed <= old.extent()) {
    old.set_value_size(size);
    old.set_encoding(Encoding::raw);
  } else {
    char bytes[max_inline_entry];
    const std::size_t kept = std::min(before, size);
    std::memcpy(bytes, old.value_text().data(), kept);
    std::memset(bytes + kept, 0, size - kept);
    parts.value = {bytes, size};
    const std::size_t roomy = std::min((needed + needed / 4) & ~(word - 1), max_inline_entry);
    if (!store_entry(key, slot, std::move(parts), roomy)) return nullptr;
    return value_bytes(key);
  }
  if (size > before) {
    std::memset(old.value_data() + before, 0, size - before);
    work::bytes(size - before);
  }
  return old.value_data();
}

}  // namespace pinfold::store
