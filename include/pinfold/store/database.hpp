#pragma once
// One numbered database as a command sees it. A Database is a small object, of a few machine words, that is made for one
// command.
//
// Every function that takes a key requires that the caller has locked the key's shard. Dispatch does that for commands: it
// locks the shards of all keys that the command table names. A look-up removes an expired entry that it meets. During CLIENT
// PAUSE it leaves such an entry in place, but does not find it. While serve-stale is on, an expired entry counts as stale.
//
// While a switch is on (KeySwitches), a look-up does not find a key that is bypassed, and a write of it removes the entry that is
// there. A write of a key that is not stored, and not admitted, stores nothing. Both are answered as if they were done.
//
// Functions that store return a Stored: done, or why the write was refused. A refused write has changed nothing.

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "pinfold/eviction/sampled_access.hpp"
#include "pinfold/store/entry.hpp"
#include "pinfold/store/stored.hpp"
#include "pinfold/store/value.hpp"
#include "pinfold/store/value_type.hpp"
#include "pinfold/store/writing.hpp"

namespace pinfold::store {

class Keyspace;
class Shard;
class WriteRules;
struct Growth;

/// The limits that the writes of a Database obey.
struct WriteLimits {
  /// Whether has_room(), resize() and put() of a Value return Stored::needs_room if not enough memory is free.
  bool bounded = false;
  /// How many bytes a write may take beyond the memory limit. More than 0 only for a caller that cannot make room any more.
  /// With 0, a write of Room::least bytes or more must also have been promised to this thread (Room). Otherwise the functions named
  /// above return Stored::needs_room.
  std::uint64_t beyond = 0;
  /// The rules of policies; null: there are none. Must outlive the Database.
  const WriteRules* rules = nullptr;
};

/// How many reads have found their keys, and how many have not. Of the latter, some were answered all the same.
struct ReadCounts {
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t stale_hits = 0;
  std::uint64_t negative_hits = 0;
};

/// Not thread-safe; the entries are guarded by the locks of their shards. The keyspace must outlive it. Values that a function
/// returns point into the store (Value). Every function is O(1) plus the bytes that it copies.
class Database {
 public:
  /// `now` decides what has expired. With `touch` false, reads leave the frequency and last access of entries alone (CLIENT
  /// NO-TOUCH). Reads that count in the shard's counters count in `reads` too, if that is not null. It must outlive the Database.
  Database(Keyspace& keyspace, unsigned number, UnixMs now, bool touch = true, const WriteLimits& limits = {}, ReadCounts* reads = nullptr)
      : keyspace_(&keyspace), number_(number), now_(now), touch_(touch), limits_(limits), reads_(reads) {}

  /// A copy of this Database whose writes obey no rules.
  Database without_rules() const { return {*keyspace_, number_, now_, touch_, {.bounded = limits_.bounded, .beyond = limits_.beyond}}; }

  unsigned number() const { return number_; }
  UnixMs now() const { return now_; }

  // A function that looks a value up throws WrongType if the value is no plain string, unless `access` allows any type.

  /// The value of the live entry under `key`, if there is one.
  std::optional<Value> find(const Key& key, Access access);
  /// The value under `key`, also if the entry is stale or negative. A look-up that finds such an entry counts as a miss.
  std::optional<Value> find_any(const Key& key, Access access);
  /// The lookup of GET.
  std::optional<Value> read(const Key& key) { return find(key, Access::read()); }
  /// The lookup inside a write. It counts as no hit and no miss.
  std::optional<Value> peek(const Key& key) { return find(key, Access::write()); }

  /// Whether there is a live entry of any type. For a write that depends on it.
  bool has(const Key& key) { return find(key, Access::write().of_any_type()).has_value(); }

