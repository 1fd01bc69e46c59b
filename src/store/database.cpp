#include "pinfold/store/database.hpp"

#include <algorithm>
#include <utility>

#include "pinfold/store/growth.hpp"
#include "pinfold/store/key_switches.hpp"
#include "pinfold/store/shard.hpp"
#include "pinfold/store/tag_names.hpp"
#include "pinfold/store/write_rules.hpp"
#include "pinfold/store/wrong_type.hpp"

namespace pinfold::store {

namespace {
// What an entry occupies, for a SampledAccess.
std::uint32_t sampled_bytes(const Table& table, const Entry& entry) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(table.memory_of(entry), UINT32_MAX));
}
}  // namespace

// The entry, live, stale or negative. An expired entry is not returned; it is removed, unless expired entries are kept (CLIENT
// PAUSE).
std::optional<Entry> Database::lookup(const Key& key) {
  Shard& shard = keyspace_->shard(key);
  Table* table = shard.tables[number_].get();
  std::optional<Entry> entry;
  if (table != nullptr) entry = table->find(key);
  if (entry && !entry->live(now_) && entry->expired(now_)) [[unlikely]] {
    if (keyspace_->serves_stale(entry->has_extra() ? Extra::read(entry->extra()).policy : 0)) return entry;
    if (keyspace_->keeps_expired()) return std::nullopt;
    ++shard.expired;
    table->remove(key, Cause::expired, now_);
    entry.reset();
  }
  return entry;
}

// Whether look-ups do not find the key because it is bypassed. `count`: such a look-up counts as a miss.
[[gnu::cold]] bool Database::bypassed(const Key& key, bool count) const {
  const KeySwitches& switches = *keyspace_->key_switches();
  if (!switches.bypasses(key)) return false;
  if (count) {
    Shard& shard = keyspace_->shard(key);
    shard.changes.tell(Cause::missed, number_, key, now_);
    ++shard.misses;
    ++shard.bypassed;
    if (reads_ != nullptr) ++reads_->misses;
    switches.count(key, KeySwitches::Event::read_bypassed);
  }
  return true;
}

// An entry that is stale or negative may be replaced: its key is stored.
[[gnu::cold]] Database::Fate Database::fate_of_write(const Key& key) {
  const KeySwitches& switches = *keyspace_->key_switches();
  if (switches.bypasses(key)) return Fate::bypassed;
  return switches.admits(key) || lookup(key) ? Fate::kept : Fate::not_admitted;
}

[[gnu::cold]] void Database::note_dropped(const Key& key, Fate fate) const {
  using Event = KeySwitches::Event;
  keyspace_->key_switches()->count(key, fate == Fate::bypassed ? Event::write_bypassed : Event::write_not_admitted);
}

// Does what a write does that stores nothing. `value` is what was to be stored; null if observers do not need it.
[[gnu::cold]] void Database::drop(const Key& key, Fate fate, const Value* value) {
  note_dropped(key, fate);
  if (fate == Fate::bypassed) {
    remove_as(key, Cause::written, Cause::written);
  } else {
    keyspace_->shard(key).changes.tell_unstored(number_, key, now_, value);
  }
}

namespace {
// The result of a look-up that has met a value which is no plain string.
[[gnu::cold]] std::optional<Value> typed_value(const Entry& entry, Access access) {
  if (!access.any_type) throw WrongType();
  return entry.value();
}
}  // namespace

// Whether the accesses to the key are noted (AccessSamples).
inline bool Database::sampled(const Key& key) const { return keyspace_->samples_.takes(key.hash); }

// Whether there is an entry that plain commands find. For a sampled key, before it is changed.
[[gnu::cold]] bool Database::is_live(const Key& key) const {
  Table* const table = keyspace_->shard(key).tables[number_].get();
  const std::optional<Entry> entry = table != nullptr ? table->glance(key) : std::nullopt;
  return entry && entry->live(now_);
}

