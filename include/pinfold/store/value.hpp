#pragma once
// What callers give to the store and get from it: a key with its hash, a value as a view, and how to look up or store it. All
// are plain values, and the views in them own nothing.

#include <cstdint>
#include <string_view>

#include "pinfold/base/blob.hpp"
#include "pinfold/base/clock.hpp"
#include "pinfold/store/extra.hpp"
#include "pinfold/store/value_type.hpp"

namespace pinfold::store {

/// A key and its keyed hash (SipHash). The hash is computed once per request. Each decision about a key uses bits of its own:
/// the lowest 8 choose the shard, the next 8 are the tag in the index, the next 16 choose the bucket, and the highest ones
/// choose the group through the directory.
struct Key {
  std::string_view text;
  std::uint64_t hash = 0;
};

/// How OBJECT ENCODING describes a string. Redis reports the encoding that the last write left, which may differ from the one
/// that a SET of the same bytes would get. So the store remembers it.
enum class Encoding : std::uint8_t {
  natural = 0,   // int, embstr or raw, as a SET of these bytes would get it
  raw = 1,       // the value was built in place (APPEND, SETRANGE, SETBIT ...)
  embedded = 2,  // embstr or raw by length, but never int (INCRBYFLOAT)
  typed = 3,     // the value is of another type: a ValueKind stands before it
};

/// The value of an entry. It points into the store and owns nothing: it is valid until the next write to the same shard, and
/// only while the shard's lock is held.
struct Value {
  std::string_view text;       // a plain string; for another type its packed bytes, empty if the value lies outside of the log
  UnixMs expires_at = 0;       // the deadline; 0: none
  std::uint32_t accessed = 0;  // last access in Unix seconds; 0: not kept
  Encoding encoding = Encoding::natural;
  std::uint8_t frequency = 0;   // 0 to 3, as the eviction policy counts it
  bool absent = false;          // a negative entry: it has no value. Only find_any() of Database and glance() of Keyspace return one
  ValueKind kind{};             // the type and form, if it is no plain string
  void* outside = nullptr;      // see handle()
  const char* extra = nullptr;  // the entry's Extra, to be read with Extra::read(); null: none

  /// Whether the deadline is still to come, or there is none. A negative entry may be fresh too.
  bool fresh(UnixMs now) const { return expires_at == 0 || expires_at > now; }
  /// The time from which the entry counts as expired: its deadline plus its stale window (Extra::gone_at()). 0: never.
  UnixMs gone_at() const { return Extra::gone_at(expires_at, extra); }
  /// Whether the value is a plain string, and of no other type.
  bool is_string() const { return encoding != Encoding::typed; }
  /// The value outside of the log; empty if the value lies in the log. Valid as long as `text`.
  Handle handle() const { return {kind.type(), outside}; }
  /// Whether the value is a plain string in a Blob of its own.
  bool is_block() const { return outside != nullptr && is_string(); }
  /// A new reference to the Blob. It stays valid after the shard is unlocked. Only if is_block().
  Blob share() const { return Blob::share(outside); }
};

/// What a lookup counts, and which types it is for.
struct Access {
  bool count;             // whether it counts in keyspace_hits or keyspace_misses
  bool touch;             // whether it counts in the entry's frequency and last access
  bool any_type = false;  // false: the lookup throws WrongType if the value is no plain string

  static constexpr Access read() { return {true, true}; }          // GET
  static constexpr Access write() { return {false, true}; }        // the lookup inside a write
  static constexpr Access look() { return {true, false, true}; }   // TTL, TYPE, EXISTS, OBJECT
  static constexpr Access none() { return {false, false, true}; }  // MEMORY USAGE

  constexpr Access of_any_type() const { return {count, touch, true}; }
  constexpr Access of_strings() const { return {count, touch, false}; }
};

/// How Database::put() stores a value.
struct PutOptions {
  UnixMs expires_at = 0;  // the deadline, after which the stale window of `extra` begins; 0: none
  /// Keeps the deadline of the old entry if that is live, and its Extra unless `extra` is set. `expires_at` is then not used.
  bool keep_expiry = false;
  Encoding encoding = Encoding::natural;
  bool absent = false;           // whether this is a negative entry
  const Extra* extra = nullptr;  // the Extra of the entry; null: none. The caller owns it
};

}  // namespace pinfold::store
