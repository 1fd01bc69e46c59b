#include "pinfold/cache/tracking_table.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>

#include "pinfold/base/work.hpp"
#include "pinfold/store/lock_account.hpp"

namespace pinfold::cache {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
// Records, segments or tickets that are looked at in one hold of a lock.
constexpr std::size_t most_in_one_hold = 256;
constexpr unsigned shard_bits = 8;  // of a hash, which choose the shard

std::uint32_t hash_of(const store::Key& key) { return static_cast<std::uint32_t>(key.hash >> shard_bits); }

std::uint16_t bit_of(unsigned db) { return static_cast<std::uint16_t>(1U << db); }

std::size_t grown(std::size_t capacity) { return capacity + capacity / 2 + 1; }

}  // namespace

// --- tickets ---

Tickets::~Tickets() {
  for (auto& chunk : chunks_) delete[] chunk.load(relaxed);
}

Ticket Tickets::issue(unsigned thread, void* owner) {
  const std::lock_guard lock(mutex_);
  std::size_t index = free_;
  if (index == 0) {
    if (used_ == most_chunks * slots_of_chunk) return 0;
    index = used_;
    auto& chunk = chunks_[index / slots_of_chunk];
    if (chunk.load(relaxed) == nullptr) chunk.store(new Slot[slots_of_chunk], std::memory_order_release);
    ++used_;
  }
  Slot& slot = slot_at(index);
  free_ = std::exchange(slot.next_free, 0);
  const std::uint32_t generation = std::max(slot.word.load(relaxed) & generation_mask, 1U);
  slot.owner = owner;
  slot.word.store(generation | thread << generation_bits, relaxed);
  return static_cast<Ticket>(index) | generation << slot_bits;
}

void Tickets::retire(Ticket ticket) {
  const std::size_t index = index_of(ticket);
  Slot& slot = slot_at(index);
  slot.owner = nullptr;
  slot.word.store(((generation_of(ticket) + 1) & generation_mask) | nobodys, relaxed);
  const std::lock_guard lock(mutex_);
  slot.next_free = std::exchange(free_, static_cast<std::uint32_t>(index));
}

// --- records ---

std::size_t TrackedKey::memory_of(std::size_t name, std::size_t capacity) {
  constexpr std::size_t head = 8;  // of malloc
  constexpr std::size_t unit = 16;
  return (sizeof(TrackedKey) + capacity * sizeof(Ticket) + name + head + unit - 1) / unit * unit;
}

// Null: no memory. What it takes is in the account.
TrackedKey* TrackingTable::allocate(const store::Key& key, std::size_t capacity) {
  void* const at = std::malloc(sizeof(TrackedKey) + capacity * sizeof(Ticket) + key.text.size());
  if (at == nullptr) return nullptr;
  auto* const made = new (at) TrackedKey{};
  made->hash = hash_of(key);
  made->name_size = static_cast<std::uint32_t>(key.text.size());
  made->capacity = static_cast<std::uint32_t>(capacity);
  made->deadline = TrackedKey::no_deadline;
  std::memcpy(made->tickets() + capacity, key.text.data(), key.text.size());
  work::bytes(key.text.size());
  add_memory(static_cast<std::int64_t>(made->memory()));
  return made;
}

void TrackingTable::free(TrackedKey* first) {
  std::int64_t bytes = 0;
  while (first != nullptr) {
    TrackedKey* const key = std::exchange(first, first->next);
    bytes += static_cast<std::int64_t>(key->memory());
    std::free(key);
  }
  if (bytes != 0) add_memory(-bytes);
}

void TrackingTable::tell(Ticket ticket, std::string_view name) {
  Invalidations list;
  if (TrackedKey* const key = allocate(keyspace_.key(name), 1); key != nullptr) {
    key->writer = 0;
    key->tickets()[key->count++] = ticket;
    list.add(key);
  } else {
    list.all = true;
  }
  hand_over(list);
}

// --- the table of a shard ---

// All causes but `invalidated`: no entry has changed then, and clients that cache that there is none are right.
TrackedKeys::TrackedKeys(TrackingTable& table, unsigned shard)
    : table_(table),
      subscription_(table.keyspace_.changes(shard), *this,
                    {store::Cause::written, store::Cause::grown, store::Cause::deadline, store::Cause::staled, store::Cause::deleted,
                     store::Cause::expired, store::Cause::evicted, store::Cause::purged, store::Cause::purged_soft, store::Cause::flushed,
                     store::Cause::exchanged}) {}