// Notes a read of a sampled key. `entry` is the live entry that was found, or null.
[[gnu::cold]] void Database::note_read(const Key& key, const Entry* entry, bool touch) const {
  eviction::SampledAccess access{.position = eviction::sample_position(key.hash),
                                 .now = now_,
                                 .kind = touch ? Sampled::read : Sampled::look,
                                 .database = static_cast<std::uint8_t>(number_),
                                 .found = entry != nullptr};
  if (entry != nullptr) {
    access.bytes = sampled_bytes(*keyspace_->shard(key).tables[number_], *entry);
    access.expires_at = entry->expires_at();
  }
  keyspace_->samples_.note(access);
}

// Notes a change of a sampled key, after it. `found`: whether there was a live entry before. A write that leaves no live entry is noted
// as a removal.
[[gnu::cold]] void Database::note(Sampled kind, const Key& key, bool found) const {
  eviction::SampledAccess access{.position = eviction::sample_position(key.hash),
                                 .now = now_,
                                 .kind = kind,
                                 .database = static_cast<std::uint8_t>(number_),
                                 .found = found};
  if (kind != Sampled::remove) {
    Table* const table = keyspace_->shard(key).tables[number_].get();
    const std::optional<Entry> entry = table != nullptr ? table->glance(key) : std::nullopt;
    if (entry && entry->live(now_)) {
      access.bytes = sampled_bytes(*table, *entry);
      access.expires_at = entry->expires_at();
    } else {
      access.kind = Sampled::remove;
    }
  }
  keyspace_->samples_.note(access);
}

// `entry` is the live entry that a read has found, or null.
inline void Database::count_read(Shard& shard, const Key& key, const Entry* entry, Access access) const {
  ++(entry != nullptr ? shard.hits : shard.misses);
  if (entry == nullptr) shard.changes.tell(Cause::missed, number_, key, now_);
  if (reads_ != nullptr) ++(entry != nullptr ? reads_->hits : reads_->misses);
  if (sampled(key)) [[unlikely]]
    note_read(key, entry, access.touch);
}

std::optional<Value> Database::find_any(const Key& key, Access access) {
  if (keyspace_->key_switches() != nullptr && bypassed(key, access.count)) [[unlikely]]
    return std::nullopt;
  Shard& shard = keyspace_->shard(key);
  const std::optional<Entry> found = lookup(key);
  if (access.count) count_read(shard, key, found && found->live(now_) ? &*found : nullptr, access);
  if (!found) return std::nullopt;
  Entry entry = *found;
  if (access.touch && touch_) {
    entry.touch();
    if (entry.accessed() != 0) entry.set_accessed(static_cast<std::uint32_t>(now_ / 1000));
  }
  if (entry.typed()) [[unlikely]]
    return typed_value(entry, access);
  return entry.string_value();
}

std::optional<Value> Database::find(const Key& key, Access access) {
  if (keyspace_->key_switches() != nullptr && bypassed(key, access.count)) [[unlikely]]
    return std::nullopt;
  Shard& shard = keyspace_->shard(key);
  std::optional<Entry> entry = lookup(key);
  if (!entry || !entry->live(now_)) {
    if (!access.count) return std::nullopt;
    if (entry && entry->absent()) {
      ++shard.negative_hits;
      if (reads_ != nullptr) ++reads_->negative_hits;
    }
    count_read(shard, key, nullptr, access);
    return std::nullopt;
  }
  if (access.count) count_read(shard, key, &*entry, access);
  if (access.touch && touch_) {
    entry->touch();
    if (entry->accessed() != 0) entry->set_accessed(static_cast<std::uint32_t>(now_ / 1000));
  }
  if (entry->typed()) [[unlikely]]
    return typed_value(*entry, access);
  return entry->string_value();
}

bool Database::obey_rules(const Key& key, std::size_t bytes, UnixMs& expires_at, Extra& extra) const {
  return limits_.rules->on_write(key, bytes, now_, expires_at, extra);
}

bool Database::accepts(const Key& key, std::size_t bytes) const {
  UnixMs expires_at = 0;
  Extra extra;
  return limits_.rules == nullptr || obey_rules(key, bytes, expires_at, extra);
}

