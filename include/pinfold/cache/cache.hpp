#pragma once
// What makes it a cache: leases of all shards, policies, purges. One object, used by all I/O threads.

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/cache/alarms.hpp"
#include "pinfold/cache/answer.hpp"
#include "pinfold/cache/leases.hpp"
#include "pinfold/cache/policies.hpp"
#include "pinfold/cache/purged_prefixes.hpp"
#include "pinfold/cache/purged_tags.hpp"
#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/purges.hpp"

namespace pinfold::cache {

/// Since start or the last reset. Any thread may add.
struct CacheCounters {
  std::atomic<std::uint64_t> granted{0};
  std::atomic<std::uint64_t> filled{0};
  std::atomic<std::uint64_t> voided{0};
  std::atomic<std::uint64_t> expired{0};
  std::atomic<std::uint64_t> released{0};
  std::atomic<std::uint64_t> used_up{0};       // asked for when max-leases were out
  std::atomic<std::uint64_t> fill_refused{0};  // void token, or a version that is not newer
  std::atomic<std::uint64_t> waits_refused{0};
  std::atomic<std::uint64_t> stale_hits{0};
  std::atomic<std::uint64_t> negative_hits{0};
  std::atomic<std::uint64_t> early_refreshes{0};
  std::atomic<std::uint64_t> purges_tags{0};
  std::atomic<std::uint64_t> purges_prefix{0};

  void reset();
};

/// What is counted of one policy.
struct PolicyCounters {
  std::atomic<std::uint64_t> hits{0};
  std::atomic<std::uint64_t> stale_hits{0};
  std::atomic<std::uint64_t> misses{0};
  std::atomic<std::uint64_t> leases{0};  // granted
  std::atomic<std::int64_t> leases_alive{0};

  /// But for the leases that are alive.
  void reset();
};

class Cache {
 public:
  explicit Cache(store::Keyspace& keyspace);
  ~Cache();
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  store::Keyspace& keyspace() { return keyspace_; }
  /// Those of the shard of a key. Only with that shard locked.
  Leases& leases(const store::Key& key) { return *shards_[keyspace_.shard_of(key)]; }

