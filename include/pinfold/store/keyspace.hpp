#pragma once
// The keyspace: all databases over all shards, with their locks, memory and background work.
//
// A shard is the unit of locking. The shard of a key follows from the key's hash, and is the same in every database. An
// operation on several keys locks all their shards before it begins, so it is atomic. It locks them in the order of the shards'
// numbers, so it cannot deadlock with another operation.

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

#include "pinfold/base/siphash.hpp"
#include "pinfold/base/sleeper.hpp"
#include "pinfold/store/access_samples.hpp"
#include "pinfold/store/database.hpp"
#include "pinfold/store/departures.hpp"
#include "pinfold/store/entry_use.hpp"
#include "pinfold/store/memory.hpp"
#include "pinfold/store/policy_settings.hpp"
#include "pinfold/store/shard_mutex.hpp"
#include "pinfold/store/size_classes.hpp"
#include "pinfold/store/tag_marks.hpp"
#include "pinfold/store/value.hpp"
#include "pinfold/store/watchers.hpp"

namespace pinfold::store {

class Changes;
class KeySwitches;
class SegmentPool;
class Shard;
class Table;
class Names;
class Walk;
struct Purge;

constexpr unsigned database_count = 16;
constexpr unsigned max_shards = 256;

/// The number of shards for `threads` threads and `max_memory` bytes (0: no limit). It is a power of two. The more shards there
/// are, the less often two threads want the same lock, and the less often a lock lies in the cache of another core
/// (`scripts/bench scale`). So there are 64 shards for each thread, or 8 if there is one thread only, as far as memory and
/// max_shards allow. But each shard has segments that are not full yet, which cost a small cache much of its memory. So a shard
/// gets at least 32 MB, or at least 4 MB while there are fewer than 8 shards for each thread.
unsigned shards_for(unsigned threads, std::uint64_t max_memory);

/// How a keyspace is made.
struct KeyspaceOptions {
  unsigned shards = 8;           // a power of two, at most max_shards
  std::uint64_t max_memory = 0;  // bytes; 0: no limit
  eviction::Kind policy = eviction::Kind::allkeys_lfu;
};

/// Counters since the start or the last reset, as sums over the shards. The shards are read one after the other.
struct KeyspaceStats {
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t negative_hits = 0;  // plain reads that met a negative entry; they are among the misses
  std::uint64_t bypassed = 0;       // reads of keys that are bypassed; they are among the misses
  std::uint64_t expired = 0;
  std::uint64_t evicted = 0;
  Departures departures;
  TtlCounts written_ttls;  // of the times to live that writes, EXPIRE and the like have set
  LockWaits lock_waits;
  std::uint64_t fullest_bytes = 0;   // of the shard that occupies most
  std::uint64_t occupied_bytes = 0;  // of all shards
  std::uint64_t entries = 0;         // at present, negative and expired ones included
  std::uint64_t entry_bytes = 0;     // what these occupy, as Table::memory_of() counts it
};

/// How often requests had to wait while entries were evicted for them, and how long. Atomic counters since the last reset.
struct RoomWaits {
  std::atomic<std::uint64_t> waits{0};
  std::atomic<std::uint64_t> ticks{0};  // of the processor's counter (ThreadClock)
};

/// Figures of one database. Negative entries are not counted.
struct DatabaseStats {
  std::uint64_t keys = 0;
  std::uint64_t expires = 0;  // keys with a deadline
  UnixMs average_ttl = 0;     // milliseconds, an estimate from a sample; 0: no key has a deadline
  std::uint64_t index_bytes = 0;
};

/// The result of a recount of everything in the keyspace. The first four figures are in bytes, and are to equal those of
/// Memory::used().
struct KeyspaceAudit {
  std::uint64_t segments = 0;
  std::uint64_t index = 0;
  std::uint64_t blobs = 0;  // pages of all blocks, without blocks to which only a reader or an arriving request refers
  std::uint64_t ghosts = 0;
  std::uint64_t readers = 0;  // references to stored blocks, without those that entries hold
  bool consistent = true;     // whether the counters of every table and shard equal the recount
};

/// How long a step of the background worker took for two of its works.
struct BackgroundTimes {
  std::int64_t evicting_us = 0;  // because more is in use than the limit allows, or soon will be
  std::int64_t expiring_us = 0;  // going through entries to remove those that have expired or were purged
};

/// Thread-safe, except where a function says that a shard must be locked, or that nothing may be locked. If a function has a
/// parameter `held`, the caller must pass the locks that its thread holds. The function locks the other shards that it needs.
/// `now` is in Unix milliseconds, and sizes are in bytes. `db` must be below database_count.
class Keyspace {
 public:
  explicit Keyspace(const KeyspaceOptions& options);
  ~Keyspace();
  Keyspace(const Keyspace&) = delete;
  Keyspace& operator=(const Keyspace&) = delete;