Stored Database::accepts_collection(const Key& key, std::size_t bytes) const {
  const std::uint64_t most = keyspace_->most_of_collection();
  if (most != 0 && bytes > most) return Stored::collection_too_large;
  return accepts(key, bytes) ? Stored::done : Stored::too_large;
}

namespace {
void count_ttl(Shard& shard, UnixMs expires_at, UnixMs now) {
  shard.written_ttls.add(expires_at > now ? static_cast<std::uint64_t>(expires_at - now) / 1000 : 0);
}
}  // namespace

// The deadline of the live entry under the key, 0 if it has none; nothing if there is no live entry.
std::optional<UnixMs> Database::kept_deadline(const Key& key) {
  if (keyspace_->key_switches() != nullptr && bypassed(key, false)) [[unlikely]]
    return std::nullopt;
  const std::optional<Entry> entry = lookup(key);
  if (!entry || !entry->live(now_)) return std::nullopt;
  return entry->expires_at();
}

Stored Database::put_parts(const Key& key, std::string_view text, Blob blob, const PutOptions& options, TypedValue* typed) {
  Shard& shard = keyspace_->shard(key);
  PutOptions how = options;
  // A deadline that has passed is not kept.
  const auto old = options.keep_expiry ? kept_deadline(key) : std::nullopt;
  how.keep_expiry = old.has_value();
  Extra extra;
  if (limits_.rules != nullptr) [[unlikely]] {
    if (options.extra != nullptr) extra = *options.extra;
    // If the old deadline is kept, what the rules make of it is ignored, because they have judged it before. The rest of what
    // they say holds.
    UnixMs kept = old.value_or(0);
    UnixMs& deadline = how.keep_expiry ? kept : how.expires_at;
    const std::size_t bytes = typed != nullptr ? typed->bytes() : (blob ? blob.size() : text.size());
    if (!obey_rules(key, bytes, deadline, extra)) return Stored::too_large;
    if (!how.keep_expiry || options.extra != nullptr) how.extra = &extra;
  }
  if (keyspace_->key_switches() != nullptr) [[unlikely]] {
    if (const Fate fate = fate_of_write(key); fate != Fate::kept) {
      OwnedHandle block(std::move(blob));
      block.free_in(keyspace_->memory().leftovers());
      const Value value{.text = block ? Blob::borrow(block.get().raw(), [](const Blob& b) { return b.view(); }) : text,
                        .expires_at = how.expires_at,
                        .absent = how.absent,
                        .outside = block.get().raw()};
      drop(key, fate, typed == nullptr ? &value : nullptr);
      // If clients wait for the key, they are answered with the value, which is a source that has gone at once.
      if (how.extra != nullptr && has_dependencies(how.extra->tags)) shard.changes.tell(Cause::source_gone, number_, key, now_);
      return Stored::done;
    }
  }
  Table* const table = shard.table(number_);
  if (table == nullptr) return Stored::no_memory;
  const bool noted = sampled(key);
  const bool observed = noted || shard.changes.wants_any({Cause::created, Cause::written});
  const bool found = observed && (noted || shard.changes.wants(Cause::created)) && is_live(key);
  const bool ruled = limits_.rules != nullptr || keyspace_->key_switches() != nullptr;  // otherwise put() has tried it
  const bool in_place = ruled && typed != nullptr && !typed->outside && how.keep_expiry && how.extra == nullptr &&
                        typed->packed.size() <= TypedValue::most_packed && table->replace_packed(key, typed->kind, typed->packed, now_);
  const bool stored =
      in_place || (typed == nullptr ? table->put(key, text, std::move(blob), how) : table->put(key, std::move(*typed), how));
  if (!stored) return Stored::no_memory;
  if (how.expires_at != 0 && !how.keep_expiry) count_ttl(shard, how.expires_at, now_);
  if (observed) [[unlikely]] {
    if (noted) note(Sampled::write, key, found);
    if (!found && !how.absent) shard.changes.tell(Cause::created, number_, key, now_);
    shard.changes.tell(Cause::written, number_, key, now_, how.expires_at != 0 && !how.keep_expiry, how.absent);
  }
  return Stored::done;
}

