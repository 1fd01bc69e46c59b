#pragma once
// All databases over all shards: locks, whole-keyspace operations, memory and background work.
//
// A shard is the unit of locking; a key's shard follows from its hash and is the same in every database. Operations
// on several keys take their shards in index order, so they are atomic and cannot deadlock.

#include <array>
#include <atomic>
#include <bitset>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/hash.hpp"
#include "pinfold/base/sleeper.hpp"
#include "pinfold/store/database.hpp"
#include "pinfold/store/entry_use.hpp"
#include "pinfold/store/memory.hpp"
#include "pinfold/store/policy_settings.hpp"
#include "pinfold/store/shard_mutex.hpp"
#include "pinfold/store/tag_marks.hpp"
#include "pinfold/store/value.hpp"
#include "pinfold/store/watchers.hpp"

namespace pinfold::store {

class Changes;
class SegmentPool;
class Shard;
class Table;
class Names;
class Walk;
struct Purge;

constexpr unsigned database_count = 16;
constexpr unsigned max_shards = 256;

/// How many shards suit so many threads and so much memory (0: no limit). More of them mean that a thread less often meets another,
/// or finds a lock in another core's cache (`scripts/bench scale`): 64 for each of several threads, if there is memory for them. But
/// each has segments of its own that are not full yet, which a small cache feels: a shard is for 32 MB at least, or for 4 MB while
/// there are fewer than 8 for each thread.
unsigned shards_for(unsigned threads, std::uint64_t max_memory);

struct KeyspaceOptions {
  unsigned shards = 8;           // a power of two, at most max_shards
  std::uint64_t max_memory = 0;  // bytes; 0: no limit
  eviction::Kind policy = eviction::Kind::allkeys_lfu;
};

/// Sums over shards at about one moment; counters since start or the last reset.
struct KeyspaceStats {
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t negative_hits = 0;  // of the misses, by plain reads
  std::uint64_t expired = 0;
  std::uint64_t evicted = 0;
};

struct DatabaseStats {
  std::uint64_t keys = 0;
  std::uint64_t expires = 0;  // keys with a deadline
  UnixMs average_ttl = 0;     // an estimate from a sample, 0 if none
};

/// What a recount of everything in the keyspace comes to, in bytes; each figure is to equal Memory::used().
struct KeyspaceAudit {
  std::uint64_t segments = 0;
  std::uint64_t index = 0;
  std::uint64_t blobs = 0;  // the pages of all blocks; those that only a reader or an arriving request holds are missing
  std::uint64_t ghosts = 0;
  std::uint64_t readers = 0;  // references to stored blocks that are not entries'
  bool consistent = true;     // the counters of every table and shard equal the recount
};

class Keyspace {
 public:
  explicit Keyspace(const KeyspaceOptions& options);
  ~Keyspace();
  Keyspace(const Keyspace&) = delete;
  Keyspace& operator=(const Keyspace&) = delete;

  Key key(std::string_view text) const { return {text, siphash13(hash_key_, text)}; }
  unsigned shard_count() const { return static_cast<unsigned>(shards_.size()); }
  unsigned shard_of(const Key& key) const { return static_cast<unsigned>(key.hash) & shard_mask_; }
  /// Starts fetching what a lookup of `key` will touch: first the shard's lock, then the index, and once that has come the entry.
  /// Hints for a pipeline: the last two take the lock, and do nothing if the shard is busy. Call with nothing held.
  void prefetch_lock(const Key& key);
  void prefetch_index(unsigned db, const Key& key);
  void prefetch_entry(unsigned db, const Key& key);

  /// The shards held by one thread for one command or transaction.
  class Locks {
   public:
    explicit Locks(Keyspace& keyspace) : keyspace_(&keyspace) {}
    ~Locks() { release(); }
    Locks(const Locks&) = delete;
    Locks& operator=(const Locks&) = delete;

    void acquire(const Key& key);             // only when nothing is held
    void acquire(std::span<const Key> keys);  // only when nothing is held
    void acquire_all();                       // only when nothing is held
    void acquire_shard(unsigned shard);       // only when nothing is held
    void release();
    bool holds(unsigned shard) const { return held_.test(shard); }
    bool empty() const { return held_.none(); }

   private:
    void lock_held();
    void unlock(unsigned shard);
    static void settle_and_unlock(Shard& held);
    void release_several();

