#pragma once
// What makes the store a cache: the leases of all shards, the policies, and purges by tag or prefix. There is one Cache, which
// all I/O threads and the background worker use.

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/counter.hpp"
#include "pinfold/base/histogram.hpp"
#include "pinfold/cache/alarms.hpp"
#include "pinfold/cache/answer.hpp"
#include "pinfold/cache/gone_sources.hpp"
#include "pinfold/cache/leases.hpp"
#include "pinfold/cache/policies.hpp"
#include "pinfold/cache/purged_prefixes.hpp"
#include "pinfold/cache/purged_tags.hpp"
#include "pinfold/cache/switches.hpp"
#include "pinfold/cache/tracking_table.hpp"
#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/purges.hpp"

namespace pinfold::cache {

/// Why a request for a lease got none: the setting max-leases, that of its policy, or there is no memory for it.
struct LeaseRefusal {
  enum : std::uint8_t { max_leases, policy, memory, count };
};
/// Why a client that would wait for a load does not: max-lease-waiters, nobody loads because a lease was refused, or memory.
struct WaitRefusal {
  enum : std::uint8_t { max_waiters, no_lease, memory, count };
};
/// Why a fill was refused: its token is of no lease, or of one that is void; one of its tags was purged since its lease was granted; its
/// version is not newer; or something that it depends on was invalidated since its lease was granted, or may have been, or is stale.
struct FillRefusal {
  enum : std::uint8_t { token, tag, version, dependency, count };
};

/// Counters since the start or the last reset. Those from `granted` to `released` count leases. Thread-safe.
struct CacheCounters {
  std::atomic<std::uint64_t> granted{0};
  std::atomic<std::uint64_t> filled{0};
  std::atomic<std::uint64_t> voided{0};
  std::atomic<std::uint64_t> expired{0};
  std::atomic<std::uint64_t> released{0};
  std::array<std::atomic<std::uint64_t>, LeaseRefusal::count> no_lease{};
  std::array<std::atomic<std::uint64_t>, WaitRefusal::count> no_wait{};
  std::array<std::atomic<std::uint64_t>, FillRefusal::count> no_fill{};
  std::atomic<std::uint64_t> stale_hits{0};
  std::atomic<std::uint64_t> negative_hits{0};
  std::atomic<std::uint64_t> early_refreshes{0};
  std::atomic<std::uint64_t> purges_tags{0};
  std::atomic<std::uint64_t> purges_prefix{0};
  std::atomic<std::uint64_t> cascades{0};         // CACHE.INVALIDATE with CASCADE
  std::atomic<std::uint64_t> cascade_entries{0};  // entries that these have removed or made stale, without those that they name

  void reset();
};

/// Reads of keys under one policy by the clients of one I/O thread, which is the only writer.
struct PolicyReads {
  Counter hits;
  Counter stale_hits;
  Counter negative_hits;
  Counter misses;
};
/// The same of all threads together, since the start, the last reset, or since the policy was made.
struct PolicyReadTotals {
  std::uint64_t hits = 0;
  std::uint64_t stale_hits = 0;
  std::uint64_t negative_hits = 0;
  std::uint64_t misses = 0;
};

/// The other counters of one policy. Thread-safe.
struct PolicyCounters {
  std::atomic<std::uint64_t> leases{0};   // granted
  std::atomic<std::uint64_t> loads{0};    // leases that were filled
  std::atomic<std::uint64_t> load_ms{0};  // from the grants of these to their fills, together
  std::atomic<std::int64_t> leases_alive{0};

  /// Sets all to 0, except for `leases_alive`.
  void reset();
};

/// Thread-safe, except where a function says which locks it needs. A function that locks shards by itself must be called with
/// nothing locked. Times are milliseconds, sizes bytes.
class Cache {
 public:
  /// Makes a Leases for each shard, which subscribes to the changes there. So the Cache must be made before requests come. The
  /// keyspace must outlive it.
  explicit Cache(store::Keyspace& keyspace, unsigned threads = 1);
  ~Cache();
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  store::Keyspace& keyspace() { return keyspace_; }
  /// The leases of the key's shard. The shard must be locked while they are used.
  Leases& leases(const store::Key& key) { return *shards_[keyspace_.shard_of(key)]; }
  /// The sources that have gone in the key's shard, which must be locked while they are used.
  const GoneSources& gone_sources(const store::Key& key) const { return *gone_sources_[keyspace_.shard_of(key)]; }
  /// The token that the next lease gets. A lease with a lower token was granted before.
  std::uint64_t upcoming_token() const { return tokens_.load(std::memory_order_relaxed); }

