#pragma once
// The leases of one shard, and the clients that wait for them.
//
// A lease is the right and the duty of one client to fill a key: a token and a deadline. At most one lease of a key is alive. A
// lease ends when its holder fills the key or releases the lease, or when its deadline passes. It also ends when a
// command other than that fill writes or removes the key or makes it stale, and when the key is flushed or purged. (Expiry and
// eviction do not end it.) Then the lease is void: a fill with its token is refused. So a
// value that was read from the origin before a change cannot be stored after it (Nishtala et al., "Scaling Memcache at
// Facebook", 2013, section 3.2.1).
//
// A flush or a purge visits no leases, because there may be any number of them. Instead, a lease is compared with the latest
// flushes and purges when it is next looked at (check_for_purges). The background worker soon looks at the keys that clients
// wait for.
//
// Waiting clients are answered in the order of their tickets. When the key gets a value, all are answered with it. When a lease
// ends without a value, the next lease goes to the client that has waited longest among those that want one. `states_` has a
// key only while the key has a lease, a waiting client, or a time in which no lease is granted.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "pinfold/base/clock.hpp"
#include "pinfold/cache/answer.hpp"
#include "pinfold/cache/db_name.hpp"
#include "pinfold/store/changes.hpp"
#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/value.hpp"

namespace pinfold::cache {

class Cache;
struct Policy;

/// A request for a lease. A plain value; its views are the caller's.
struct LeaseRequest {
  const Policy* policy = nullptr;  // the policy of the key; null: none
  std::int64_t ms = 0;             // how many milliseconds the lease is to last
  std::uint64_t client = 0;        // the client that asks
  /// The tags of the entry that the fill would replace, as store::Extra keeps them. A purge of one of these tags voids the
  /// lease.
  std::string_view tags = {};
};

/// The answer to a LeaseRequest. A plain value.
struct Grant {
  /// `granted`: here is a lease. `held`: another client has the lease, or others wait for the next one. `backing_off`: the
  /// origin has failed, and no lease is granted for a while (CACHE.RELEASE with RETRY). `used_up`: no further lease may be
  /// granted, because of max-leases or for want of memory. `bypassed`: nobody gets a lease of a key that is bypassed, and every
  /// client is to load it.
  enum class Outcome : std::uint8_t { granted, held, backing_off, used_up, bypassed };
  Outcome outcome = Outcome::used_up;
  std::uint64_t token = 0;  // of the lease that was granted; 0: none was
  std::int64_t ms = 0;      // for how many milliseconds the lease lasts; without a lease, in how many to ask again
  struct Held {
    std::uint64_t token = 0;   // the token of the lease that is alive; 0: there is none
    std::uint64_t holder = 0;  // the client that has it
    MonoMs granted;            // when it was granted
  };
  Held held = {};  // set only if the outcome is `held`
};

/// Not thread-safe: guarded by the shard's lock, which the caller of any function must hold. Times in `ms` are milliseconds. A
/// function that takes a key is O(log leases), where a wait or a refused version counts as a lease. Functions that add
/// something throw std::bad_alloc.
class Leases final : public store::Observer {
 public:
  /// The leases of shard number `shard`. `cache` must outlive them.
  Leases(Cache& cache, unsigned shard);

  /// The most bytes that a lease takes. Before grant(), the caller must make sure that the memory limit has room for them.
  static std::size_t memory_of_lease(std::string_view key, std::string_view tags);
  /// Grants a lease of `key` if there is none, and none of the reasons in Grant::Outcome forbids it.
  Grant grant(unsigned db, const store::Key& key, const LeaseRequest& request, MonoMs now);
  /// Whether the lease with this token is alive, so that it can be used to fill the key.
  bool is_valid(unsigned db, std::string_view key, std::uint64_t token, MonoMs now);
  /// Whether one of these tags was purged since the key's lease was granted, or may have been. Then the value that its holder has
  /// read from the origin may be older than the purge.
  bool outdated(unsigned db, std::string_view key, std::string_view tags);
  /// How long ago the lease with this token was granted, in milliseconds; 0 if it is not alive.
  std::int64_t age_ms(unsigned db, std::string_view key, std::uint64_t token, MonoMs now);
  /// Marks a fill. While a Filling exists, a write of its key counts as the lease holder's own and does not void the lease. If
  /// there was a write, the destructor ends the lease. From construction to destruction the shard must stay locked, and the
  /// text of the key must stay valid. A shard may have only one at a time.
  class Filling {
   public:
    Filling(Leases& leases, unsigned db, std::string_view key) : leases_(leases), db_(db), key_(key) { leases_.filling_ = this; }
    ~Filling();
    Filling(const Filling&) = delete;
    Filling& operator=(const Filling&) = delete;

