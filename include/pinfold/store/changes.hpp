#pragma once
// The changes of the entries in one shard, and the observers that are told of them.
//
// Each change of an entry is told here once, with its cause. Database tells of what commands write or make stale,
// Table of removals and purges, Keyspace of FLUSHDB, FLUSHALL and SWAPDB. Each observer subscribes to certain causes, and says whether
// it listens at the moment. While no observer listens for a cause, telling it costs one comparison.
//
// An entry that moves within the log (compaction, or eviction that keeps it) has not changed. RENAME, COPY and MOVE have no
// causes of their own. Each is told as a write of the key that it stores. RENAME and MOVE are also told as a removal of the key
// that they take away.

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "pinfold/store/entry.hpp"
#include "pinfold/store/value.hpp"

namespace pinfold::store {

struct Purge;

/// What happened to a key, or to all keys of a database.
enum class Cause : std::uint8_t {
  // A value was stored, or its bytes were changed. An old entry that was replaced is not told of separately, even if it had
  // expired. If the new value's deadline had passed already, no entry is there afterwards.
  written,
  grown,        // the value only got longer, by zeros (BITFIELD whose operations were refused); WATCH ignores that, as in Redis
  deadline,     // the deadline was set or cleared
  staled,       // a command has made the entry stale
  deleted,      // a command has removed the entry, perhaps because there was no room to make it stale
  invalidated,  // no entry changed, but fills with values that were read from the origin before this command are refused
  expired,      // the entry was removed because its time was up
  evicted,      // the entry was removed to make room
  purged,       // a purge has removed the entry, when a look-up, the sweep, eviction or compaction met it
  purged_soft,  // a purge has made the entry stale, when one of these met it
  // These two are for a whole database. They are told once in each shard, without a key:
  flushed,    // all entries were removed
  exchanged,  // the database has the entries of another one now (SWAPDB); the change of the other one is told separately
  // These are told beside the changes above, to observers that name them:
  // - an entry is gone, or is about to be replaced, and what was built from its value may now lack a dependency (tag_names.hpp): the entry
  //   depends on keys, and no new entry under its key depends on all of these; or it is stale, so that its value may have been read after
  //   it was made so. Or a value that depends on keys was not stored, but clients may wait for it; then Change::before is null
  source_gone,
  lapsed,   // behind the change of a write whose value has not been stored, because its deadline had passed already
  created,  // a write is about to be told, of a key under which plain commands found no value
  missed,   // a read that counts has found no value. Nothing has changed
};

/// A set of causes.
class Causes {
 public:
  constexpr Causes() = default;
  constexpr Causes(std::initializer_list<Cause> causes) {
    for (const Cause cause : causes) bits_ |= 1U << static_cast<unsigned>(cause);
  }
  /// All changes, without what is told beside them.
  static constexpr Causes all() {
    Causes causes;
    causes.bits_ = (2U << static_cast<unsigned>(Cause::exchanged)) - 1;
    return causes;
  }
  constexpr bool has(Cause cause) const { return (bits_ >> static_cast<unsigned>(cause) & 1U) != 0; }
  constexpr bool has_any(Causes others) const { return (bits_ & others.bits_) != 0; }
  constexpr Causes operator|(Causes other) const {
    other.bits_ |= bits_;
    return other;
  }

 private:
  std::uint32_t bits_ = 0;
};

/// One change, as observers are told of it. Valid only during the call of Observer::changed().
struct Change {
  Cause cause;
  unsigned db;
  Key key;  // empty for `flushed` and `exchanged`
  /// The time that decided what was live or expired: that of the command, of the purge, or of the step of expiry, eviction or
  /// compaction. 0 for `flushed`.
  UnixMs now = 0;
  /// The entry that was removed, with its bytes as they were. It is no longer found under its key. Set for `deleted`,
  /// `expired`, `evicted` and `purged`. Also set for `written` if the new value's deadline had passed already, so that a stale
  /// or negative entry was removed and none was stored, and if a switch does not admit the key of a value that was built in place.
  /// Null otherwise.
  const Entry* before = nullptr;
  /// For `written`: the value that was written, but is not stored because a switch does not admit its key (KeySwitches). Null
  /// if the value is stored, and in most other cases. If the entry was stored for a moment and removed, it is in `before`.
  const Value* unstored = nullptr;
  /// For `source_gone`: the purge that has removed the entry; null if no purge has.
  const Purge* purge = nullptr;

  /// For `written` and `deadline`: whether the entry was given a deadline. False if one that it had was kept.
  bool with_deadline = false;
  /// For `written`: whether the new entry is negative.
  bool absent = false;

  /// Whether an entry was removed that plain commands would have found.
  bool removed_live() const { return before != nullptr && before->live(now); }
};

/// An observer of the changes in one shard. Its functions are called with the shard locked. They must not throw, and must
/// report their work to base/work.hpp.
class Observer {
 public:
  virtual ~Observer() = default;