  /// A key with its hash. The text stays the caller's.
  Key key(std::string_view text) const { return {text, siphash13(hash_key_, text)}; }
  unsigned shard_count() const { return static_cast<unsigned>(shards_.size()); }
  unsigned shard_of(const Key& key) const { return static_cast<unsigned>(key.hash) & shard_mask_; }
  /// These three start fetching into the processor's cache what a lookup of `key` will read: the shard's lock, the index, and
  /// the entry. They are called in this order, because each of them reads what the one before has fetched. They are for the
  /// requests of a pipeline, some requests ahead. The last two lock the shard for a moment, and do nothing if it is locked. All
  /// must be called with nothing locked.
  void prefetch_lock(const Key& key);
  void prefetch_index(unsigned db, const Key& key);
  void prefetch_entry(unsigned db, const Key& key);

  /// The shards that one thread has locked for one command or transaction. The destructor unlocks them. Not thread-safe. The
  /// acquire functions must be called only while it holds nothing. Before a shard is unlocked, observers settle
  /// (Changes::settle).
  class Locks {
   public:
    explicit Locks(Keyspace& keyspace) : keyspace_(&keyspace) {}
    ~Locks() { release(); }
    Locks(const Locks&) = delete;
    Locks& operator=(const Locks&) = delete;

    void acquire(const Key& key);
    void acquire(std::span<const Key> keys);
    /// The same for work that takes locks again as soon as it has released them: threads that already wait for one of these go first.
    /// Otherwise they might wait long, because the locks are not fair. Must be called with nothing locked. O(keys).
    void acquire_after_waiters(std::span<const Key> keys);
    void acquire_all();
    void acquire_shard(unsigned shard);
    /// Locks one more shard while others are held, or all that are not held yet. Does not wait: returns false if one is locked by another
    /// thread; try_acquire_rest() may have locked some of them then. So they cannot deadlock.
    bool try_acquire_more(unsigned shard);
    bool try_acquire_rest();
    void release();
    bool holds(unsigned shard) const { return held_.test(shard); }
    bool empty() const { return held_.none(); }
    bool holds_all() const { return held_.count() == keyspace_->shard_count(); }

   private:
    void lock_held();
    void unlock(unsigned shard);
    static void settle_and_unlock(Shard& held);
    void release_several();

    Keyspace* keyspace_;
    std::bitset<max_shards> held_;
    int single_ = -1;  // the shard, if acquire(key) or acquire_shard() has locked it, as for most commands; -1: none, or several
  };