TrackedKeys::~TrackedKeys() {
  put_aside();
  while (table_.free_some(*this, SIZE_MAX)) {
  }
  table_.free(out_.first);
}

// The pointer to the record of the key; null if there is none.
TrackedKey** TrackedKeys::find(const store::Key& key) {
  if (directory_ == nullptr) return nullptr;
  const std::uint32_t hash = hash_of(key);
  for (TrackedKey** at = &directory_->head(directory_->place(hash)); *at != nullptr; at = &(*at)->next) {
    work::nodes();
    if ((*at)->hash == hash && (*at)->name() == key.text) return at;
  }
  return nullptr;
}

bool TrackedKeys::note(Ticket ticket, const store::Key& key, unsigned db) {
  if (TrackedKey** const at = find(key); at != nullptr) {
    TrackedKey& record = **at;
    if ((record.databases >> db & 1U) == 0) note_deadline(record, key, db);
    if (std::binary_search(record.tickets(), record.tickets() + record.count, ticket)) return true;
    if (add_ticket(at, ticket)) return true;
  } else if (add(ticket, key, db)) {
    return true;
  }
  table_.refused_.fetch_add(1, relaxed);
  return false;
}

// A record for a key that has none.
bool TrackedKeys::add(Ticket ticket, const store::Key& key, unsigned db) {
  if (!table_.has_room(TrackedKey::memory_of(key.text.size(), 1))) {
    evict_one(nullptr);  // so that there is room when its clients have been told
    return false;
  }
  if (directory_ == nullptr) {
    std::unique_ptr<Directory> made(new (std::nothrow) Directory());
    if (made == nullptr) return false;
    directory_ = std::move(made);
  }
  grow();
  if (directory_->buckets == 0) return false;
  TrackedKey* const record = table_.allocate(key, 1);
  if (record == nullptr) return false;
  record->tickets()[record->count++] = ticket;
  TrackedKey*& head = directory_->head(directory_->place(record->hash));
  record->next = std::exchange(head, record);
  ++keys_;
  ++items_;
  table_.items_.fetch_add(1, relaxed);
  const std::int64_t keys = table_.keys_.fetch_add(1, relaxed) + 1;
  note_deadline(*record, key, db);
  const std::uint64_t most = table_.max_keys.load(relaxed);
  if (most != 0 && static_cast<std::uint64_t>(keys) > most) evict_one(record);
  return true;
}

bool TrackedKeys::add_ticket(TrackedKey** at, Ticket ticket) {
  TrackedKey* record = *at;
  if (record->count == record->capacity && record->count <= window) drop_dead(*record, 0);
  if (record->count == record->capacity) {
    if (record->count >= TrackingTable::most_of_key) return false;
    const std::size_t capacity = std::min(grown(record->capacity), TrackingTable::most_of_key);
    const std::size_t more = TrackedKey::memory_of(record->name_size, capacity) - record->memory();
    if (!table_.has_room(more)) {
      evict_one(record);
      return false;
    }
    TrackedKey* const wider = table_.allocate({record->name(), std::uint64_t{record->hash} << shard_bits}, capacity);
    if (wider == nullptr) return false;
    wider->next = record->next;
    wider->deadline = record->deadline;
    wider->databases = record->databases;
    wider->count = record->count;
    std::copy_n(record->tickets(), record->count, wider->tickets());
    work::bytes(record->count * sizeof(Ticket));
    *at = wider;
    record->next = nullptr;
    table_.free(std::exchange(record, wider));
  }
  Ticket* const end = record->tickets() + record->count;
  Ticket* const place = std::upper_bound(record->tickets(), end, ticket);
  std::move_backward(place, end, end + 1);
  work::bytes(static_cast<std::size_t>(end - place) * sizeof(Ticket));
  *place = ticket;
  ++record->count;
  ++items_;
  table_.items_.fetch_add(1, relaxed);
  return true;
}

// Removes those tickets of a record whose clients have gone, among the `window` tickets from `from` on.
void TrackedKeys::drop_dead(TrackedKey& key, std::size_t from) {
  if (from >= key.count) return;
  Ticket* const begin = key.tickets();
  const std::size_t to = std::min<std::size_t>(key.count, from + window);
  Ticket* const kept = std::remove_if(begin + from, begin + to, [this](Ticket ticket) { return !table_.tickets.alive(ticket); });
  const auto dropped = static_cast<std::size_t>(begin + to - kept);
  work::entries(to - from);
  if (dropped == 0) return;
  std::move(begin + to, begin + key.count, kept);
  key.count -= static_cast<std::uint32_t>(dropped);
  items_ -= dropped;
  table_.items_.fetch_sub(static_cast<std::int64_t>(dropped), relaxed);
}