    Keyspace* keyspace_;
    std::bitset<max_shards> held_;
    int single_ = -1;  // the shard, if acquire(key) took just one: the way of most commands
  };

  // Whole-keyspace operations. Each locks what `held` does not hold already, shard after shard.
  std::uint64_t size(unsigned db, Locks& held);
  /// The same with negative entries, and with those whose time is up.
  std::uint64_t entries(unsigned db, Locks& held);
  /// Drops every entry of `db`, with all shards locked meanwhile. O(shards); the memory is freed in the background.
  void flush(unsigned db, Locks& held);
  /// Takes effect for every look-up when it returns. False: too many purges are waiting to be swept, and nothing was done.
  /// `accepted` is called once, if there is room, before any look-up is affected. `held` must hold all shards or none; then they are
  /// locked meanwhile. O(shards + tags).
  bool purge(unsigned db, const std::shared_ptr<Purge>& purge, Locks& held, const std::function<void()>& accepted = {});
  /// Exchanges two databases; all shards must be held.
  void swap(unsigned a, unsigned b, UnixMs now, Locks& held);
  /// Names of live keys from `cursor` on, of about `left` entries but no more than one hold of a lock allows, which may be none;
  /// takes as many as were seen off `left`, and returns where to go on, 0 at the end. Guarantee as Redis': an entry present from start to
  /// end of a scan is seen at least once. Some of those that it meets and whose time is up are removed. A cursor stays below 2^53.
  /// With `only`, names of keys that hold a value of that type.
  std::uint64_t scan(unsigned db, std::uint64_t cursor, std::uint64_t& left, UnixMs now, Locks& held, Names& names,
                     std::optional<Type> only = {});
  /// Goes on with a walk: names of live keys, of 512 entries or so at most, with one shard locked meanwhile. May bring none
  /// although there are more: see Walk::done(). Unlike scan(), a walk does not meet a key twice.
  void collect(unsigned db, Walk& walk, UnixMs now, Locks& held, Names& names);
  /// Makes `found` the name of a random live key. False, and empty, if there was none in some hundred tries.
  bool random_key(unsigned db, UnixMs now, Locks& held, Names& found);

  /// Has the background give memory that is kept for later back to the system.
  void release_spare();

  /// Has the background overwrite whatever entries that are gone by now have left anywhere in the store; returns a number to ask
  /// erased() for. Any thread.
  std::uint64_t erase();
  /// Whether the erasure with this number, and so all before it, has come to its end. Any thread.
  bool erased(std::uint64_t number) const { return erasures_done_.load(std::memory_order_acquire) >= number; }

  /// Begins to watch a key: has_changed() tells from what is returned. The key's shard must be held, as for all three.
  Watch watch(unsigned db, const Key& key, UnixMs now);
  /// Ends a watch, as which it must have begun.
  void unwatch(unsigned db, const Key& key);
  /// Whether the key was written, removed, created or has expired since the watch began. Where a database was exchanged twice, or
  /// exchanged and then emptied or purged, of a key that did not exist before: whether that may be.
  bool has_changed(unsigned db, const Key& key, const Watch& watch, UnixMs now);

  /// Evicts until `bytes` more fit under the limit; false if that cannot be had. Call with nothing held. With `room`, much is
  /// promised to the caller until that is gone; many small requests may together take a few hundred KB more than there is.
  bool make_room(std::uint64_t bytes, Room* room = nullptr);
  /// Whether `bytes` more fit, without evicting; with `beyond`, so far beyond the limit.
  bool has_room(std::uint64_t bytes, std::uint64_t beyond = 0) const { return memory_.fits(bytes, beyond); }