  /// Called for each change, after it: bytes that were written are final, and an entry that was removed is no longer found.
  /// Must not change the store. So it looks keys up with Keyspace::glance(), because a look-up by Database removes expired
  /// entries. Must do bounded work and take no memory: the change has been made and can no longer be refused.
  virtual void changed(const Change& change) noexcept = 0;
  /// Called before the shard's lock is released, if the observer has asked for it (Changes::Subscription::want_settle). May
  /// look keys up as commands do, and take memory. If the observer itself calls want_settle() meanwhile, no further call
  /// follows. So settle() must go on until it has nothing left to do.
  virtual void settle() {}
};

/// The observers of one shard, and the functions that tell them of changes. Not thread-safe: guarded by the shard's lock. Takes
/// no memory.
class Changes {
 public:
  /// Subscribes an observer, from construction to destruction. Observers are told in the order of their subscriptions. They
  /// must subscribe before requests come. The Changes and the observer must outlive the subscription.
  class Subscription {
   public:
    Subscription(Changes& changes, Observer& observer, Causes causes);
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

    /// Sets whether the observer is told of changes from now on. At first it is not. O(observers).
    void listen(bool on);
    bool listening() const { return listening_; }
    /// Asks for a call of Observer::settle() before the lock is released. O(1).
    void want_settle() { wants_settle_ = changes_.wants_settle_ = true; }

   private:
    friend class Changes;
    Changes& changes_;
    Observer& observer_;
    const Causes causes_;
    bool listening_ = false;
    bool wants_settle_ = false;
    Subscription* next_ = nullptr;
  };

  Changes() = default;
  Changes(const Changes&) = delete;
  Changes& operator=(const Changes&) = delete;

  /// Whether an observer listens for this cause. O(1).
  bool wants(Cause cause) const { return wanted_.has(cause); }
  /// Whether an observer listens for one of these causes. O(1).
  bool wants_any(Causes causes) const { return wanted_.has_any(causes); }
  /// Tells observers of any change but the removal of one entry. Must be called after the change has been made. O(1) if no
  /// observer listens for the cause, otherwise O(observers).
  void tell(Cause cause, unsigned db, const Key& key, UnixMs now) {
    if (wants(cause)) [[unlikely]]
      tell_all({.cause = cause, .db = db, .key = key, .now = now});
  }
  /// The same for a value that was stored, or a deadline that was set. `with_deadline` and `absent` are as in Change.
  void tell(Cause cause, unsigned db, const Key& key, UnixMs now, bool with_deadline, bool absent = false) {
    if (wants(cause)) [[unlikely]]
      tell_all({.cause = cause, .db = db, .key = key, .now = now, .with_deadline = with_deadline, .absent = absent});
  }
  /// Tells observers that an entry was removed. Must be called after the entry has been taken out of the index, and before it
  /// is released. Costs what tell() costs.
  /// `purge` is the purge that has removed it, if one has.
  void tell_removed(Cause cause, unsigned db, std::uint64_t hash, const Entry& before, UnixMs now, const Purge* purge = nullptr) {
    if (wants(cause)) [[unlikely]]
      tell_all({.cause = cause, .db = db, .key = {before.key(), hash}, .now = now, .before = &before});
    if (before.has_extra()) [[unlikely]]
      tell_source_gone(db, hash, before, now, purge);
  }
  /// Tells observers of Cause::source_gone, if there is reason to, before a write replaces an entry that has an Extra. `tags` are those of
  /// the new entry, as Extra keeps them. O(1) if no observer listens for the cause, otherwise O(observers + bytes of tags).
  void tell_replaced(unsigned db, std::uint64_t hash, const Entry& before, std::string_view tags);

  /// Tells observers that `value` was written under a key that is not stored, and is not stored either.
  void tell_unstored(unsigned db, const Key& key, UnixMs now, const Value* value) {
    if (wants(Cause::written)) tell_all({.cause = Cause::written, .db = db, .key = key, .now = now, .unstored = value});
  }

  /// Whether an observer has asked for settle(). If so, a thread must call settle() before it unlocks the shard.
  bool wants_settle() const { return wants_settle_; }
  /// Calls Observer::settle() for the observers that have asked for it, until none asks any more.
  void settle() {
    if (wants_settle_) [[unlikely]]
      settle_all();
  }

 private:
  void tell_all(const Change& change);
  void tell_source_gone(unsigned db, std::uint64_t hash, const Entry& before, UnixMs now, const Purge* purge);
  void settle_all();
  void note_wanted();

  Causes wanted_;  // the causes for which at least one observer listens
  bool wants_settle_ = false;
  Subscription* first_ = nullptr;
};

}  // namespace pinfold::store