// The deadline of the entry as the client has read it. It does not change as long as the record is there, because a change ends the record.
void TrackedKeys::note_deadline(TrackedKey& key, const store::Key& of, unsigned db) {
  key.databases = static_cast<std::uint16_t>(key.databases | bit_of(db));
  const std::optional<store::Value> value = table_.keyspace_.glance(db, of);
  if (!value || value->expires_at == 0) return;
  key.deadline = std::min(key.deadline, table_.time_of(value->expires_at));
  Segment& segment = directory_->segment(directory_->place(key.hash));
  segment.due = std::min(segment.due, key.deadline);
}

// Takes a record out of its bucket.
TrackedKey* TrackedKeys::take_out(TrackedKey** at) {
  TrackedKey* const key = *at;
  *at = key->next;
  --keys_;
  items_ -= key->count;
  table_.keys_.fetch_sub(1, relaxed);
  table_.items_.fetch_sub(key->count, relaxed);
  return key;
}

void TrackedKeys::count_segment_memory(std::size_t before) {
  table_.add_memory(static_cast<std::int64_t>(directory_->memory()) - static_cast<std::int64_t>(before));
}

// Makes a bucket more if there are as many records as buckets. Without memory there are just more records in a bucket.
void TrackedKeys::grow() {
  Directory& directory = *directory_;
  if (keys_ < directory.buckets) return;
  if (directory.buckets % buckets_of_segment == 0) {
    const std::size_t before = directory.memory();
    try {
      directory.segments.push_back(std::make_unique<Segment>());
    } catch (const std::bad_alloc&) {
      return;
    }
    count_segment_memory(before);
  }
  const std::size_t fresh = directory.buckets++;
  if (fresh == 0) {
    directory.low = 1;
    return;
  }
  if (directory.buckets == directory.low * 2) directory.low = directory.buckets;
  // Half of the records of one bucket move to the fresh one.
  const std::size_t split = fresh - (directory.low == directory.buckets ? directory.low / 2 : directory.low);
  Segment& to = directory.segment(fresh);
  to.due = std::min(to.due, directory.segment(split).due);
  TrackedKey** at = &directory.head(split);
  while (*at != nullptr) {
    work::nodes();
    TrackedKey* const key = *at;
    if (directory.place(key->hash) == split) {
      at = &key->next;
      continue;
    }
    *at = key->next;
    key->next = std::exchange(directory.head(fresh), key);
  }
}

// Makes a bucket less if most are empty.
void TrackedKeys::shrink() {
  constexpr std::size_t mostly = 4;
  Directory& directory = *directory_;
  if (directory.buckets <= buckets_of_segment || keys_ * mostly >= directory.buckets) return;
  const std::size_t last = directory.buckets - 1;
  TrackedKey* moved = std::exchange(directory.head(last), nullptr);
  const std::uint32_t due = directory.segment(last).due;
  if (--directory.buckets < directory.low) directory.low /= 2;
  while (moved != nullptr) {
    work::nodes();
    TrackedKey* const key = std::exchange(moved, moved->next);
    const std::size_t bucket = directory.place(key->hash);
    key->next = std::exchange(directory.head(bucket), key);
    Segment& segment = directory.segment(bucket);
    segment.due = std::min(segment.due, due);
    shrunk_ = true;
  }
  if (directory.buckets % buckets_of_segment == 0) {
    const std::size_t before = directory.memory();
    directory.segments.pop_back();
    count_segment_memory(before);
  }
}

// Takes one record out, to make room for others, and has its clients told. Whichever comes next in the order of the buckets is as good as
// chosen at random.
void TrackedKeys::evict_one(const TrackedKey* spared) {
  if (directory_ == nullptr || directory_->buckets == 0) return;
  for (std::size_t looked_at = 0; looked_at < most_in_one_hold; ++looked_at) {
    if (hand_ >= directory_->buckets) hand_ = 0;
    TrackedKey** at = &directory_->head(hand_++);
    if (*at != nullptr && *at == spared) at = &(*at)->next;
    work::nodes();
    if (*at == nullptr) continue;
    put_out(take_out(at), false);
    table_.evicted_.fetch_add(1, relaxed);
    return;
  }
}

