#pragma once
// The leases of one shard, and who waits for them. Guarded by the shard's lock.
//
// A lease is the right, and the duty, to fill a key: a token and a deadline. At most one per key is alive. It ends when its
// holder fills the key or gives it back, when its deadline passes, and when the key is written, removed, flushed or purged by
// anybody else: then it is void, and a fill with its token is refused. So what was read from the origin before a change
// cannot be stored after it (Nishtala et al., "Scaling Memcache at Facebook", 2013, section 3.2.1).
//
// Leases are not visited when their database is flushed, or tags or a prefix are purged, because there may be any number of
// them: whoever looks at one next finds that it has been (notice_others). Only those that somebody waits for are visited soon, by
// the background.
//
// Who waits is answered in order: all of them when there is a value, the one who has waited longest with a new lease when the
// old one ended without. A key is in the map only while there is something to know about it.

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

/// Who asks for a lease, and for which.
struct LeaseRequest {
  const Policy* policy = nullptr;  // of the key
  std::int64_t ms = 0;             // how long it is to last
  std::uint64_t client = 0;
  /// Of the entry that a fill would replace, as store::Extra keeps them: a purge of one of them voids the lease.
  std::string_view tags = {};
};

/// What asking for a lease came to.
struct Grant {
  enum class Outcome : std::uint8_t { granted, held, backing_off, used_up };
  Outcome outcome = Outcome::used_up;
  std::uint64_t token = 0;
  std::int64_t ms = 0;  // how long it lasts, or when to ask again
  struct Held {
    std::uint64_t token = 0;   // of the lease that is alive; 0: there is none
    std::uint64_t holder = 0;  // the client that it was granted to
    MonoMs granted;
  };
  Held held = {};  // only if the outcome is `held`
};

class Leases final : public store::Observer {
 public:
  Leases(Cache& cache, unsigned shard);

  /// What a lease may take. Whether that much is to be had beside the data is the caller's to ask.
  static std::size_t memory_of_lease(std::string_view key, std::string_view tags);
  /// A lease of `key`, unless somebody has one. O(log leases).
  Grant grant(unsigned db, const store::Key& key, const LeaseRequest& request, MonoMs now);
  /// Whether the lease can be used to fill the key.
  bool is_valid(unsigned db, std::string_view key, std::uint64_t token, MonoMs now);
  /// Whether what its holder has read may be older than a purge of one of these tags.
  bool outdated(unsigned db, std::string_view key, std::string_view tags);
  /// For how long the lease has been alive, in milliseconds; 0 if it is not.
  std::int64_t age_ms(unsigned db, std::string_view key, std::uint64_t token, MonoMs now);
  /// While one exists, writes to the key are its lease holder's own. If the fill took place, the lease ends with it.
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

  /// Gives a lease back: to the one who has waited longest, or with `retry_ms` to nobody for that long. False if the token
  /// is not alive.
  bool release(unsigned db, const store::Key& key, std::uint64_t token, std::int64_t retry_ms, MonoMs now);
  bool renew(unsigned db, std::string_view key, std::uint64_t token, std::int64_t ms, MonoMs now);

  /// Fills with a version up to this one are refused until then. Whether there is room to remember that is the caller's to ask.
  static std::size_t memory_of_refused(std::string_view key);
  void refuse_versions(unsigned db, std::string_view key, std::uint64_t version, MonoMs until, MonoMs now);
  /// The version up to which fills are refused; 0 if there is none.
  std::uint64_t refused_version(unsigned db, std::string_view key, MonoMs now) const;

  /// Waits for the key, on which somebody holds a lease; returns the ticket of the wait, 0 if too many wait already.
  std::uint64_t wait(unsigned db, const store::Key& key, const Waiter& waiter);
  /// Gives up a wait. False if it is over: the answer is on its way, or was given.
  bool give_up(unsigned db, std::string_view key, std::uint64_t ticket);

  struct Look {
    std::int64_t lease_ms = 0;  // left of the lease, 0 if there is none
    std::uint64_t waiters = 0;
    std::uint64_t token = 0;  // of the lease, 0 if there is none
  };
  Look look(unsigned db, std::string_view key, MonoMs now);

  /// Looks whether the lease of a key somebody waits for has run out.
  void alarm(unsigned db, std::string_view key, MonoMs now);
  /// Looks at up to so many keys that somebody waits for, because of a flush or a purge, or at fewer if that is much work. True if there
  /// are more.
  bool tell_waiting(std::size_t most, MonoMs now);
  /// How many leases and refused versions to look at now, so that it is all of them within a second or so.
  std::size_t due() const;
  /// Forgets what has run out among up to so many leases, fewer if that is much work, and among as many refused versions. Returns how
  /// many of due() that were.
  std::size_t tend(std::size_t most, MonoMs now);

  void changed(const store::Change& change) noexcept override;
  void settle() override;

 private:
  using Name = DbName;
  using NameView = DbNameView;
  struct State {
    std::uint64_t token = 0;   // 0: no lease
    std::uint64_t holder = 0;  // the client that it was granted to
    MonoMs granted;
    MonoMs deadline;
    std::uint64_t epoch = 0;    // as Cache::begin_lease() gave it; 0: purges need not be remembered for it any longer
    std::uint64_t noticed = 0;  // the epoch up to which purges were noticed
    std::string tags;           // of the entry that it is to replace
    std::uint8_t policy = 0;    // slot
    MonoMs retry_at;            // no lease before that
    Waiters waiters;
    std::uint64_t alarm = 0;  // its number; 0: none is set
    MonoMs alarm_at;
    const Name* name = nullptr;
    std::uint64_t generation = 0;  // of its database when it was last looked at
    bool unsettled = false;
    bool listed = false;  // in waited_for_
    State* next_unsettled = nullptr;
  };
  using States = std::map<Name, State, DbNameLess>;
  /// Versions of one key up to which fills are refused.
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
  void end_lease(State& state);
  void forget_tags(State& state);
  void end_expired(States::iterator at, MonoMs now);
  void end_some_expired(MonoMs now);
  std::size_t tend_states(std::size_t most, MonoMs now);
  std::size_t notice_others(States::iterator at);
  static std::size_t cost_to_settle(const State& state);
  Grant grant_to(unsigned db, const store::Key& key, const LeaseRequest& request, MonoMs now, bool waited);
  void written(unsigned db, const store::Key& key);
  void flushed(unsigned db);
  void disturb(States::iterator at);
  void want_settling(States::iterator at);
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
  State* unsettled_ = nullptr;   // a list: to note one more takes no memory
  bool sooner_ = false;          // an alarm was set before all others: the background is to know when the lock is given back
  std::set<State*> waited_for_;  // those with waiters, and some that had any
  State* told_ = nullptr;        // the last that tell_waiting() has looked at; it may be gone
  Filling* filling_ = nullptr;
  std::array<std::uint64_t, store::database_count> generations_{};  // a flush is a new one
  States::iterator tended_ = states_.end();                         // the next that tend() looks at
  RefusedVersions::iterator tended_refused_ = refused_.end();
  MonoMs ended_expired_;  // when some were last looked at because leases were used up
};

}  // namespace pinfold::cache