  /// The entries without negative ones (DBSIZE). An expired entry counts until it is removed. O(shards).
  std::uint64_t size(unsigned db, Locks& held);
  /// All entries, negative and expired ones included. O(shards).
  std::uint64_t entries(unsigned db, Locks& held);
  /// Removes all entries of `db`. `held` must have all shards or none. With none, the function locks them all. O(shards); the
  /// background worker frees the memory.
  void flush(unsigned db, Locks& held);
  /// Puts a purge in force for every look-up. Returns false if too many purges are pending; then nothing was done. `accepted`
  /// is called once if there is room, before any look-up is affected. `held` must have all shards or none. With none, the
  /// function locks them all. O(shards + tags). Throws std::bad_alloc; then the purge may be in force in a part of the shards.
  bool purge(unsigned db, const std::shared_ptr<Purge>& purge, Locks& held, const std::function<void()>& accepted = {});
  /// Exchanges two databases (SWAPDB). `held` must have all shards. O(shards).
  void swap(unsigned a, unsigned b, UnixMs now, Locks& held);
  /// Puts into `names` the names of live keys from `cursor` on, and returns the next cursor, which is 0 at the end. Looks at
  /// about `left` entries, but at no more than one hold of a lock allows, and subtracts the number from `left`. So there may be
  /// no names although more keys follow. Promises what SCAN of Redis does: a key that exists from the start to the end of a
  /// scan is returned at least once. Removes some of the expired entries that it meets. A cursor is below 2^53. With `only`,
  /// the names are of keys with a value of that type. Throws std::bad_alloc.
  std::uint64_t scan(unsigned db, std::uint64_t cursor, std::uint64_t& left, UnixMs now, Locks& held, Names& names,
                     std::optional<Type> only = {});
  /// A cursor for scan() that begins at a random place. A scan that comes to the end from there, and one from 0 until its cursor is no
  /// less, meet all keys together, as one from 0 to the end does. O(1).
  std::uint64_t random_cursor() const;
  /// Goes on with a walk: looks at the next entries of one shard, about 512 at most, and puts the names of live keys into
  /// `names`. There may be no names although more keys follow: Walk::done() tells the end. Unlike scan(), a walk returns no key
  /// twice. Throws std::bad_alloc.
  void collect(unsigned db, Walk& walk, UnixMs now, Locks& held, Names& names);
  /// Puts into `found` the name of a random live key. Returns false, with `found` empty, if 500 tries have met none.
  bool random_key(unsigned db, UnixMs now, Locks& held, Names& found);

  /// Asks the background worker to give spare memory back to the system: free memory that is kept for the next user.
  void release_spare();

  /// Asks the background worker for an erasure: it overwrites what removed entries have left anywhere in the store. It covers
  /// all entries that were removed before this call. Returns the number of the erasure, for erased().
  std::uint64_t erase();
  /// Whether the erasure with this number has ended. Then all earlier ones have, too.
  bool erased(std::uint64_t number) const { return erasures_done_.load(std::memory_order_acquire) >= number; }

  // For these three the caller must have locked the key's shard.

  /// Begins to watch a key. The result is for has_changed(). Throws std::bad_alloc.
  Watch watch(unsigned db, const Key& key, UnixMs now);
  /// Ends a watch that watch() has begun with the same database and key.
  void unwatch(unsigned db, const Key& key);
  /// Whether the key has changed since the watch began: its value, its deadline, or whether it exists. For a key that did not
  /// exist when the watch began, it may return true without such a change: if the database has since been exchanged twice, or
  /// exchanged and then emptied or purged. What the database held in between is no longer known.
  bool has_changed(unsigned db, const Key& key, const Watch& watch, UnixMs now);

  /// Evicts until `bytes` more fit under the limit. Returns false if nothing more can be evicted, or if this many bytes cannot
  /// fit at all. Must be called with nothing locked. With `room`, a request of Room::least bytes or more is promised what it
  /// needs until `room` is released. Smaller requests get no promise. Many of them at once may exceed the limit by a few
  /// hundred KB.
  bool make_room(std::uint64_t bytes, Room* room = nullptr);
  /// Whether `bytes` more fit without evicting. With `beyond`, they may exceed the limit by that many bytes.
  bool has_room(std::uint64_t bytes, std::uint64_t beyond = 0) const { return memory_.fits(bytes, beyond); }

