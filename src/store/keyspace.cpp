#include "pinfold/store/keyspace.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <numeric>
#include <utility>

#include "pinfold/base/random.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/store/shard.hpp"

namespace pinfold::store {

unsigned shards_for(unsigned threads, std::uint64_t max_memory) {
  std::uint64_t shards = std::bit_ceil(std::uint64_t{threads} * 8);
  if (max_memory > 0) shards = std::min(shards, std::bit_floor(std::max<std::uint64_t>(max_memory >> 22, 1)));
  return static_cast<unsigned>(std::clamp<std::uint64_t>(shards, 2, max_shards));
}

Keyspace::Keyspace(const KeyspaceOptions& options)
    : hash_key_(random_hash_key()),
      policy_{options.policy},
      memory_(options.max_memory),
      pool_(std::make_unique<SegmentPool>(memory_)),
      scratches_(std::make_unique<ScratchPool>()),
      tag_marks_(memory_),
      shard_mask_(options.shards - 1) {
  assert(options.shards > 0 && options.shards <= max_shards && (options.shards & shard_mask_) == 0);
  std::iota(databases_.begin(), databases_.end(), std::uint64_t{0});
  shards_.reserve(options.shards);
  for (unsigned i = 0; i < options.shards; ++i) {
    shards_.push_back(std::make_unique<Shard>(*pool_, *scratches_, memory_, hash_key_, policy_, lock_watch_));
  }
}

Keyspace::~Keyspace() = default;

// --- locks ---

unsigned Keyspace::waiting(unsigned shard) const { return shards_[shard]->mutex.waiting(); }

void Keyspace::Locks::acquire(const Key& key) { acquire_shard(keyspace_->shard_of(key)); }

void Keyspace::Locks::acquire_shard(unsigned shard) {
  keyspace_->shards_[shard]->mutex.lock();
  held_.set(shard);
  single_ = static_cast<int>(shard);
}

void Keyspace::Locks::acquire(std::span<const Key> keys) {
  assert(held_.none());
  for (const Key& key : keys) held_.set(keyspace_->shard_of(key));
  lock_held();
}

void Keyspace::Locks::acquire_all() {
  assert(held_.none());
  for (unsigned i = 0; i < keyspace_->shard_count(); ++i) held_.set(i);
  lock_held();
}

void Keyspace::Locks::lock_held() {
  for (unsigned i = 0; i < keyspace_->shard_count(); ++i) {
    if (held_.test(i)) keyspace_->shards_[i]->mutex.lock();
  }
}

// Whoever has written sees to those who waited for it before others come.
void Keyspace::Locks::unlock(unsigned shard) {
  Shard& held = *keyspace_->shards_[shard];
  held.listening.settle();
  held.mutex.unlock();
}

void Keyspace::Locks::release() {
  if (single_ >= 0) {
    const auto shard = static_cast<unsigned>(std::exchange(single_, -1));
    held_.reset(shard);
    return unlock(shard);
  }
  if (held_.none()) return;
  for (unsigned i = 0; i < keyspace_->shard_count(); ++i) {
    if (held_.test(i)) unlock(i);
  }
  held_.reset();
}

void Keyspace::prefetch_index(unsigned db, const Key& key) {
  Shard& at = shard(key);
  // The lock is what keeps the index where it is; two uncontended ones cost less than the misses they hide.
  const std::unique_lock lock(at.mutex, std::try_to_lock);
  if (lock && at.tables[db]) at.tables[db]->index().prefetch(key.hash);
}

void Keyspace::prefetch_entry(unsigned db, const Key& key) {
  Shard& at = shard(key);
  const std::unique_lock lock(at.mutex, std::try_to_lock);
  if (lock && at.tables[db]) at.tables[db]->prefetch_entry(key.hash);
}

// Runs `action` on every shard under its lock, taking the locks that are not held already one after the other.
template <class Action>
void Keyspace::for_each_shard(const Locks& held, Action&& action) {
  for (unsigned i = 0; i < shard_count(); ++i) with_shard(i, held, action);
}

template <class Action>
void Keyspace::with_shard(unsigned index, const Locks& held, Action&& action) {
  Shard& shard = *shards_[index];
  std::unique_lock lock(shard.mutex, std::defer_lock);
  if (!held.holds(index)) lock.lock();
  action(shard);
  if (lock) shard.listening.settle();
}

void Keyspace::let_waiters_in(unsigned shard) { shards_[shard]->mutex.let_waiters_in(); }

Listening& Keyspace::listen(unsigned shard, KeyListener* listener) {
  shards_[shard]->listening.listener = listener;
  return shards_[shard]->listening;
}


// --- the whole keyspace ---

namespace {

// All shards: a value must not be carried from one that comes later into one that came before.
class All {
 public:
  explicit All(Keyspace::Locks& held) : held_(held), taken_(held.empty()) {
    if (taken_) held_.acquire_all();
  }
  ~All() {
    if (taken_) held_.release();
  }
  All(const All&) = delete;
  All& operator=(const All&) = delete;