void TrackedKeys::put_out(TrackedKey* key, bool by_command) {
  key->writer = 0;
  key->by_command = by_command;
  out_.add(key);
  subscription_.want_settle();
}

// Puts everything aside, because all clients are told to forget everything. O(1).
void TrackedKeys::put_aside() {
  if (directory_ == nullptr) return;
  Directory* const whole = directory_.release();
  whole->next = std::exchange(aside_, whole);
  table_.keys_.fetch_sub(static_cast<std::int64_t>(std::exchange(keys_, 0)), relaxed);
  table_.items_.fetch_sub(static_cast<std::int64_t>(std::exchange(items_, 0)), relaxed);
  table_.aside_.store(true, relaxed);
}

namespace {

// Whether a command has changed the key, so that its client need not be told with NOLOOP.
bool is_by_command(store::Cause cause) {
  using store::Cause;
  switch (cause) {
    case Cause::written:
    case Cause::grown:
    case Cause::deadline:
    case Cause::staled:
    case Cause::deleted:
      return true;
    default:
      return false;
  }
}

}  // namespace

void TrackedKeys::changed(const store::Change& change) noexcept {
  if (change.cause == store::Cause::flushed || change.cause == store::Cause::exchanged) {
    put_aside();
    if (out_.all) return;
    out_.all = true;
    return subscription_.want_settle();
  }
#ifdef PINFOLD_BREAK_TRACKING
  if (change.cause == store::Cause::deleted) return;  // a build for the test which shows that the race checker notices it
#endif
  const bool by_command = is_by_command(change.cause);
  TrackedKey** const at = find(change.key);
  const bool broadcasts = table_.broadcasters_.load(relaxed) > 0;
  if (at != nullptr) {
    TrackedKey* const key = take_out(at);
    key->broadcast = broadcasts && !add_to_last_broadcast(change, by_command);
    key->databases = bit_of(change.db);
    put_out(key, by_command);
    shrink();
  } else if (broadcasts) {
    broadcast(change, by_command);
  }
}

// A command that changes one key many times tells clients that track prefixes once, whatever the database. Returns false if what was put
// out last is not about this key.
bool TrackedKeys::add_to_last_broadcast(const store::Change& change, bool by_command) {
  TrackedKey* const last = out_.last;
  if (last == nullptr || !last->broadcast || last->by_command != by_command || last->name() != change.key.text) return false;
  last->databases = static_cast<std::uint16_t>(last->databases | bit_of(change.db));
  return true;
}

// For clients that track prefixes. If its name cannot be kept, they have to forget everything.
void TrackedKeys::broadcast(const store::Change& change, bool by_command) {
  if (out_.all_broadcast || add_to_last_broadcast(change, by_command)) return;
  const store::Key& key = change.key;
  TrackedKey* const record = table_.has_room(TrackedKey::memory_of(key.text.size(), 0)) ? table_.allocate(key, 0) : nullptr;
  if (record == nullptr) {
    out_.all_broadcast = true;
    return subscription_.want_settle();
  }
  record->broadcast = true;
  record->databases = bit_of(change.db);
  put_out(record, by_command);
}

void TrackedKeys::settle() {
  if (const Ticket writer = Writer::current(); writer != 0) [[unlikely]] {
    std::size_t visited = 0;
    for (TrackedKey* key = out_.first; key != nullptr; key = key->next, ++visited) {
      if (key->by_command) key->writer = writer;
    }
    work::nodes(visited);
  }
  table_.hand_over(out_);
}

// --- what the background worker does ---

// Ends the records of the next segments that are due. Returns whether all segments have been looked at since the last time that it
// returned true.
bool TrackedKeys::end_due(std::uint32_t now, std::size_t most) {
  if (directory_ == nullptr) return true;
  const auto& segments = directory_->segments;
  std::size_t looked_at = 0;
  for (; due_at_ < segments.size() && looked_at < most; ++due_at_, ++looked_at) {
    Segment& segment = *segments[due_at_];
    if (segment.due > now) continue;
    std::uint32_t due = TrackedKey::no_deadline;
    for (TrackedKey*& head : segment.heads) {
      TrackedKey** at = &head;
      while (*at != nullptr) {
        ++looked_at;
        if ((*at)->deadline <= now) {
          put_out(take_out(at), false);
          table_.aged_.fetch_add(1, relaxed);
        } else {
          due = std::min(due, (*at)->deadline);
          at = &(*at)->next;
        }
      }
    }
    segment.due = due;
  }
  work::entries(looked_at);
  if (due_at_ < segments.size()) return false;
  due_at_ = 0;
  for (std::size_t i = 0; i < buckets_of_segment; ++i) shrink();
  return true;
}