  Memory& memory() { return memory_; }
  const Memory& memory() const { return memory_; }
  /// Sets the memory limit (0: none). If more is in use, the background worker evicts the difference in small steps. Meanwhile
  /// a request makes room for its own bytes only.
  void set_max_memory(std::uint64_t bytes);
  /// How many bytes one collection may take; 0: no limit.
  std::uint64_t most_of_collection() const { return most_of_collection_.load(std::memory_order_relaxed); }
  void limit_collections(std::uint64_t bytes) { most_of_collection_.store(bytes, std::memory_order_relaxed); }
  eviction::Kind policy() const { return policy_.kind.load(std::memory_order_relaxed); }
  /// Sets the eviction policy. Entries stay in their queues. Each table takes the policy over when it next writes or evicts.
  void set_policy(eviction::Kind policy);
  /// serve-stale: while it is on, entries are not removed when their time is up.
  void set_serve_stale(bool on) {
    policy_.set_serve_stale(policy_.serve_stale, on);
    if (!on) wake_background();
  }
  bool serves_stale() const { return policy_.serve_stale.load(std::memory_order_relaxed); }
  /// Whether an entry whose policy has this slot is served as stale although its time is up.
  bool serves_stale(std::uint8_t slot) const { return policy_.serves_stale(slot); }
  /// Sets serve-stale of the policy with this slot.
  void set_serve_stale(std::uint8_t slot, bool on) { policy_.set_serve_stale(policy_.keeps_expired[slot], on); }
  /// Until when entries may have been served after their deadlines by a serve-stale, the setting or a policy's, that is off now. never() if
  /// it is being switched off at this moment. To be asked after serves_stale(slot).
  MonoMs served_stale_until() const { return {policy_.served_stale_until.load(std::memory_order_relaxed)}; }
  /// Sets the switches that reads and writes obey; null: none is on. All shards must be locked. The object must live until
  /// another call has replaced it. For WATCH, every watched key has changed, because clients may see other keys now.
  void set_key_switches(const KeySwitches* switches) {
    key_switches_ = switches;
    ++views_;
  }
  const KeySwitches* key_switches() const { return key_switches_; }
  /// The changes of the entries in one shard. Observers must subscribe to it before requests come.
  Changes& changes(unsigned shard);
  /// A look-up for observers, which changes and counts nothing. Finds stale, expired and negative entries as well. Does not
  /// find an entry that a pending purge is still to remove or to make stale. The caller must have locked the key's shard. O(1).
  std::optional<Value> glance(unsigned db, const Key& key);
  /// Locks the shard, and calls `action`. Must be called with nothing locked.
  template <class Action>
  void with_locked(unsigned shard, Action&& action) {
    Locks locks(*this);
    locks.acquire_shard(shard);
    action();
  }
  /// Does what with_locked() does, but lets threads that already wait for the lock go first. For work that is done in many
  /// pieces.
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
  /// Takes reads off the statistics that will be made once more. Must be called with nothing locked.
  void take_back_reads(const ReadCounts& reads);
  const RoomWaits& room_waits() const { return room_waits_; }
  /// Begins to count anew the evictions under the policy in a slot, which another policy has got.
  void reset_evicted_of(std::uint8_t slot, const Locks& held);
  /// What the entries with this policy slot occupy. O(shards).
  EntryUse use_of(std::uint8_t slot, const Locks& held);
  EntryUse use_of(std::uint8_t slot) { return use_of(slot, Locks(*this)); }
  /// What the negative entries occupy. O(shards).
  EntryUse negative_use(const Locks& held);
  EntryUse negative_use() { return negative_use(Locks(*this)); }
  /// Sets how soon entries with this policy slot are evicted. While they occupy more than `quota` bytes (0: no quota), they are
  /// evicted before others in any case.
  void set_priority(std::uint8_t slot, Priority priority, std::uint64_t quota) {
    policy_.priority[slot].store(priority, std::memory_order_relaxed);
    policy_.quota[slot].store(quota, std::memory_order_relaxed);
  }
  /// Sets whether there are policies at all. Without them, eviction looks at no priorities.
  void set_has_policies(bool any) { policy_.has_policies.store(any, std::memory_order_relaxed); }
  /// Sets how many bytes negative entries may occupy before they are evicted first (0: no quota).
  void set_negative_quota(std::uint64_t bytes) { policy_.negative_quota.store(bytes, std::memory_order_relaxed); }
  DatabaseStats database_stats(unsigned db, UnixMs now, const Locks& held);
  /// How many values there are of which size, in all databases, without negative entries. Values outside of the log are counted exactly.
  /// How the others are spread over their classes is an estimate from a few entries of each table. O(tables).
  SizeClasses size_classes(const Locks& held);
  /// Bytes that one entry occupies in the log, the index and blocks; nothing if there is no live entry. The caller must have
  /// locked the key's shard.
  std::optional<std::uint64_t> memory_usage(unsigned db, const Key& key, UnixMs now);