Stored Database::put(const Key& key, std::string_view text, const PutOptions& options) { return put_parts(key, text, {}, options); }

Stored Database::put(const Key& key, Blob blob, const PutOptions& options) { return put_parts(key, {}, std::move(blob), options); }

Stored Database::put(const Key& key, TypedValue value, const PutOptions& options) {
  value.outside.free_in(keyspace_->memory().leftovers());  // if it is refused
  const std::uint64_t most = keyspace_->most_of_collection();
  if (most != 0 && value.outside && value.outside.get().memory() > most) return Stored::collection_too_large;
  // Most writes of small collections look at nothing but the entry that is there.
  const bool plain = limits_.rules == nullptr && keyspace_->key_switches() == nullptr;
  if (plain && !value.outside && options.keep_expiry && options.extra == nullptr && value.packed.size() <= TypedValue::most_packed) {
    Shard& shard = keyspace_->shard(key);
    Table* const table = shard.tables[number_].get();
    if (table != nullptr && table->replace_packed(key, value.kind, value.packed, now_)) {
      if (sampled(key)) [[unlikely]]
        note(Sampled::write, key, true);
      shard.changes.tell(Cause::written, number_, key, now_);
      return Stored::done;
    }
  }
  return put_parts(key, {}, {}, options, &value);
}

bool Database::change(const Key& key, Type type, const std::function<bool(OwnedHandle&)>& change) {
  if (keyspace_->key_switches() != nullptr && bypassed(key, false)) [[unlikely]]
    return false;
  Shard& shard = keyspace_->shard(key);
  Table* const table = shard.tables[number_].get();
  const Ref ref = table != nullptr ? table->find_ref(key) : 0;
  if (ref == 0) return false;
  if (!table->entry(ref).live(now_)) [[unlikely]] {
    lookup(key);  // removes an expired entry
    return false;
  }
  bool altered = false;
  if (!table->change(ref, type, [&](OwnedHandle& handle) { altered = change(handle); })) return false;
  if (!altered) return true;
  if (sampled(key)) [[unlikely]]
    note(Sampled::write, key, true);
  shard.changes.tell(Cause::written, number_, key, now_);
  return true;
}

Stored Database::put(const Key& key, const Value& value, const PutOptions& options) {
  // The value of a copy is not part of the request, so dispatch has made no room for it.
  const bool kept = keyspace_->key_switches() == nullptr || fate_of_write(key) == Fate::kept;
  if (const Stored room = has_room(key.text.size() + (value.handle() ? 0 : value.text.size())); kept && !room) return room;
  PutOptions how = options;
  const Extra extra = value.extra != nullptr ? Extra::read(value.extra) : Extra{};
  ExtraBuffer aside;  // the Extra is copied, because the place where it lies may be overwritten
  Extra copy;
  if (value.extra != nullptr) {
    extra.write(aside.data());
    copy = Extra::read(aside.data());
    copy.policy = 0;  // this is the policy of the other key
    how.extra = &copy;
  }
  if (!value.is_string()) {
    TypedValue same{value.kind, value.text, {}};
    if (const Handle handle = value.handle()) {
      same.outside = handle.share();
      if (!same.outside) return Stored::no_memory;
    }
    return put(key, std::move(same), how);
  }
  if (value.is_block()) return put(key, value.share(), how);
  return put(key, value.text, how);
}

Stored Database::has_room(std::uint64_t bytes) {
  if (!limits_.bounded) return Stored::done;
  // A caller that can still make room has much room promised to it first. Otherwise other threads would count on the same
  // bytes.
  const Memory& memory = keyspace_->memory();
  const bool promised = limits_.beyond != 0 || bytes < Room::least || memory.limit() == 0 || Room::promised_here(memory) >= bytes;
  if (promised && keyspace_->has_room(bytes, limits_.beyond)) return Stored::done;
  return Stored::needs_room(bytes);
}

