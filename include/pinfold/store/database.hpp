#pragma once
// One numbered database as a command sees it. A view of a few words, made for one command.
//
// Every function that takes a key requires that the shard of that key is locked by the caller (commands get this
// from dispatch, which locks the shards of all keys that the command table names). An entry whose deadline has
// passed does not exist for any function here: it is removed when met.
//
// Functions that store return what came of it (Stored). When they were refused nothing has changed.

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "pinfold/store/entry.hpp"
#include "pinfold/store/stored.hpp"
#include "pinfold/store/value.hpp"
#include "pinfold/store/value_type.hpp"
#include "pinfold/store/writing.hpp"

namespace pinfold::store {

class Keyspace;
class WriteRules;
struct Growth;

/// What the writes of a Database have to obey.
struct WriteLimits {
  /// A value that would have to grow by more than there is room for is refused (Stored::needs_room).
  bool bounded = false;
  /// So many bytes it may take beyond what there is room for, because the caller cannot make room any more. With 0, much must have been
  /// promised to this thread (Room), or it counts as if there were no room.
  std::uint64_t beyond = 0;
  /// Null: there are none.
  const WriteRules* rules = nullptr;
};

class Database {
 public:
  /// `touch` false: reads leave frequencies alone (CLIENT NO-TOUCH).
  Database(Keyspace& keyspace, unsigned number, UnixMs now, bool touch = true, const WriteLimits& limits = {})
      : keyspace_(&keyspace), number_(number), now_(now), touch_(touch), limits_(limits) {}

  /// The same without rules.
  Database without_rules() const { return {*keyspace_, number_, now_, touch_, {.bounded = limits_.bounded, .beyond = limits_.beyond}}; }

  unsigned number() const { return number_; }
  UnixMs now() const { return now_; }

  // Whatever looks a value up throws WrongType if it is of another type than a plain string, unless `access` is for any type.

  /// The live entry under `key`, if any. O(1).
  std::optional<Value> find(const Key& key, Access access);
  /// The same, but stale entries and negative ones are found as well; they count as misses.
  std::optional<Value> find_any(const Key& key, Access access);
  /// GET's lookup.
  std::optional<Value> read(const Key& key) { return find(key, Access::read()); }
  /// The lookup inside a write: not counted as a hit or miss.
  std::optional<Value> peek(const Key& key) { return find(key, Access::write()); }

  /// Whether there is a live entry, whatever its type, for a write that depends on it.
  bool has(const Key& key) { return find(key, Access::write().of_any_type()).has_value(); }

  /// Whether the rules allow a value of that size; put() asks by itself.
  bool accepts(const Key& key, std::size_t bytes) const;
  /// Stores `text`, replacing whatever was there. `text` must not lie in this shard, unless it is the value of
  /// another key of it.
  Stored put(const Key& key, std::string_view text, const PutOptions& options = {});
  /// Stores a block without copying it.
  Stored put(const Key& key, Blob blob, const PutOptions& options = {});
  /// Stores a value of another type. Refused as Stored::no_memory, too, if it is packed and too long for that (TypedValue).
  Stored put(const Key& key, TypedValue value, const PutOptions& options = {});
  /// Lets `change` alter what a value of that type keeps outside of the log, which may move; it stays of its kind. Returns false if there
  /// is no entry, or if its value lies in the log. Throws WrongType if the value is of another type.
  bool change(const Key& key, Type type, const std::function<void(OwnedHandle&)>& change);
  /// Stores a copy of `value`, which may be another entry's, of any type; what lies outside of the log is shared, not copied.
  Stored put(const Key& key, const Value& value, const PutOptions& options);

  /// Makes the value `size` bytes long, keeping what fits and its deadline, filling up with zeros, and returns the
  /// bytes to write to, or why there are none. Creates the key if it is missing. The entry becomes Encoding::raw.
  /// The change is told when what is returned goes, as a write; if `changes` is false, not unless Writing::set_cause() says so.
  /// With `growth`, what takes long is refused: see there.
  Writing resize(const Key& key, std::size_t size, bool changes = true, Growth* growth = nullptr);
  /// A write of a value whose deadline has passed already: nothing is there afterwards. What was there is deleted; where nothing was,
  /// the key counts as written all the same. True if there was a live entry.
  bool write_expired(const Key& key);

  /// Whether a block of `bytes`, which is not part of the request itself, may be stored now.
  Stored has_room(std::uint64_t bytes);

  /// True if there was a live entry. Ends leases of the key in any case.
  bool remove(const Key& key);
  /// Ends leases of the key, and nothing else.
  void void_lease(const Key& key);
  /// Makes a live entry stale; one without a deadline can then be used for `stale_ms`. It is written anew: without room for
  /// that it is removed. Ends leases in any case.
  bool make_stale(const Key& key, std::uint32_t stale_ms);

  /// Sets or (0) clears the deadline of a live entry.
  Stored set_expiry(const Key& key, UnixMs at);

 private:
  std::optional<Entry> lookup(const Key& key);
  bool remove_as(const Key& key, Cause if_not_live, Cause if_missing);
  bool obey_rules(const Key& key, std::size_t bytes, UnixMs& expires_at, Extra& extra) const;
  Resized create(const Key& key, std::size_t size, Growth* growth);
  Resized grow(const Key& key, std::size_t size, Growth* growth);
  Stored put_parts(const Key& key, std::string_view text, Blob blob, const PutOptions& options, TypedValue* typed = nullptr);

  Keyspace* keyspace_;
  unsigned number_;
  UnixMs now_;
  bool touch_;
  WriteLimits limits_;
};

}  // namespace pinfold::store