 private:
  Keyspace::Locks& held_;
  const bool taken_;
};

}  // namespace

std::uint64_t Keyspace::size(unsigned db, Locks& held) {
  std::uint64_t keys = 0;
  for_each_shard(held, [&](Shard& shard) {
    if (shard.tables[db]) keys += shard.tables[db]->size() - shard.tables[db]->negatives().keys;
  });
  return keys;
}

std::uint64_t Keyspace::entries(unsigned db, Locks& held) {
  std::uint64_t entries = 0;
  for_each_shard(held, [&](Shard& shard) {
    if (shard.tables[db]) entries += shard.tables[db]->size();
  });
  return entries;
}

void Keyspace::flush(unsigned db, Locks& held) {
  const All all(held);
  std::vector<std::unique_ptr<Table>> tables;
  tables.reserve(shard_count());
  for_each_shard(held, [&](Shard& shard) {
    if (shard.listening.attentive) shard.listening.listener->flushed(db);
    if (!shard.tables[db]) return;
    shard.watchers.changed_where(db, [&](const Key& name) { return shard.tables[db]->find(name).has_value(); });
    tables.push_back(shard.detach(db));
  });
  drop(std::move(tables));
}

bool Keyspace::purge(unsigned db, const std::shared_ptr<Purge>& purge, Locks& held, const std::function<void()>& accepted) {
  const All all(held);
  bool room = true;
  for_each_shard(held, [&](Shard& shard) { room &= !shard.tables[db] || shard.tables[db]->can_purge(*purge); });
  purge->database = databases_[db];
  if (!room || (!purge->by_prefix && !tag_marks_.has_room_for(*purge))) return false;
  purge->number = ++purges_;
  purge->marks = &tag_marks_;
  // Until a table knows of the purge, its marks there mean nothing.
  if (!purge->by_prefix) tag_marks_.add(*purge);
  if (accepted) accepted();
  for_each_shard(held, [&](Shard& shard) {
    Table* const table = shard.tables[db].get();
    if (table != nullptr) {
      shard.watchers.changed_where(db, [&](const Key& name) {
        const auto entry = table->find(name);
        return entry && purge->covers(name.text, entry->has_extra() ? Extra::read(entry->extra()) : Extra{});
      });
    }
    if (table != nullptr) table->purge(purge, tag_marks_);
  });
  if (wake_) wake_();
  return true;
}

void Keyspace::swap(unsigned a, unsigned b, UnixMs now, Locks& held) {
  for_each_shard(held, [&](Shard& shard) {
    // What cannot be read any more is not there, although nobody may have removed it yet.
    const auto in_either = [&](const Key& k) {
      const auto in = [&](unsigned db) {
        const auto entry = shard.tables[db] ? shard.tables[db]->find(k) : std::nullopt;
        return entry && entry->live(now);
      };
      return in(a) || in(b);
    };
    for (const unsigned db : {a, b}) shard.watchers.changed_where(db, in_either);
    std::swap(shard.tables[a], shard.tables[b]);
    for (const unsigned db : {a, b}) {
      if (shard.listening.attentive) shard.listening.listener->flushed(db);
    }
  });
  for (const unsigned db : {a, b}) databases_[db] = next_database_++;
}

namespace {

// A scan's place: shard, directory prefix and tag within the group, and the group's depth when it was last seen.
struct Cursor {
  unsigned shard = 0;
  std::uint32_t prefix = 0;
  unsigned tag = 0;
  unsigned depth = 0;

