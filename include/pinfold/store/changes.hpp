#pragma once
// Where the changes of one shard's entries are told, and to whom. Guarded by the shard's lock; takes no memory.
//
// Everything that changes an entry tells it here, once, with its cause: commands through Database, expiry, eviction and purges in
// Table, FLUSHDB, FLUSHALL and SWAPDB in Keyspace. Each observer says which causes it wants and whether it listens at the moment.
// While nobody listens for a cause, telling it costs one comparison.
//
// An entry that moves within the log (compaction, eviction that keeps it) has not changed. RENAME, COPY and MOVE are what they do: a
// write of one key and the removal of another.

#include <cstdint>
#include <initializer_list>

#include "pinfold/store/entry.hpp"
#include "pinfold/store/value.hpp"

namespace pinfold::store {

/// What happened to a key, or to all keys of a database.
enum class Cause : std::uint8_t {
  // Stored, or its bytes changed; what was there is not told of, also if its time was up. No entry is there afterwards if the deadline of
  // what was stored had passed already.
  written,
  grown,        // filled up with zeros and nothing else: to WATCH that is no change, as in Redis (BITFIELD whose operations were refused)
  deadline,     // its deadline was set or cleared
  staled,       // a command has made it stale
  deleted,      // removed by a command, which may be for want of room to make it stale
  invalidated,  // nothing changed, but a command named the key as one whose value must not be filled with what was read before
  expired,      // removed because its time was up
  evicted,      // removed to make room
  purged,       // removed by a purge, when a look-up or the sweep has met it
  purged_soft,  // made stale by a purge, in the same way
  // Of a whole database, told once in each shard, with no key:
  flushed,    // all entries are gone
  exchanged,  // all entries are now those of another database (SWAPDB), which is told of its own
};

/// A set of causes.
class Causes {
 public:
  constexpr Causes() = default;
  constexpr Causes(std::initializer_list<Cause> causes) {
    for (const Cause cause : causes) bits_ |= 1U << static_cast<unsigned>(cause);
  }
  static constexpr Causes all() {
    Causes causes;
    causes.bits_ = (2U << static_cast<unsigned>(Cause::exchanged)) - 1;
    return causes;
  }
  constexpr bool has(Cause cause) const { return (bits_ >> static_cast<unsigned>(cause) & 1U) != 0; }
  constexpr Causes operator|(Causes other) const {
    other.bits_ |= bits_;
    return other;
  }

 private:
  std::uint32_t bits_ = 0;
};

struct Change {
  Cause cause;
  unsigned db;
  Key key;  // its text is valid during the call only
  /// The time by which the change was judged: the command's, or the background's.
  UnixMs now = 0;
  /// What was removed, as it was: for `deleted`, `expired`, `evicted` and `purged`, and for `written` where that has left no entry but
  /// removed one. Null otherwise. It is not found under its key any more.
  const Entry* before = nullptr;

  /// Whether something was removed that plain commands would have found.
  bool removed_live() const { return before != nullptr && before->live(now); }
};

/// Somebody who is told of changes in one shard, with the shard locked.
///
/// Both functions must not change the store, not even by a look-up that removes what has expired (Keyspace::glance() does not), must
/// not throw, and must report what they do to base/work.hpp. changed() must do bounded work and take no memory, because a change that
/// has happened is always told.
class Observer {
 public:
  virtual ~Observer() = default;

  /// The bytes are final, and what was removed is not found any more.
  virtual void changed(const Change& change) noexcept = 0;
  /// The lock is about to be released, and the observer has asked for this call (Changes::Subscription::want_settling). This one may
  /// look keys up as commands do. What comes up meanwhile belongs to it as well: it is not called again for that.
  virtual void settle() {}
};

class Changes {
 public:
  /// An observer's place among those of one shard. They are told in the order in which they have subscribed, which is to be before
  /// requests come. Must not outlive the Changes.
  class Subscription {
   public:
    Subscription(Changes& changes, Observer& observer, Causes causes);
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

    /// Whether the observer is to be told of changes from now on; at first it is not. O(observers).
    void listen(bool on);
    bool listening() const { return listening_; }
    /// Has settle() called before the lock is released.
    void want_settling() { unsettled_ = changes_.unsettled_ = true; }

   private:
    friend class Changes;
    Changes& changes_;
    Observer& observer_;
    const Causes causes_;
    bool listening_ = false;
    bool unsettled_ = false;
    Subscription* next_ = nullptr;
  };

  Changes() = default;
  Changes(const Changes&) = delete;
  Changes& operator=(const Changes&) = delete;

  /// Whether anybody is to be told of such a change.
  bool wants(Cause cause) const { return wanted_.has(cause); }
  /// O(observers) where somebody listens.
  void tell(Cause cause, unsigned db, const Key& key, UnixMs now) {
    if (wants(cause)) [[unlikely]]
      tell_all({.cause = cause, .db = db, .key = key, .now = now});
  }
  /// Of a removal: after the key has left the index, before the entry's bytes go.
  void tell_removed(Cause cause, unsigned db, std::uint64_t hash, const Entry& before, UnixMs now) {
    if (wants(cause)) [[unlikely]]
      tell_all({.cause = cause, .db = db, .key = {before.key(), hash}, .now = now, .before = &before});
  }

  /// Whoever releases the shard's lock calls settle() first, if this is so.
  bool unsettled() const { return unsettled_; }
  void settle() {
    if (unsettled_) [[unlikely]]
      settle_all();
  }

 private:
  void tell_all(const Change& change);
  void settle_all();
  void note_wanted();

  Causes wanted_;  // by those who listen
  bool unsettled_ = false;
  Subscription* first_ = nullptr;
};

}  // namespace pinfold::store