  Memory& memory() { return memory_; }
  const Memory& memory() const { return memory_; }
  /// If that is less than what is used, the background evicts the difference little by little; a request meanwhile makes
  /// room for its own bytes only.
  void set_max_memory(std::uint64_t bytes);
  eviction::Kind policy() const { return policy_.kind.load(std::memory_order_relaxed); }
  /// Entries stay where they are; the tables follow when they next write or evict.
  void set_policy(eviction::Kind policy);
  /// Whether entries outlast their deadlines: serve-stale.
  void set_serve_stale(bool on) {
    policy_.serve_stale.store(on, std::memory_order_relaxed);
    if (!on) wake_background();
  }
  bool serves_stale() const { return policy_.serve_stale.load(std::memory_order_relaxed); }
  /// Where the changes of entries in one shard are told: whoever wants to hear of them subscribes there before requests come.
  Changes& changes(unsigned shard);
  /// For observers: what is stored under the key, also if its time is up or if it is a negative entry. Changes and counts nothing. What a
  /// purge is still to remove or to make stale is not found. The key's shard must be held. O(1).
  std::optional<Value> glance(unsigned db, const Key& key);
  /// Looks at a shard under its lock, as whoever writes to it does.
  template <class Action>
  void with_locked(unsigned shard, Action&& action) {
    Locks locks(*this);
    locks.acquire_shard(shard);
    action();
  }
  /// As with_locked(), but those who wait for the lock go first: for work that comes back for more, piece by piece.
  template <class Action>
  void with_locked_after_waiters(unsigned shard, Action&& action) {
    let_waiters_in(shard);
    with_locked(shard, action);
  }
  /// lfu-decay-time.
  void set_lfu_decay(std::uint32_t minutes) { policy_.decay_minutes.store(minutes, std::memory_order_relaxed); }

  KeyspaceStats stats(const Locks& held);
  KeyspaceStats stats() { return stats(Locks(*this)); }
  void reset_stats(const Locks& held);
  /// Of the entries with this policy slot; of negative ones. O(shards).
  EntryUse use_of(std::uint8_t slot, const Locks& held);
  EntryUse use_of(std::uint8_t slot) { return use_of(slot, Locks(*this)); }
  EntryUse negative_use(const Locks& held);
  EntryUse negative_use() { return negative_use(Locks(*this)); }
  /// How soon entries with a policy slot go, and beyond how many bytes first (0: any number).
  void set_standing(std::uint8_t slot, Standing standing, std::uint64_t quota) {
    policy_.standing[slot].store(standing, std::memory_order_relaxed);
    policy_.quota[slot].store(quota, std::memory_order_relaxed);
  }
  /// Whether there are policies, and so standings to be looked at.
  void set_has_standing(bool any) { policy_.has_standing.store(any, std::memory_order_relaxed); }
  void set_negative_quota(std::uint64_t bytes) { policy_.negative_quota.store(bytes, std::memory_order_relaxed); }
  DatabaseStats database_stats(unsigned db, UnixMs now, const Locks& held);
  /// What one entry costs: its share of log and index and its block. The key's shard must be held.
  std::optional<std::uint64_t> memory_usage(unsigned db, const Key& key, UnixMs now);

  /// Recounts everything, with all shards locked. O(entries); for tests.
  KeyspaceAudit audit();

  /// Frees what was dropped, evicts if the limit has been lowered, removes entries whose deadline has passed and gathers
  /// dead bytes, for at most about `budget_us` microseconds. Returns true if more work is waiting. Called by the
  /// background worker; locks one shard at a time, each time for what a Budget allows.
  bool background_step(UnixMs now, std::int64_t budget_us);
  /// Until then nothing is removed because its time is over (CLIENT PAUSE); it is not found all the same. {}: from now on it is again.
  void keep_expired(MonoMs until) { keep_expired_until_.store(until, std::memory_order_relaxed); }
  bool keeps_expired() const {
    const MonoMs until = keep_expired_until_.load(std::memory_order_relaxed);
    return until != MonoMs{} && monotonic_ms() < until;
  }
  /// The background worker: it is woken, from any thread, when there is work for background_step, or when Memory::observe_growth
  /// should be told anew. To be set before requests come; must outlive them.
  void set_background(Sleeper& worker) { background_ = &worker; }
  /// Also for what others want it to do. Does nothing where there is no worker.
  void wake_background() {
    if (background_ != nullptr) background_->wake();
  }
  /// How long shard locks are held, and what is done meanwhile.
  LockWatch& lock_watch() { return lock_watch_; }
  /// How many threads wait for the lock of a shard at this moment.
  unsigned waiting(unsigned shard) const;
  void set_active_expire(bool on) { active_expire_.store(on, std::memory_order_relaxed); }