  static constexpr unsigned tag_bits = 8;
  static constexpr unsigned depth_bits = 5;

  static Cursor decode(std::uint64_t text) {
    Cursor c;
    c.depth = text & ((1U << depth_bits) - 1);
    text >>= depth_bits;
    c.tag = text & ((1U << tag_bits) - 1);
    text >>= tag_bits;
    c.prefix = static_cast<std::uint32_t>(text & ((1U << Index::prefix_bits) - 1));
    c.shard = static_cast<unsigned>(std::min<std::uint64_t>(text >> Index::prefix_bits, max_shards));
    return c;
  }
  std::uint64_t encode() const {
    std::uint64_t text = shard;
    text = text << Index::prefix_bits | prefix;
    text = text << tag_bits | tag;
    return text << depth_bits | depth;
  }
  void next_shard() { *this = {shard + 1, 0, 0, 0}; }
  void next_group(unsigned group_depth) {
    const std::uint32_t width = 1U << (Index::prefix_bits - group_depth);
    prefix = (prefix & ~(width - 1)) + width;
    tag = depth = 0;
    if (prefix >> Index::prefix_bits != 0) next_shard();
  }
};

// How many of the tags from `first` on to visit so that about `wanted` entries are seen: entries with equal tags are
// visited together, because a cursor cannot stand between them.
unsigned last_tag(const std::vector<std::pair<std::uint8_t, Ref>>& entries, std::uint64_t wanted) {
  std::array<std::uint32_t, 256> per_tag{};
  for (const auto& [tag, ref] : entries) ++per_tag[tag];
  std::uint64_t seen = 0;
  for (unsigned tag = 0; tag < per_tag.size(); ++tag) {
    seen += per_tag[tag];
    if (seen >= wanted) return tag;
  }
  return 255;
}

}  // namespace

std::uint64_t Keyspace::scan(unsigned db, std::uint64_t cursor, std::uint64_t count, UnixMs now, Locks& held,
                             const std::function<void(std::string_view, const Value&)>& visit) {
  Cursor at = Cursor::decode(cursor);
  std::uint64_t seen = 0;
  // Empty groups count a little, so that a call over an almost empty keyspace is bounded too.
  std::uint64_t effort = 0;
  while (at.shard < shard_count() && seen < count && effort < count * 10) {
    with_shard(at.shard, held, [&](Shard& shard) {
      Table* table = shard.tables[db].get();
      if (table == nullptr) {
        at.next_shard();
        return;
      }
      Index::GroupView group = table->index().view(at.prefix, static_cast<std::uint8_t>(at.tag));
      if (group.depth < at.depth) {
        // The table is a new one, after a flush: its groups are wider, and this one is seen from its start.
        at.prefix &= ~((1U << (Index::prefix_bits - group.depth)) - 1);
        if (at.tag > 0) group = table->index().view(at.prefix, 0);
      }
      const unsigned last = last_tag(group.entries, count - seen);
      for (const auto& [tag, ref] : group.entries) {
        if (tag > last) continue;
        ++seen;
        work::entries();
        const Entry entry = table->entry(ref);
        if (table->visible(ref, now)) visit(entry.key(), entry.value());
      }
      ++effort;
      if (last == 255) {
        at.next_group(group.depth);
      } else {
        at.tag = last + 1;
        at.depth = group.depth;
      }
    });
  }
  return at.shard >= shard_count() ? 0 : at.encode();
}

std::optional<std::string> Keyspace::random_key(unsigned db, UnixMs now, Locks& held) {
  constexpr unsigned tries = 1000;
  std::optional<std::string> found;
  const std::uint64_t total = size(db, held);
  if (total == 0) return found;
  // Shards are near enough to equal in size that a random one is as good as a weighted one, once empty ones are passed.
  for (unsigned i = 0; i < tries && !found; ++i) {
    with_shard(static_cast<unsigned>(random_below(shard_count())), held, [&](Shard& shard) {
      Table* table = shard.tables[db].get();
      if (table == nullptr || table->size() == 0) return;
      const Ref ref = table->index().sample(random_u64());
      if (ref != 0 && table->visible(ref, now)) found = table->entry(ref).key();
    });
  }
  // Few live keys among many expired ones, or very few at all: take the first that a scan meets.
  for (std::uint64_t cursor = 0; !found;) {
    cursor = scan(db, cursor, 100, now, held, [&](std::string_view key, const Value&) { found = key; });
    if (cursor == 0) break;
  }
  return found;
}

// --- WATCH ---

void Keyspace::watch(unsigned db, const Key& key, const std::shared_ptr<WatchFlag>& flag, UnixMs now) {
  // An entry that is already past its deadline does not exist; its removal later must not look like a change.
  Database(*this, db, now).find(key, Access::none());
  shard(key).watchers.add(db, key, flag);
}

void Keyspace::unwatch(unsigned db, const Key& key, const WatchFlag* flag) { shard(key).watchers.remove(db, key.text, flag); }

// --- figures ---

KeyspaceStats Keyspace::stats(const Locks& held) {
  KeyspaceStats sum;
  for_each_shard(held, [&](Shard& shard) {
    sum.hits += shard.hits;
    sum.misses += shard.misses;
    sum.negative_hits += shard.negative_hits;
    sum.expired += shard.expired;
    sum.evicted += shard.evicted;
  });
  return sum;
}

void Keyspace::reset_stats(const Locks& held) {
  for_each_shard(held, [](Shard& shard) { shard.hits = shard.misses = shard.negative_hits = shard.expired = shard.evicted = 0; });
}

EntryUse Keyspace::use_of(std::uint8_t slot, const Locks& held) {
  EntryUse sum;
  for_each_shard(held, [&](Shard& shard) {
    for (const auto& table : shard.tables) {
      if (!table) continue;
      sum.keys += table->use_of(slot).keys;
      sum.bytes += table->use_of(slot).bytes;
    }
  });
  return sum;
}

EntryUse Keyspace::negative_use(const Locks& held) {
  EntryUse sum;
  for_each_shard(held, [&](Shard& shard) {
    for (const auto& table : shard.tables) {
      if (!table) continue;
      sum.keys += table->negatives().keys;
      sum.bytes += table->negatives().bytes;
    }
  });
  return sum;
}

DatabaseStats Keyspace::database_stats(unsigned db, UnixMs now, const Locks& held) {
  constexpr unsigned samples_per_shard = 8;
  DatabaseStats sum;
  std::uint64_t sampled = 0;
  UnixMs ttl = 0;
  for_each_shard(held, [&](Shard& shard) {
    Table* table = shard.tables[db].get();
    if (table == nullptr) return;
    sum.keys += table->size() - table->negatives().keys;
    sum.expires += table->expires() - table->negatives().keys;  // each of which has a deadline
    for (unsigned i = 0; i < samples_per_shard && table->expires() > 0; ++i) {
      const Ref ref = table->index().sample(random_u64());
      if (ref == 0) continue;
      const UnixMs at = table->entry(ref).expires_at();
      if (at <= now) continue;
      ttl += at - now;
      ++sampled;
    }
  });
  if (sampled > 0) sum.average_ttl = ttl / static_cast<UnixMs>(sampled);
  return sum;
}

std::optional<std::uint64_t> Keyspace::memory_usage(unsigned db, const Key& key, UnixMs now) {
  if (!Database(*this, db, now).find(key, Access::none())) return std::nullopt;
  Table& table = *shard(key).tables[db];
  return table.memory_of(*table.find(key));
}

}  // namespace pinfold::store