   private:
    friend class Leases;
    Leases& leases_;
    unsigned db_;
    std::string_view key_;
    bool written_ = false;
  };

  /// Ends a lease without a fill. The client that has waited longest, and wants a lease, gets the next one. With `retry_ms`
  /// above 0, no lease of the key is granted for that long. Returns false if the lease with this token is not alive.
  bool release(unsigned db, const store::Key& key, std::uint64_t token, std::int64_t retry_ms, MonoMs now);
  /// Lets the lease last `ms` from `now`. Returns false if the lease with this token is not alive.
  bool renew(unsigned db, std::string_view key, std::uint64_t token, std::int64_t ms, MonoMs now);

  /// The bytes that one refused version takes. Before refuse_versions(), the caller must make sure that there is room for them.
  static std::size_t memory_of_refused(std::string_view key);
  /// Notes that fills with `version` or a lower one are refused until the time `until`.
  void refuse_versions(unsigned db, std::string_view key, std::uint64_t version, MonoMs until, MonoMs now);
  /// The version up to which fills are refused; 0 if there is none.
  std::uint64_t refused_version(unsigned db, std::string_view key, MonoMs now) const;

  /// Adds a client that waits for the key. The key must have a lease, or other clients that wait for the next one. Returns the
  /// ticket of the wait; 0 if the client cannot wait, because Cache::max_waiters or Cache::has_room() forbids it.
  std::uint64_t wait(unsigned db, const store::Key& key, const Waiter& waiter);
  /// Ends a wait without an answer. Returns false if the wait is over already: its answer is on its way, or was given.
  bool give_up(unsigned db, std::string_view key, std::uint64_t ticket);

  /// What is known of one key.
  struct Look {
    std::int64_t lease_ms = 0;  // how many milliseconds the lease still lasts; 0 if there is none
    std::uint64_t waiters = 0;  // clients that wait for the key
    std::uint64_t token = 0;    // the token of the lease; 0 if there is none
  };
  Look look(unsigned db, std::string_view key, MonoMs now);

  /// Ends the lease of a key if its deadline has passed. Called when the alarm of the key is due. A lease gets an alarm when
  /// clients wait for it.
  void alarm(unsigned db, std::string_view key, MonoMs now);
  /// After a flush or a purge, looks at up to `most` more keys that clients wait for. Stops earlier if they are much work.
  /// Returns false at the end of all such keys.
  bool tell_waiting(std::size_t most, MonoMs now);
  /// How many leases one call of Cache::tend() is to look at in this shard, and how many refused versions. It is an eighth of
  /// the leases or of the refused versions, whichever are more, but at least 64 and at most 8192. So about eight calls see up
  /// to 65536 of each.
  std::size_t due() const;
  /// Looks at up to `most` more leases, and at up to `most` more refused versions. Forgets those that have run out. Stops
  /// earlier if the leases are much work. Returns the number of leases that it looked at, or `most` at the end of all leases.
  /// The caller goes on until the sum reaches due().
  std::size_t tend(std::size_t most, MonoMs now);

  void changed(const store::Change& change) noexcept override;
  void settle() override;