// Removes the tickets of clients that have gone from the next records. Returns whether all records have been looked at since the last time
// that it returned true. Records with many tickets are looked at in further rounds, each of which looks at one window of all of them; from
// the last window to the first, because tickets that are removed move those behind them.
bool TrackedKeys::remove_dead(std::size_t most) {
  if (directory_ == nullptr) return true;
  std::size_t looked_at = 0;
  for (; tended_ < directory_->buckets && looked_at < most; ++tended_) {
    TrackedKey** at = &directory_->head(tended_);
    ++looked_at;
    while (*at != nullptr) {
      TrackedKey* const key = *at;
      const bool is_wide = key->count > window;
      widest_ = std::max<std::size_t>(widest_, key->count);
      if (round_ > 0 || !is_wide) {
        looked_at += 1 + std::min<std::size_t>(key->count, window);
        drop_dead(*key, round_ > 0 ? (round_ - 1) * window : 0);
      }
      if (key->count == 0) {
        take_out(at);
        key->next = nullptr;
        table_.free(key);
      } else {
        at = &key->next;
      }
    }
  }
  work::entries(looked_at);
  if (tended_ < directory_->buckets) return false;
  tended_ = 0;
  if (std::exchange(shrunk_, false)) return false;
  if (round_ == 0) round_ = widest_ > window ? 1 + (widest_ + window - 1) / window : 1;
  widest_ = 0;
  if (--round_ > 0) return false;
  for (std::size_t i = 0; i < buckets_of_segment; ++i) shrink();
  shrunk_ = false;
  return true;
}

// --- the whole ---

TrackingTable::TrackingTable(store::Keyspace& keyspace) : keyspace_(keyspace), base_(unix_ms()) {
  for (unsigned i = 0; i < keyspace.shard_count(); ++i) shards_.push_back(std::make_unique<TrackedKeys>(*this, i));
}

TrackingTable::~TrackingTable() { free(orphans_.first); }

std::uint64_t TrackingTable::share() const {
  constexpr std::uint64_t unlimited = 1ULL << 30;
  const std::uint64_t limit = keyspace_.memory().limit();
  return limit == 0 ? unlimited : limit / 8;
}

bool TrackingTable::has_room(std::size_t bytes) const { return keyspace_.memory().used(store::Use::tracking) + bytes <= share(); }

// A deadline that is further away than can be told is none.
std::uint32_t TrackingTable::time_of(UnixMs deadline) const {
  const std::int64_t units = (deadline - base_ + deadline_unit_ms - 1) / deadline_unit_ms;
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(units, 1, TrackedKey::no_deadline));
}

std::uint32_t TrackingTable::now_of(UnixMs now) const {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>((now - base_) / deadline_unit_ms, 1, TrackedKey::no_deadline - 1));
}

// The background begins a new epoch before it looks at clients_, and here clients_ grows first. So either the background sees the client,
// or the client sees the epoch.
void TrackingTable::begin(unsigned thread, store::Keyspace::Locks& held) {
  count(clients_of_[thread], clients_, 1);
  const std::uint64_t epoch = epoch_.load();
  if (listening_.load() == epoch) return;
  for (unsigned i = 0; i < shards_.size(); ++i) {
    const auto listen = [&] { shards_[i]->subscription_.listen(true); };
    if (held.holds(i)) {
      listen();
    } else {
      keyspace_.with_locked(i, listen);
    }
  }
  listening_.store(epoch);
}

void TrackingTable::end(unsigned thread) { count(clients_of_[thread], clients_, -1); }

// Called with a shard locked.
void TrackingTable::hand_over(Invalidations& list) {
  if (Outbox* const outbox = Outbox::current(); outbox != nullptr) [[likely]]
    return outbox->add(list);
  {
    const std::lock_guard lock(orphans_mutex_);
    orphans_.splice(list);
    has_orphans_.store(true, relaxed);
  }
  keyspace_.wake_background();
}

Invalidations TrackingTable::take_orphans() {
  const std::lock_guard lock(orphans_mutex_);
  has_orphans_.store(false, relaxed);
  return std::exchange(orphans_, {});
}