  // Settings; changed at run time.
  std::atomic<std::uint64_t> max_leases{100'000};
  std::atomic<std::uint64_t> max_waiters{100'000};
  std::atomic<std::int64_t> lease_ms{10'000};

  /// Whether plain reads have to look at policies, or at serve-stale.
  bool guards_reads() const { return policies() != nullptr || keyspace_.serves_stale(); }
  /// negative-memory: the part of maxmemory that negative entries may take before they go first.
  std::atomic<unsigned> negative_percent{5};
  std::uint64_t next_ticket() { return tickets_.fetch_add(1, std::memory_order_relaxed); }

  /// CONFIG RESETSTAT.
  void reset_counters();
  CacheCounters counters;
  std::uint64_t leases_alive() const { return positive(leases_alive_); }
  std::uint64_t waiters() const { return positive(waiters_); }
  /// Those that were not told of yet.
  std::uint64_t purges_pending() const { return purges_pending_.load(std::memory_order_relaxed); }

  /// Whether leases and the like may take so many bytes more.
  bool has_room(std::size_t bytes) const;

  // --- policies ---

  /// Null where there are none: then plain commands pay nothing. Only while at least one shard is locked, which is what
  /// keeps a set in place.
  const PolicySet* policies() const { return policies_.load(std::memory_order_acquire); }
  const Policy* policy_of(std::string_view key) const {
    const PolicySet* const set = policies();
    return set != nullptr ? set->match(key) : nullptr;
  }
  /// How long an entry without a deadline can be used after SOFT has made it stale. As policies().
  std::uint32_t soft_stale_ms(std::string_view key) const;
  PolicyCounters& counters_of(std::uint8_t slot) { return slots_[slot]; }
  /// In force for every command when it returns. Takes all shards: nothing may be held.
  void set_policies(std::vector<Policy> policies);
  /// A copy, for showing and changing. Whoever changes holds policies_mutex() from then until set_policies(). That mutex
  /// comes before the shards: whoever holds one, as all of EXEC does, must not wait for it.
  std::vector<Policy> policies_copy() const;
  std::mutex& policies_mutex() { return policies_mutex_; }

  // --- purges ---

  /// So many may wait to be swept, if what they take of memory is not more than the share of leases and the like.
  static constexpr std::uint64_t most_purges = 4096;
  /// What a purge of these names may take, for whoever makes room before it.
  std::uint64_t most_memory_of_purge(const std::vector<std::string>& names) const;
  /// In force for every reader when it returns. Returns what is swept in the background; null: too many are pending, and nothing
  /// was done. With `wipe`, what the entries leave behind in memory is erased afterwards. `tell` is called from tell_finished()
  /// when all that is done. Throws std::bad_alloc; then it is in force for a part of the entries.
  std::shared_ptr<store::Purge> purge(unsigned db, bool by_prefix, std::vector<std::string> names, bool soft, bool wipe,
                                      std::function<void(const store::Purge&)> tell, store::Keyspace::Locks& held);

  // --- waiting ---

  /// Through which clients that wait are answered; null: there are none. Set by Engine::connect().
  ClientThreads* client_threads = nullptr;
  /// When run_alarms() is due next; MonoMs::never() if there is none. Any thread.
  MonoMs next_alarm() const { return alarms_.next(); }
  void run_alarms(MonoMs now);
  /// Forgets what has run out, some of it, and looks who is over its quota. Called by the background now and then.
  void tend(MonoMs now);
  /// Looks at the keys that clients wait for after a flush or a purge, some at a time. Called by the background in each round; costs
  /// a comparison if there was none.
  void tell_waiting();
  /// Tells of purges that are over. Called by the background.
  void tell_finished();
  struct GivenUp {
    std::int64_t ms = 0;      // when to ask again
    std::uint64_t token = 0;  // of the lease that was waited for, 0 if it has ended
  };
  /// Ends a wait from outside; the client must not be answered for it any more.
  GivenUp give_up(unsigned db, std::string_view key, std::uint64_t ticket);
  /// A token that did not reach anybody.
  void return_token(const TokenOf& token);

 private:
  friend class Leases;

  static std::uint64_t positive(const std::atomic<std::int64_t>& n) {
    const std::int64_t now = n.load(std::memory_order_relaxed);
    return now > 0 ? static_cast<std::uint64_t>(now) : 0;
  }
  std::uint64_t next_token() { return tokens_.fetch_add(1, std::memory_order_relaxed); }
  void update_standing();
  void note_purge(unsigned db, const store::Purge& purge);
  std::uint64_t herd_share() const;
  std::uint64_t cost_of(const store::Purge& purge) const;
  bool is_over(store::Purge& purge);
  // What Leases calls.
  std::uint64_t begin_lease() { return purged_tags_.begin_lease(); }
  void end_lease(std::uint64_t epoch) { purged_tags_.end_lease(epoch); }
  std::uint64_t epoch() const { return purged_tags_.epoch(); }
  bool tags_purged_since(unsigned db, std::uint64_t epoch, std::string_view encoded_tags, std::size_t& looked_at) const {
    return purged_tags_.purged_since(db, epoch, encoded_tags, looked_at);
  }
  bool purged_since(unsigned db, std::uint64_t epoch, std::string_view key, std::string_view encoded_tags, std::size_t& looked_at) const {
    return purged_prefixes_.purged_since(db, epoch, key, looked_at) || tags_purged_since(db, epoch, encoded_tags, looked_at);
  }
  /// Has the background call tell_waiting().
  void ask_to_tell();
  /// As Alarms::set.
  std::uint64_t add_alarm(MonoMs at, unsigned shard, unsigned db, std::string_view key, bool& sooner);
  void cancel_alarm(MonoMs at, std::uint64_t number) { alarms_.cancel(at, number); }

  store::Keyspace& keyspace_;
  std::vector<std::unique_ptr<Leases>> shards_;
  std::atomic<std::uint64_t> tokens_;
  std::atomic<std::uint64_t> tickets_{1};
  std::atomic<std::int64_t> leases_alive_{0};
  std::atomic<std::int64_t> waiters_{0};
  std::atomic<std::uint64_t> purges_pending_{0};
  std::atomic<std::uint64_t> purges_cost_{0};  // of those, in bytes

  std::atomic<const PolicySet*> policies_{nullptr};
  std::unique_ptr<const PolicySet> policies_owner_;
  mutable std::mutex policies_mutex_;
  std::array<PolicyCounters, 256> slots_;

  /// Purges that have been swept and are to be told of. The store refers to it, but does not keep it.
  class Finished final : public store::PurgeOwner {
   public:
    explicit Finished(const Cache& cache) : cache_(cache) {}
    std::uint32_t stale_ms(std::string_view key) override { return cache_.soft_stale_ms(key); }
    void over(const std::shared_ptr<store::Purge>& purge) noexcept override;
    /// All of them, as a list.
    std::shared_ptr<store::Purge> take();

   private:
    const Cache& cache_;
    std::mutex mutex_;
    std::shared_ptr<store::Purge> first_;  // a list: to note one more takes no memory
  };
  std::shared_ptr<Finished> finished_ = std::make_shared<Finished>(*this);

  Alarms alarms_;
  PurgedTags purged_tags_;
  PurgedPrefixes purged_prefixes_;
  std::atomic<bool> to_tell_{false};
};

}  // namespace pinfold::cache