  /// Whether the rules allow a value of this size in bytes. put() asks this by itself.
  bool accepts(const Key& key, std::size_t bytes) const;
  /// Stored::done if a collection of this size in bytes may be stored under `key`, otherwise why not.
  Stored accepts_collection(const Key& key, std::size_t bytes) const;
  /// Stores `text` under `key` and replaces the old value of any type. `text` may lie in this shard only if it is the value of
  /// another key.
  Stored put(const Key& key, std::string_view text, const PutOptions& options = {});
  /// Stores the bytes of a block. The entry takes over the reference to a large block; a small one is copied into the log.
  Stored put(const Key& key, Blob blob, const PutOptions& options = {});
  /// Stores a value that is no plain string. Also refused with Stored::no_memory if it has more than TypedValue::most_packed
  /// packed bytes.
  Stored put(const Key& key, TypedValue value, const PutOptions& options = {});
  /// Calls `change` with the value under `key`, if that is of this type and lies outside of the log. `change` may do with
  /// it what Table::change() allows, and returns whether it has altered it. Returns false if there is no live entry, or
  /// if the value lies in the log. Throws WrongType if the value is of another type.
  bool change(const Key& key, Type type, const std::function<bool(OwnedHandle&)>& change);
  /// Stores a copy of `value`, which may be that of another entry and of any type. For a value outside of the log, its type
  /// decides whether the copy is a second reference (ValueType::share).
  Stored put(const Key& key, const Value& value, const PutOptions& options);

  /// Makes the value `size` bytes long. Returns its bytes, for the caller to write to, or the reason why there are none. Keeps
  /// the deadline and the bytes that fit, and fills the rest with zeros. Creates the key if it is missing. The encoding of the
  /// entry becomes Encoding::raw. Observers are told of the write when the Writing is destroyed. With `changes` false they are
  /// told only if Writing::set_cause() was called. With `growth`, a resize that would lock the shard for too long is refused,
  /// so that the caller can prepare a block: see Growth.
  Writing resize(const Key& key, std::size_t size, bool changes = true, Growth* growth = nullptr);
  /// Stands for a write of a value whose deadline has passed already: no entry is there afterwards. A live entry is deleted. If
  /// there was none, the key still counts as written. Returns whether there was a live entry.
  bool write_expired(const Key& key);

  /// Returns Stored::done if `bytes` more may be stored now, otherwise Stored::needs_room. For bytes that do not come with the
  /// request (COPY, a value that grows), because dispatch makes no room for these.
  Stored has_room(std::uint64_t bytes);

  /// Removes the entry, if there is one, and ends a lease of the key in any case. Returns whether there was a live entry that
  /// look-ups find.
  bool remove(const Key& key);
  /// As remove(), for a collection whose last element a command has removed: observers are told of a write before.
  bool remove_emptied(const Key& key);
  /// Ends a lease of the key, and changes nothing else.
  void void_lease(const Key& key);
  /// Makes a live entry stale. An entry without a deadline is then stale for `stale_ms` milliseconds from now on. The entry has
  /// to be written anew; if there is no room for that, it is removed. Ends a lease of the key in any case. Returns whether there
  /// was a live entry.
  bool make_stale(const Key& key, std::uint32_t stale_ms);

  /// Sets the deadline of an entry, which must be live; 0 clears it. Returns Stored::no_memory also if there is no entry.
  Stored set_expiry(const Key& key, UnixMs at);

 private:
  using Sampled = eviction::SampledAccess::Kind;
  std::optional<Entry> lookup(const Key& key);
  std::optional<UnixMs> kept_deadline(const Key& key);
  bool bypassed(const Key& key, bool count) const;
  // What is done with a value that is written, as far as switches decide.
  enum class Fate : std::uint8_t { kept, bypassed, not_admitted };
  Fate fate_of_write(const Key& key);
  void note_dropped(const Key& key, Fate fate) const;
  void drop(const Key& key, Fate fate, const Value* value);
  bool sampled(const Key& key) const;
  bool is_live(const Key& key) const;
  void note_read(const Key& key, const Entry* entry, bool touch) const;
  void note(Sampled kind, const Key& key, bool found) const;
  bool remove_as(const Key& key, Cause if_not_live, Cause if_missing);
  bool obey_rules(const Key& key, std::size_t bytes, UnixMs& expires_at, Extra& extra) const;
  Resized create(const Key& key, std::size_t size, Growth* growth);
  Resized grow(const Key& key, std::size_t size, Growth* growth);
  void count_read(Shard& shard, const Key& key, const Entry* entry, Access access) const;
  Stored put_parts(const Key& key, std::string_view text, Blob blob, const PutOptions& options, TypedValue* typed = nullptr);

  Keyspace* keyspace_;
  unsigned number_;
  UnixMs now_;
  bool touch_;
  WriteLimits limits_;
  ReadCounts* reads_;
};

}  // namespace pinfold::store