 private:
  friend class Database;
  friend class GradualRoom;
  void let_waiters_in(unsigned shard);
  Shard& shard(const Key& key) { return *shards_[shard_of(key)]; }
  bool erase_some(std::int64_t end_us);
  void begin_erasure(std::uint64_t number);
  bool erase_shards(std::int64_t end_us);
  void note_rest();
  void free_later(std::vector<std::unique_ptr<Table>> tables);
  void remove_expired(unsigned db, const Names& names, UnixMs now);
  bool free_some_tables();
  bool dropped_before(std::uint64_t number);
  void prepare_memory();
  static constexpr std::size_t bytes_at_once = 512 * 1024;  // that are given back to the system in one go
  bool give_back(std::size_t bytes);
  bool release_some_spare();
  void ask_for_measurement();
  bool prepare_eviction(std::int64_t end_us);
  bool tend(Shard& shard, UnixMs now);
  template <class Work>
  bool tend_table(Shard& shard, unsigned db, std::string_view cause_name, Work&& work);
  /// One request's (or slice's) way to memory: steps of a Budget each.
  class Reclaiming {
   public:
    Reclaiming(Keyspace& keyspace, UnixMs now, std::uint64_t wanted) : keyspace_(keyspace), now_(now), wanted_(wanted) {}
    /// False if nothing more can be done.
    bool step();

   private:
    // After a change of the policy much may have to be moved before anything goes: a request does not wait for all of it.
    static constexpr unsigned most_fruitless = 512;
    // So long it looks for entries that are to go before others.
    static constexpr unsigned most_patience = 128;
    unsigned pressure() const;

    Keyspace& keyspace_;
    const UnixMs now_;
    const std::uint64_t wanted_;
    std::bitset<max_shards> exhausted_;  // shards without anything that may go
    std::bitset<max_shards> tried_;      // in vain, since all were last tried
    unsigned fruitless_ = 0;
  };
  enum class MadeRoom : std::uint8_t { yes, no, unfinished };
  /// As above, but it stops at `end_us` by monotonic_us(), and goes on another time with the same `reclaiming`.
  MadeRoom make_room(std::uint64_t bytes, Room* room, std::optional<Reclaiming>& reclaiming, std::int64_t end_us);
  bool lowering() const;
  template <class Action>
  void for_each_shard(const Locks& held, Action&& action);
  template <class Action>
  void with_shard(unsigned index, const Locks& held, Action&& action);

  HashKey hash_key_;
  LockWatch lock_watch_;
  PolicySettings policy_;
  Memory memory_;
  std::unique_ptr<SegmentPool> pool_;
  TagMarks tag_marks_;  // outlives all tables
  Sleeper* background_ = nullptr;
  std::atomic<std::int64_t> measurement_asked_us_{0};
  std::atomic<std::uint64_t> gave_up_at_{0};  // bytes of data with which nothing more could be evicted
  std::mutex dropped_mutex_;
  struct Dropped {
    std::uint64_t number;
    std::unique_ptr<Table> table;
  };
  std::list<Dropped> tables_to_free_;                    // the oldest first
  std::list<Dropped> freeing_;                           // those at which threads are at work at this moment
  std::uint64_t dropped_count_ = 0;                      // ever
  std::uint64_t purges_ = 0;                             // so many there were; written with all shards locked, as the next
  std::array<std::uint64_t, database_count> databases_;  // what identifies their entries: SWAPDB gives new ones
  std::uint64_t next_database_ = database_count;
  std::array<DatabaseHistory, database_count> histories_;  // written with all shards locked, read with any
  std::vector<std::unique_ptr<Shard>> shards_;
  unsigned shard_mask_;
  std::atomic<bool> active_expire_{true};
  std::atomic<MonoMs> keep_expired_until_{};
  unsigned background_shard_ = 0;
  unsigned prepared_shards_ = 0;  // in this round of prepare_eviction
  std::atomic<std::uint64_t> erasures_asked_{0};
  std::atomic<std::uint64_t> erasures_done_{0};
  std::atomic<bool> releasing_spare_{false};
  struct {
    std::uint64_t number = 0;     // of the pass that is under way, or was the last
    unsigned shard = 0;           // the next to go through
    bool blocks = false;          // what is free among blocks is done
    const char* block = nullptr;  // where to go on there
    // What was freed before all of that had been gone through, and is still to be given back.
    bool rest = false;
    std::uint64_t dropped = 0;
    bool tables_are_free = false;  // those of `dropped`; what they have left is in `leftovers`
    std::uint64_t leftovers = 0;
    std::uint64_t noted_blocks = 0;
    std::uint64_t noted_segments = 0;
  } erasing_;  // the background's own
};

}  // namespace pinfold::store