namespace {
// Whether the bytes of a string lie in the entry in the form that a resize leaves, and are so many already.
bool resizes_nothing(const Entry& entry, std::size_t size) {
  return !entry.has_value_outside() && entry.encoding() == Encoding::raw && entry.inline_bytes().size() == size;
}
}  // namespace

Writing Database::resize(const Key& key, std::size_t size, bool changes, Growth* growth) {
  const Fate fate = keyspace_->key_switches() == nullptr ? Fate::kept : fate_of_write(key);
  // A stale or negative entry does not grow: a new value replaces it.
  std::optional<Entry> old;
  if (keyspace_->key_switches() == nullptr || !bypassed(key, false)) old = lookup(key);
  const bool found = old && old->live(now_);
  if (found && old->typed()) throw WrongType();
  const bool prepared = growth != nullptr && growth->block;
  const bool stays = found && !prepared && resizes_nothing(*old, size) && accepts(key, size);
  if (stays) old->touch();
  const Resized resized = stays ? Resized(old->value_data()) : (found ? grow(key, size, growth) : create(key, size, growth));
  if (!resized) return Writing(resized.stored());
  Shard& shard = keyspace_->shard(key);
  if (!found && fate == Fate::kept) shard.changes.tell(Cause::created, number_, key, now_);
  Writing writing(shard.changes, number_, key, now_, resized.data(), changes ? std::optional(Cause::written) : std::nullopt);
  if (fate != Fate::kept) [[unlikely]] {
    // The caller needs bytes to write to, so the entry is there until it is done.
    note_dropped(key, fate);
    writing.drop_from(*shard.tables[number_], fate == Fate::bypassed ? Cause::deleted : Cause::written);
  }
  if (changes && sampled(key)) [[unlikely]]
    note(fate == Fate::kept ? Sampled::write : Sampled::remove, key, found);
  return writing;
}

namespace {

// Whether making a block of `capacity` takes too long for a lock. Its first `size` bytes are copied, or filled with zeros.
bool takes_long(std::size_t size, std::size_t capacity) {
  return size > Growth::most_locked || Blob::memory_for(capacity) >= BlockHeap::own_mapping;
}

// Frees the prepared block, which is of no use because the value has changed.
void drop_prepared(Growth& growth) {
  growth.block = Blob();
  growth.source = Blob();
}

}  // namespace

Resized Database::create(const Key& key, std::size_t size, Growth* growth) {
  PutOptions how{.encoding = Encoding::raw};
  Extra extra;
  if (limits_.rules != nullptr) [[unlikely]] {
    if (!obey_rules(key, size, how.expires_at, extra)) return Stored::too_large;
    how.extra = &extra;
  }
  Table* const table = keyspace_->shard(key).table(number_);
  if (table == nullptr) return Stored::no_memory;
  if (growth != nullptr && growth->block) {
    if (!growth->source && growth->block.capacity() >= size) {
      return Resized(table->create_from(key, std::move(growth->block), size, how));
    }
    drop_prepared(*growth);
  }
  if (growth != nullptr && growth->may_wait && takes_long(size, size)) {
    growth->want(size, size, {});
    return Stored::must_prepare;
  }
  if (const Stored room = has_room(size); !room) return room;
  return Resized(table->create(key, size, how));
}