void TrackingTable::give_back(Invalidations& list) {
  const std::lock_guard lock(orphans_mutex_);
  orphans_.splice(list);
  has_orphans_.store(true, relaxed);
}

void TrackingTable::invalidate_all() {
  if (clients_.load() == 0) return;
  Invalidations all;
  all.all = true;
  hand_over(all);
}

// Nobody tracks any more.
void TrackingTable::forget_all() {
  ++epoch_;
  for (unsigned i = 0; i < shards_.size(); ++i) {
    keyspace_.with_locked_after_waiters(i, [&] {
      if (clients_.load() > 0) return;
      shards_[i]->subscription_.listen(false);
      shards_[i]->put_aside();
    });
  }
}

// Frees some of what flushes have put aside. Returns whether there is more. `shard` need not be locked.
bool TrackingTable::free_some(TrackedKeys& shard, std::size_t most) {
  TrackedKeys::Directory* directory = shard.aside_;
  if (directory == nullptr) return false;
  std::size_t freed = 0;
  for (; directory->buckets > 0 && freed < most; ++freed) {
    TrackedKey*& head = directory->head(--directory->buckets);
    for (const TrackedKey* key = head; key != nullptr; key = key->next) ++freed;
    free(std::exchange(head, nullptr));
  }
  work::nodes(freed);
  if (directory->buckets > 0) return true;
  add_memory(-static_cast<std::int64_t>(directory->memory()));
  shard.aside_ = directory->next;
  delete directory;
  return shard.aside_ != nullptr;
}

void TrackingTable::tend(UnixMs now) {
  const store::HoldCause cause("tend-tracking");
  constexpr unsigned most_holds = 64;  // of each shard: the rest comes the next time
  if (clients_.load() == 0) {
    if (listening_.load() == epoch_.load()) forget_all();
  }
  if (aside_.exchange(false, relaxed)) {
    bool more = false;
    for (unsigned i = 0; i < shards_.size(); ++i) {
      for (unsigned holds = 0; holds < most_holds; ++holds) {
        bool of_shard = false;
        keyspace_.with_locked_after_waiters(i, [&] { of_shard = free_some(*shards_[i], most_in_one_hold); });
        if (!of_shard) break;
        more |= holds + 1 == most_holds;
      }
    }
    if (more) aside_.store(true, relaxed);
  }
  if (keys_.load(relaxed) == 0) return;
  const std::uint32_t at = now_of(now);
  const bool begins = !removing_dead_ && dead_.exchange(false, relaxed);
  bool removed_all = true;
  for (unsigned i = 0; i < shards_.size(); ++i) {
    TrackedKeys& shard = *shards_[i];
    bool done = false;
    for (unsigned holds = 0; holds < most_holds && !done; ++holds) {
      keyspace_.with_locked_after_waiters(i, [&] { done = shard.end_due(at, most_in_one_hold); });
    }
    if (begins || removing_dead_) {
      bool removed = false;
      for (unsigned holds = 0; holds < most_holds && !removed; ++holds) {
        keyspace_.with_locked_after_waiters(i, [&] { removed = shard.remove_dead(most_in_one_hold / 2); });
      }
      removed_all &= removed;
    }
    const auto too_many = [&] {
      const std::uint64_t most = max_keys.load(relaxed);
      return most != 0 && static_cast<std::uint64_t>(keys_.load(relaxed)) > most;
    };
    for (unsigned holds = 0; holds < most_holds && too_many(); ++holds) {
      bool any = false;
      keyspace_.with_locked_after_waiters(i, [&] {
        for (std::size_t n = 0; n < most_in_one_hold / 4 && too_many() && shard.keys_ > 0; ++n) shard.evict_one(nullptr);
        any = shard.keys_ > 0;
      });
      if (!any) break;
    }
  }
  removing_dead_ = !removed_all;
}

void TrackingTable::reset_counters() {
  for (auto* counter : {&evicted_, &aged_, &refused_}) counter->store(0, relaxed);
}

TrackingTable::Figures TrackingTable::figures() const {
  const auto positive = [](const std::atomic<std::int64_t>& n) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(n.load(relaxed), 0));
  };
  return {.clients = positive(clients_),
          .keys = positive(keys_),
          .items = positive(items_),
          .evicted = evicted_.load(relaxed),
          .aged = aged_.load(relaxed),
          .refused = refused_.load(relaxed)};
}

}  // namespace pinfold::cache