 private:
  using Name = DbName;
  using NameView = DbNameView;
  /// What a write has not stored because a switch does not admit its key: a value, or that there is none (a negative entry). The
  /// clients that wait for the key are answered with it.
  struct Unstored {
    std::shared_ptr<const SharedValue> value;  // null for a negative entry
    UnixMs until = 0;                          // the deadline; 0: none
    // The generation of the database and the last purge as of the write: a flush or a purge after it is not undone.
    std::uint64_t generation = 0;
    std::uint64_t last_purge = 0;
  };
  struct State {
    std::uint64_t token = 0;   // 0: no lease
    std::uint64_t holder = 0;  // the client that has the lease
    MonoMs granted;
    MonoMs deadline;
    std::uint64_t purge_number = 0;      // what Cache::begin_lease() has returned; 0: no purge need be remembered for this lease any longer
    std::uint64_t checked_up_to = 0;     // the number of the last purge with which the lease was compared
    std::string tags;                    // the tags of the entry that the fill is to replace
    std::unique_ptr<Unstored> unstored;  // what the last write has not stored, for settle(); null: nothing
    std::uint8_t policy = 0;             // the slot of the policy
    MonoMs retry_at;                     // until then no lease is granted
    Waiters waiters;
    std::uint64_t alarm = 0;       // the number of the alarm; 0: none is set
    MonoMs alarm_at;               // when the alarm is due
    const Name* name = nullptr;    // the key in the map
    std::uint64_t generation = 0;  // the value of generations_ when the lease was last looked at
    bool wants_settle = false;     // whether it is in the list that settle() goes through
    bool listed = false;           // whether it is in waited_for_
    State* next_to_settle = nullptr;
  };
  using States = std::map<Name, State, DbNameLess>;
  /// Up to which version fills of one key are refused, and until when.
  struct Refused {
    std::uint64_t version = 0;
    MonoMs until;
  };
  using RefusedVersions = std::map<Name, Refused, DbNameLess>;

  States::iterator find(unsigned db, std::string_view key);
  State* alive(unsigned db, std::string_view key, std::uint64_t token, MonoMs now);
  States::iterator add(unsigned db, std::string_view key);
  void erase(States::iterator at);
  void forget_if_idle(States::iterator at, MonoMs now);
  void note_load(const State& state);
  void end_lease(State& state);
  void forget_tags(State& state);
  void end_expired(States::iterator at, MonoMs now);
  void end_some_expired(MonoMs now);
  std::size_t tend_states(std::size_t most, MonoMs now);
  std::size_t check_for_purges(States::iterator at);
  static std::size_t cost_to_settle(const State& state);
  Grant grant_to(unsigned db, const store::Key& key, const LeaseRequest& request, MonoMs now, bool waited);
  void written(const store::Change& change);
  void keep_unstored(State& state, const store::Change& change);
  bool answer_unstored(States::iterator at, UnixMs now);
  void flushed(unsigned db);
  void void_lease(States::iterator at);
  void want_settle(States::iterator at);
  void set_alarm(States::iterator at);
  void cancel_alarm(State& state);
  void settle_key(States::iterator at, const Moment& now);
  void answer_all(State& state, Answer answer);
  void answer_stale(State& state, Answer answer);
  void answer(State& state, Waiters::iterator who, Answer answer);
  void deliver(State& state, const std::shared_ptr<Answers>& answers);
  void hand_over(States::iterator at, std::string_view tags, MonoMs now);

  Cache& cache_;
  const unsigned shard_;
  store::Changes::Subscription subscription_;
  States states_;
  RefusedVersions refused_;
  State* to_settle_ = nullptr;   // the list that settle() goes through, linked by State::next_to_settle so that adding takes no memory
  bool sooner_ = false;          // an alarm was set that is due before all others, so settle() wakes the background worker
  std::set<State*> waited_for_;  // the states with waiting clients; one whose clients are gone may stay until tell_waiting() meets it
  State* told_ = nullptr;        // the state that tell_waiting() has looked at last; only compared, because it may be destroyed
  Filling* filling_ = nullptr;
  std::array<std::uint64_t, store::database_count> generations_{};  // by database; grows with each flush or exchange
  States::iterator tended_ = states_.end();                         // the state that tend() looks at next
  RefusedVersions::iterator tended_refused_ = refused_.end();       // the same for refused versions
  MonoMs ended_expired_;  // when end_some_expired() last looked for leases that have run out, which it does when leases are used up
};

}  // namespace pinfold::cache