  /// Locks all shards and recounts everything. O(entries); for tests.
  KeyspaceAudit audit();

  /// One step of the background worker, of about `budget_us` microseconds: frees removed tables and leftovers, evicts if the
  /// limit was lowered, erases, removes expired entries, sweeps for purges, and compacts. Returns true if more work is waiting.
  /// Only for the background worker, which must have nothing locked. Locks one shard at a time, each time for the work that a
  /// Budget allows.
  bool background_step(UnixMs now, std::int64_t budget_us, BackgroundTimes* times = nullptr);
  /// Until the time `until`, expired entries are not removed (CLIENT PAUSE), but they are not found either. `until` = {} ends
  /// this at once.
  void keep_expired(MonoMs until) { keep_expired_until_.store(until, std::memory_order_relaxed); }
  bool keeps_expired() const {
    const MonoMs until = keep_expired_until_.load(std::memory_order_relaxed);
    return until != MonoMs{} && monotonic_ms() < until;
  }
  /// Sets the background worker. It is woken, by any thread, when there is work for background_step(), or when the memory of
  /// the process should be measured again (Memory::observe_growth). Null: there is none any more. Must be called before
  /// requests come. The worker must outlive the last call that another thread makes to the keyspace before it is taken away.
  void set_background(Sleeper* worker) { background_.store(worker, std::memory_order_release); }
  /// Wakes the background worker, for work of the keyspace or of another room. Does nothing if there is no worker.
  void wake_background() {
    if (Sleeper* const worker = background_.load(std::memory_order_acquire); worker != nullptr) worker->wake();
  }
  /// The accesses to keys that are sampled.
  AccessSamples& samples() { return samples_; }
  /// The record of how long shard locks are held, and of the work that is done meanwhile.
  LockWatch& lock_watch() { return lock_watch_; }
  /// How many threads wait for the lock of a shard at the moment.
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
  bool has_tables_to_free(std::uint64_t number);
  void prepare_memory();
  static constexpr std::size_t bytes_at_once = 512 * 1024;  // bytes given back to the system in one go
  bool give_back(std::size_t bytes);
  bool release_some_spare();
  void ask_for_measurement();
  bool prepare_eviction(std::int64_t end_us);
  bool tend(Shard& shard, UnixMs now);
  template <class Work>
  bool tend_table(Shard& shard, unsigned db, std::string_view cause_name, Work&& work);
  // The eviction for one request, or for one step of the background, in pieces of a Budget each.
  class Reclaiming {
   public:
    Reclaiming(Keyspace& keyspace, UnixMs now, std::uint64_t wanted)
        : keyspace_(keyspace), now_(now), keeps_expired_(keyspace.keeps_expired()), wanted_(wanted) {}
    // Does one piece, with nothing locked before and after. Returns false if nothing more can be evicted.
    bool step();

   private:
    // How many pieces may free nothing before the request gives up. After a change of the policy many entries may have to move
    // before any is evicted, and a request does not wait for all of that.
    static constexpr unsigned most_fruitless = 512;
    // While fewer pieces than this have freed nothing, Table::evict() is called with `patient`: the pressure stays 0 while
    // the priority or quota of some policy says that its entries are evicted first.
    static constexpr unsigned most_patience = 128;
    unsigned pressure() const;

