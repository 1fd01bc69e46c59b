#pragma once
// What the store hands out and takes in: keys with their hash, values as views.

#include <cstdint>
#include <string_view>

#include "pinfold/base/blob.hpp"
#include "pinfold/base/clock.hpp"
#include "pinfold/store/extra.hpp"
#include "pinfold/store/value_type.hpp"

namespace pinfold::store {

/// A key and its keyed hash. The hash is computed once per request; all decisions about a key use different bits of
/// it: shard (lowest 8), tag (next 8), bucket (next 16), directory (from the top).
struct Key {
  std::string_view text;
  std::uint64_t hash = 0;
};

/// How OBJECT ENCODING describes a string. Redis keeps the encoding that the last write left, not the one that the
/// bytes would get, so the store remembers the difference.
enum class Encoding : std::uint8_t {
  natural = 0,   // by the bytes: int, embstr or raw
  raw = 1,       // built in place (APPEND, SETRANGE, SETBIT ...)
  embedded = 2,  // embstr or raw by length, never int (INCRBYFLOAT)
  typed = 3,     // no plain string: the value's first byte is its ValueKind
};

/// An entry's value. The text lies in the store: it is valid while the shard's lock is held and until the next
/// write to the same shard.
struct Value {
  std::string_view text;       // a plain string's; of another type the packed bytes, if it lies in the log
  UnixMs expires_at = 0;       // 0: never
  std::uint32_t accessed = 0;  // Unix seconds of the last access; 0: not kept
  Encoding encoding = Encoding::natural;
  std::uint8_t frequency = 0;   // 0-3, as the eviction policy counts it
  bool absent = false;          // a negative entry: known not to exist. Only Database::find_any gives such
  ValueKind kind{};             // of another type, see is_string()
  void* outside = nullptr;      // see handle()
  const char* extra = nullptr;  // set if there is an Extra to be read

  /// Its deadline has not passed; a negative one is fresh too.
  bool fresh(UnixMs now) const { return expires_at == 0 || expires_at > now; }
  /// As Extra::gone_at(). 0: never.
  UnixMs gone_at() const { return Extra::gone_at(expires_at, extra); }
  /// Whether it is a plain string, which is what most look-ups are for.
  bool is_string() const { return encoding != Encoding::typed; }
  /// The value outside of the log; nothing if it lies in the log. Valid as long as `text`.
  Handle handle() const { return {kind.type(), outside}; }
  /// Whether it is a string with a Blob of its own.
  bool is_block() const { return outside != nullptr && is_string(); }
  /// A reference to that Blob that outlives the lock. Only if is_block().
  Blob share() const { return Blob::share(outside); }
};

/// How a lookup counts: in keyspace_hits / keyspace_misses, and in the entry's frequency. And what it is for: a value of another type
/// than a plain string is found only with `any_type`; otherwise the lookup throws WrongType.
struct Access {
  bool count;
  bool touch;
  bool any_type = false;

  static constexpr Access read() { return {true, true}; }          // GET
  static constexpr Access write() { return {false, true}; }        // the lookup inside a write
  static constexpr Access look() { return {true, false, true}; }   // TTL, TYPE, EXISTS, OBJECT
  static constexpr Access none() { return {false, false, true}; }  // MEMORY USAGE

  constexpr Access of_any_type() const { return {count, touch, true}; }
  constexpr Access of_strings() const { return {count, touch, false}; }
};

struct PutOptions {
  UnixMs expires_at = 0;  // 0: never; then, if it has a stale window, that
  /// The old entry's deadline stays, and what else it carries beside its value.
  bool keep_expiry = false;
  Encoding encoding = Encoding::natural;
  bool absent = false;           // a negative entry
  const Extra* extra = nullptr;  // to be kept beside the value
};

}  // namespace pinfold::store