Resized Database::grow(const Key& key, std::size_t size, Growth* growth) {
  if (!accepts(key, size)) return Stored::too_large;
  Table* const table = keyspace_->shard(key).tables[number_].get();
  if (growth != nullptr && growth->block) {
    if (table->is_from(key, *growth)) return Resized(table->grow_into(key, std::move(growth->block), size));
    drop_prepared(*growth);
  }
  // The block gets a quarter more than it needs, so that appending in small pieces copies each byte a bounded number of times.
  // Of that quarter, more than a modest amount is taken only if it is free anyway.
  constexpr std::size_t modest = BlockHeap::own_mapping / 4;
  std::size_t capacity = size + std::min(size / 4, modest);
  const Table::Resizing plan = table->plan_resizing(key, size, capacity);
  Room extra;
  if (plan.cost == 0) {
    capacity = size;
  } else {
    const std::uint64_t much = plan.cost + size / 4;
    if (much < Room::least ? keyspace_->has_room(much) : extra.take(keyspace_->memory(), much)) capacity = size + size / 4;
    if (growth != nullptr && plan.moves && takes_long(size, capacity)) {
      if (growth->may_wait) {
        growth->want(size, capacity, table->share_block(key));
        return Stored::must_prepare;
      }
      if (plan.copied > Growth::most_without_waiting) return Stored::takes_too_long;
    }
    if (const Stored room = has_room(plan.cost); !room) return room;
  }
  return Resized(table->resize(key, size, capacity));
}

bool Database::remove_as(const Key& key, Cause if_not_live, Cause if_missing) {
  Shard& shard = keyspace_->shard(key);
  // lookup() removes an expired entry and counts it as expired.
  const std::optional<Entry> entry = lookup(key);
  if (sampled(key)) [[unlikely]]
    note(Sampled::remove, key, entry && entry->live(now_));
  if (!entry) {
    shard.changes.tell(if_missing, number_, key, now_);
    return false;
  }
  const bool live = entry->live(now_);
  shard.tables[number_]->remove(key, live ? Cause::deleted : if_not_live, now_);
  return live;
}

bool Database::remove(const Key& key) {
  const bool live = remove_as(key, Cause::deleted, Cause::invalidated);
  return live && (keyspace_->key_switches() == nullptr || !bypassed(key, false));
}

bool Database::remove_emptied(const Key& key) {
  keyspace_->shard(key).changes.tell(Cause::written, number_, key, now_);
  return remove(key);
}

bool Database::write_expired(const Key& key) {
  const bool live = remove_as(key, Cause::written, Cause::written);
  keyspace_->shard(key).changes.tell(Cause::lapsed, number_, key, now_);
  return live;
}

void Database::void_lease(const Key& key) { keyspace_->shard(key).changes.tell(Cause::invalidated, number_, key, now_); }

bool Database::make_stale(const Key& key, std::uint32_t stale_ms) {
  if (keyspace_->key_switches() != nullptr && bypassed(key, false)) [[unlikely]]
    return remove(key);
  Shard& shard = keyspace_->shard(key);
  const std::optional<Entry> entry = lookup(key);
  if (!entry || !entry->live(now_)) {
    shard.changes.tell(Cause::invalidated, number_, key, now_);
    return false;
  }
  if (sampled(key)) [[unlikely]]
    note(Sampled::remove, key, true);
  // If there is no room to write the entry anew, it is removed.
  Table& table = *shard.tables[number_];
  if (keyspace_->has_room(entry->extent(), limits_.beyond) && table.make_stale(key, now_, stale_ms)) {
    shard.changes.tell(Cause::staled, number_, key, now_);
  } else {
    table.remove(key, Cause::deleted, now_);
  }
  return true;
}

Stored Database::set_expiry(const Key& key, UnixMs at) {
  Shard& shard = keyspace_->shard(key);
  Table* table = shard.tables[number_].get();
  if (keyspace_->key_switches() != nullptr && bypassed(key, false)) [[unlikely]]
    return Stored::no_memory;
  std::uint32_t stale_ms = 0;
  if (limits_.rules != nullptr) [[unlikely]] {
    const WriteRules::Deadline deadline = limits_.rules->on_expiry(key, now_, at);
    at = deadline.at;
    stale_ms = deadline.stale_ms;
  }
  if (table == nullptr || !table->set_expiry(key, at, stale_ms)) return Stored::no_memory;
  if (at != 0) count_ttl(shard, at, now_);
  if (sampled(key)) [[unlikely]]
    note(Sampled::deadline, key, true);
  shard.changes.tell(Cause::deadline, number_, key, now_, at != 0);
  return Stored::done;
}

}  // namespace pinfold::store