    Keyspace& keyspace_;
    const UnixMs now_;
    const bool keeps_expired_;
    const std::uint64_t wanted_;
    std::bitset<max_shards> exhausted_;  // shards in which nothing may be evicted
    std::bitset<max_shards> tried_;      // shards that have freed nothing in this round through all shards
    unsigned fruitless_ = 0;
  };
  enum class MadeRoom : std::uint8_t { yes, no, unfinished };
  // The public make_room() in pieces: stops at the time `end_us` of monotonic_us(), and goes on in a later call with the same
  // `reclaiming`.
  MadeRoom make_room(std::uint64_t bytes, Room* room, std::optional<Reclaiming>& reclaiming, std::int64_t end_us);
  bool lowering() const;
  template <class Action>
  void for_each_shard(const Locks& held, Action&& action);
  template <class Action>
  void with_shard(unsigned index, const Locks& held, Action&& action);

  HashKey hash_key_;
  LockWatch lock_watch_;
  RoomWaits room_waits_;
  PolicySettings policy_;
  Memory memory_;
  std::unique_ptr<SegmentPool> pool_;
  TagMarks tag_marks_;  // outlives all tables
  std::atomic<Sleeper*> background_{nullptr};
  std::atomic<std::uint64_t> most_of_collection_{0};
  std::atomic<std::int64_t> measurement_asked_us_{0};
  std::atomic<std::uint64_t> gave_up_at_{0};  // bytes of data when the background last found that nothing more could be evicted
  std::mutex to_free_mutex_;
  struct RemovedTable {
    std::uint64_t number;
    std::unique_ptr<Table> table;
  };
  std::list<RemovedTable> tables_to_free_;  // removed tables, the oldest first; guarded by to_free_mutex_, like the next two
  std::list<RemovedTable> freeing_;         // tables of which a thread is freeing a piece at the moment
  std::uint64_t tables_removed_ = 0;        // tables that were ever removed
  // The next four are written with all shards locked, and read with at least one shard locked.
  std::uint64_t purges_ = 0;  // purges that were ever accepted
  // By database: the number that its next purges get as Purge::database. SWAPDB gives the database a new one.
  std::array<std::uint64_t, database_count> databases_;
  std::uint64_t next_database_ = database_count;
  std::array<DatabaseHistory, database_count> histories_;
  std::vector<std::unique_ptr<Shard>> shards_;
  unsigned shard_mask_;
  // These two are written with all shards locked, and read with at least one shard locked.
  const KeySwitches* key_switches_ = nullptr;  // null: no switch is on
  std::uint64_t views_ = 0;                    // how often the switches were set
  AccessSamples samples_;
  std::atomic<bool> active_expire_{true};
  std::atomic<MonoMs> keep_expired_until_{};
  unsigned background_shard_ = 0;
  unsigned prepared_shards_ = 0;  // shards that prepare_eviction() has been through in this round
  std::atomic<std::uint64_t> erasures_asked_{0};
  std::atomic<std::uint64_t> erasures_done_{0};
  std::atomic<bool> releasing_spare_{false};
  // How far the erasure has come. Used by the background worker only.
  struct {
    std::uint64_t number = 0;     // the number of the pass that is under way, or else of the last one
    unsigned shard = 0;           // the shard that comes next
    bool blocks = false;          // whether all free memory of the heap of blocks has been overwritten
    const char* block = nullptr;  // where to go on in that memory
    // `rest`: the pass has seen everything. It waits until the removed tables and the leftovers up to the numbers below are
    // freed, and until their memory is given back to the system.
    bool rest = false;
    std::uint64_t tables = 0;
    bool tables_are_free = false;  // the tables up to `tables` are freed, so `leftovers` is set
    std::uint64_t leftovers = 0;
    bool all_is_noted = false;  // the leftovers are freed too, so the next two are set
    std::uint64_t noted_blocks = 0;
    std::uint64_t noted_segments = 0;
  } erasing_;
};

}  // namespace pinfold::store