  // Settings. They may change at run time.
  std::atomic<std::uint64_t> max_leases{100'000};
  std::atomic<std::uint64_t> max_waiters{100'000};
  std::atomic<std::int64_t> lease_ms{10'000};

  /// Whether plain reads depend on policies or on serve-stale.
  bool guards_reads() const { return policies() != nullptr || keyspace_.serves_stale(); }
  /// negative-memory: how many percent of maxmemory negative entries may occupy before they are evicted first.
  std::atomic<unsigned> negative_percent{5};
  /// A new ticket: the number of one wait of one client.
  std::uint64_t next_ticket() { return tickets_.fetch_add(1, std::memory_order_relaxed); }

  /// Sets all counters to 0 (CONFIG RESETSTAT).
  void reset_counters();
  CacheCounters counters;
  /// From the grants of leases to their fills: what a miss costs.
  SharedHistogram load_durations;
  /// How long clients have waited for the holder of a lease, whatever they were answered in the end.
  SharedHistogram wait_durations;
  /// How far past its deadline a stale value was when a reader got it: a microsecond of the histogram is a millisecond, so that it reaches
  /// to 4.7 hours.
  SharedHistogram stale_ages;
  std::uint64_t leases_alive() const { return positive(leases_alive_); }
  std::uint64_t waiters() const { return positive(waiters_); }
  /// Purges that are not over, or whose end tell_finished() has not told yet.
  std::uint64_t purges_pending() const { return purges_pending_.load(std::memory_order_relaxed); }

  /// Whether leases, waiting clients and refused versions may take `bytes` more. They may not if they would then take,
  /// together with purges, more than an eighth of maxmemory, or 1 GB if there is no maxmemory. Purges are not refused for that
  /// sum: they are bounded by most_purges, and in bytes by a bound of their own.
  bool has_room(std::size_t bytes) const;

  // --- policies ---

  /// The policies; null if there are none, so that plain commands then pay nothing. The caller must have a shard locked, and
  /// may use the set until it unlocks that shard: set_policies() locks all shards before it replaces a set.
  const PolicySet* policies() const { return policies_.load(std::memory_order_acquire); }
  /// The policy of a key; null if none matches. Needs the same lock as policies().
  const Policy* policy_of(std::string_view key) const {
    const PolicySet* const set = policies();
    return set != nullptr ? set->match(key) : nullptr;
  }
  /// For how many milliseconds an entry without a deadline may be served as stale after a soft purge. Needs the same lock as
  /// policies().
  std::uint32_t soft_stale_ms(std::string_view key) const;
  PolicyCounters& counters_of(std::uint8_t slot) { return slots_[slot]; }
  /// The reads that the I/O thread with this index counts for the policy in a slot. Slot 0 is for keys without a policy, and is not shown.
  PolicyReads& reads_of(unsigned thread, std::uint8_t slot) { return reads_[thread]->now[slot]; }
  PolicyReadTotals reads_of(std::uint8_t slot) const;
  /// Replaces the policies. They are in force for every command when it returns. Locks all shards. The caller must have locked
  /// policies_mutex().
  void set_policies(std::vector<Policy> policies);
  /// Sets the settings `admit` and `bypass`, which are in force for every command when it returns. Locks all shards. The caller
  /// must have locked policies_mutex(). Throws std::bad_alloc; then nothing has changed.
  void set_switches(const Switches& switches);
  /// Whether reads do not find the key because of bypass. Needs the same lock as policies().
  bool bypassed(std::string_view key) const {
    const store::KeySwitches* const switches = keyspace_.key_switches();
    return switches != nullptr && switches->bypasses({key, 0});
  }
  /// A token that no lease has, so that a fill with it is refused. For a client that is to load a key which is bypassed.
  std::uint64_t void_token() { return next_token(); }
  SwitchCounts switch_counts;
  /// How many policies have a switch on. For figures.
  struct PoliciesSwitched {
    std::atomic<std::uint64_t> admit{0};  // below 100 %
    std::atomic<std::uint64_t> bypass{0};
    std::atomic<std::uint64_t> serve_stale{0};
    std::atomic<std::uint64_t> no_leases{0};
  };
  PoliciesSwitched policies_switched;
  /// A copy of the policies, to be shown or changed. The caller must have locked policies_mutex(). To change policies, a caller
  /// must keep it locked from policies_copy() until set_policies() has returned.
  std::vector<Policy> policies_copy() const;
  /// Guards changes of the policies. It must be locked before any shard: a thread that has a shard locked, as during EXEC, must
  /// not wait for it.
  std::mutex& policies_mutex() { return policies_mutex_; }

  // --- client-side caching ---

  /// Which clients have read which keys.
  TrackingTable tracking;

  // --- purges ---

  /// How many purges may be pending. Their memory has a bound of its own, which is as large as that of has_room().
  static constexpr std::uint64_t most_purges = 4096;
  /// The most bytes that a purge of these names takes. For the caller that makes room before purge().
  std::uint64_t most_memory_of_purge(const std::vector<std::string>& names) const;
  /// Purges all entries with tags of one of these names (store/tag_names.hpp), or with the prefix names[0]. The purge is in force
  /// for every reader when it returns, and the background worker sweeps for it afterwards. With `soft`, entries become stale instead
  /// of being removed, as far as they can (store/purges.hpp).
  /// With `wipe`, the sweep is followed by an erasure: it overwrites what the entries have left in memory. `tell` is called by
  /// tell_finished() when all of that is done. Returns null if too many purges are pending; then nothing was done. Throws
  /// std::bad_alloc; then the purge may be in force for a part of the entries. `held` must have all shards or none. `accepted` is called
  /// with all shards locked when it is certain that the purge is not refused, and before it is in force.
  std::shared_ptr<store::Purge> purge(unsigned db, bool by_prefix, std::vector<std::string> names, bool soft, bool wipe,
                                      std::function<void(const store::Purge&)> tell, store::Keyspace::Locks& held,
                                      const std::function<void()>& accepted = {});

  // --- waiting ---

  /// The I/O threads, through which waiting clients are answered; null: there are none. Set by Engine::connect() before
  /// requests come.
  ClientThreads* client_threads = nullptr;
  /// When run_alarms() is due next; MonoMs::never() if no alarm is set.
  MonoMs next_alarm() const { return alarms_.next(); }
  /// Looks at the keys whose alarms are due by `now`: their leases run out. Called by the background worker.
  void run_alarms(MonoMs now);
  /// Forgets some of the leases, refused versions and purges that have run out, and brings the quotas of policies up to date.
  /// Called by the background worker now and then.
  void tend(MonoMs now);
  /// After a flush or a purge, looks at the keys that clients wait for, some in each hold of a lock. Called by the background
  /// worker in each round. Costs one comparison if there was no flush and no purge.
  void tell_waiting();
  /// Calls `tell` of the purges that are over. Called by the background worker.
  void tell_finished();
  /// What a client is told after its wait was given up.
  struct GivenUp {
    std::int64_t ms = 0;      // in how many milliseconds to ask again
    std::uint64_t token = 0;  // the token of the lease that the client has waited for; 0 if the lease has ended
  };
  /// Ends a wait without an answer. The caller must ignore an answer that is already on its way.
  GivenUp give_up(unsigned db, std::string_view key, std::uint64_t ticket);
  /// Releases a lease whose token has reached no client.
  void return_token(const TokenOf& token);

 private:
  friend class Leases;

  static std::uint64_t positive(const std::atomic<std::int64_t>& n) {
    const std::int64_t now = n.load(std::memory_order_relaxed);
    return now > 0 ? static_cast<std::uint64_t>(now) : 0;
  }
  std::uint64_t next_token() { return tokens_.fetch_add(1, std::memory_order_relaxed); }
  void update_priorities();
  void count_switched();
  void publish_switches(std::unique_ptr<const SwitchSet>& switches);
  void note_purge(unsigned db, const store::Purge& purge);
  std::uint64_t coalescing_share() const;
  std::uint64_t cost_of(const store::Purge& purge) const;
  bool is_over(store::Purge& purge);
  // These are for Leases, which calls them with a shard locked.
  std::uint64_t begin_lease() { return purged_tags_.begin_lease(); }
  void end_lease(std::uint64_t purge_number) { purged_tags_.end_lease(purge_number); }
  std::uint64_t last_purge() const { return purged_tags_.last_purge(); }
  bool tags_purged_since(unsigned db, std::uint64_t purge_number, std::string_view encoded_tags, std::size_t& looked_at) const {
    return purged_tags_.purged_since(db, purge_number, encoded_tags, looked_at);
  }
  bool purged_since(unsigned db, std::uint64_t purge_number, std::string_view key, std::string_view encoded_tags,
                    std::size_t& looked_at) const {
    return purged_prefixes_.purged_since(db, purge_number, key, looked_at) || tags_purged_since(db, purge_number, encoded_tags, looked_at);
  }
  // Asks the background worker to call tell_waiting().
  void ask_to_tell();
  // Sets an alarm (Alarms::set). Sets `sooner` if it is due before all others.
  std::uint64_t add_alarm(MonoMs at, unsigned shard, unsigned db, std::string_view key, bool& sooner);
  void cancel_alarm(MonoMs at, std::uint64_t number) { alarms_.cancel(at, number); }

  store::Keyspace& keyspace_;
  std::vector<std::unique_ptr<Leases>> shards_;
  std::vector<std::unique_ptr<GoneSources>> gone_sources_;  // by shard
  std::atomic<std::uint64_t> tokens_;
  std::atomic<std::uint64_t> tickets_{1};
  std::atomic<std::int64_t> leases_alive_{0};
  std::atomic<std::int64_t> waiters_{0};
  std::atomic<std::uint64_t> purges_pending_{0};
  std::atomic<std::uint64_t> purges_cost_{0};  // the most bytes that the pending purges take

  std::atomic<const PolicySet*> policies_{nullptr};
  std::unique_ptr<const PolicySet> policies_owner_;
  Switches switches_;                            // the settings; guarded by policies_mutex_
  std::unique_ptr<const SwitchSet> switch_set_;  // null: no switch is on
  mutable std::mutex policies_mutex_;
  std::array<PolicyCounters, 256> slots_;
  // The counters of each thread, and what they were at the last reset.
  struct ThreadReads {
    std::array<PolicyReads, 256> now;
    std::array<PolicyReads, 256> before;
  };
  void reset_reads(std::uint8_t slot);
  std::vector<std::unique_ptr<ThreadReads>> reads_;  // by thread
  mutable std::mutex reads_mutex_;                   // guards ThreadReads::before

  // The list of swept purges whose end is still to be told. The store refers to this object weakly (Purge::owner).
  class Finished final : public store::PurgeOwner {
   public:
    explicit Finished(const Cache& cache) : cache_(cache) {}
    std::uint32_t stale_ms(std::string_view key) override { return cache_.soft_stale_ms(key); }
    void over(const std::shared_ptr<store::Purge>& purge) noexcept override;
    // Takes all purges out and returns them as a list.
    std::shared_ptr<store::Purge> take();

   private:
    const Cache& cache_;
    std::mutex mutex_;
    std::shared_ptr<store::Purge> first_;  // the list, linked by Purge::next, so that adding a purge takes no memory
  };
  std::shared_ptr<Finished> finished_ = std::make_shared<Finished>(*this);

  Alarms alarms_;
  PurgedTags purged_tags_;
  PurgedPrefixes purged_prefixes_;
  std::atomic<bool> to_tell_{false};
};

}  // namespace pinfold::cache
