// Commands on keys whatever their value: existence, names, copies, and the keyspace as a whole.

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "pinfold/base/sleeper.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/databases.hpp"
#include "pinfold/command/encoding.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/help.hpp"
#include "pinfold/store/extra.hpp"

namespace pinfold::command {

std::string_view encoding_name(const store::Value& value) {
  constexpr std::size_t longest_embedded = 44;
  constexpr std::size_t longest_integer = 20;
  if (!value.is_string()) return store::value_type(value.kind.type()).encodings[value.kind.form()];
  if (value.encoding == store::Encoding::raw) return "raw";
  if (value.encoding == store::Encoding::natural && value.text.size() <= longest_integer && parse_i64(value.text)) {
    return "int";
  }
  return value.text.size() <= longest_embedded ? "embstr" : "raw";
}

namespace {

using store::Access;
using store::Database;
using store::Value;

Outcome del(Call& call) {
  Database db = call.db();
  std::int64_t removed = 0;
  for (const store::Key& key : call.keys) removed += db.remove(key) ? 1 : 0;
  return call.reply.integer(removed);
}

Outcome exists(Call& call) {
  Database db = call.db();
  std::int64_t found = 0;
  for (const store::Key& key : call.keys) found += db.find(key, Access::look()) ? 1 : 0;
  return call.reply.integer(found);
}

// TOUCH counts as a use even for a client that has turned CLIENT NO-TOUCH on: that is all it is for.
Outcome touch(Call& call) {
  Database db(call.engine.keyspace, call.session.db, call.now);
  std::int64_t found = 0;
  for (const store::Key& key : call.keys) found += db.find(key, Access::read().of_any_type()) ? 1 : 0;
  return call.reply.integer(found);
}

Outcome type(Call& call) {
  const std::optional<Value> value = call.db().find(call.key(), Access::look());
  return call.reply.simple(value ? store::value_type(value->kind.type()).name : "none");
}

// Whether the value may not be carried to a key because CACHE.INVALIDATE has refused its version there: it is what a fill with that
// version would have brought.
bool refused_there(Call& call, const Database& to, const store::Key& key, const Value& value) {
  const std::uint64_t version = value.extra != nullptr ? store::Extra::read(value.extra).version : 0;
  if (version == 0 || version > call.engine.cache.leases(key).refused_version(to.number(), key.text, call.mono)) return false;
  call.engine.cache.counters.no_fill[cache::FillRefusal::version].fetch_add(1, std::memory_order_relaxed);
  return true;
}

// Stores `value` under another key or in another database with its deadline and encoding.
store::Stored put_same(Database& db, const store::Key& key, const Value& value) {
  store::PutOptions options;
  options.expires_at = value.expires_at;
  options.encoding = value.encoding;
  return db.put(key, value, options);
}

// Of several DB options the last one counts.
std::array<std::optional<unsigned>, 2> databases_in_copy(Args args) {
  std::optional<unsigned> to;
  for (Cursor options(args, 3); !options.done();) {
    if (options.take_with_value("DB")) {
      to = named_database(options.take());
    } else {
      options.take();
    }
  }
  return {to};
}

std::array<std::optional<unsigned>, 2> databases_in_move(Args args) { return {named_database(args[2])}; }

Outcome copy(Call& call) {
  unsigned to_number = call.session.db;
  bool replace = false;
  Cursor options(call.args, 3);
  while (!options.done()) {
    if (options.take("REPLACE")) {
      replace = true;
    } else if (options.take_with_value("DB")) {
      const std::optional<unsigned> number = take_database(call, options);
      if (!number) return Outcome::done;
      to_number = *number;
    } else {
      return call.syntax_error();
    }
  }
  const store::Key& from_key = call.key(0);
  const store::Key& to_key = call.key(1);
  if (to_number == call.session.db && from_key.text == to_key.text) {
    return call.reply.error("ERR source and destination objects are the same");
  }

  Database from = call.db();
  Database to = call.db(to_number);
  // The destination first: removing it if it has expired would make the value found in the source invalid.
  const bool taken = to.has(to_key);
  const std::optional<Value> value = from.find(from_key, Access::read().of_any_type());
  if (!value || (taken && !replace) || refused_there(call, to, to_key, *value)) return call.reply.integer(0);
  if (const store::Stored stored = put_same(to, to_key, *value); !stored) return call.refused(stored);
  return call.reply.integer(1);
}

Outcome move(Call& call) {
  Cursor arguments(call.args, 2);
  const std::optional<unsigned> number = take_database(call, arguments);
  if (!number) return Outcome::done;
  if (*number == call.session.db) {
    return call.reply.error("ERR source and destination objects are the same");
  }
  Database from = call.db();
  Database to = call.db(*number);
  const bool taken = to.has(call.key());
  const std::optional<Value> value = from.find(call.key(), Access::write().of_any_type());
  if (!value || taken || refused_there(call, to, call.key(), *value)) return call.reply.integer(0);
  if (const store::Stored stored = put_same(to, call.key(), *value); !stored) return call.refused(stored);
  from.remove(call.key());
  return call.reply.integer(1);
}

// RENAME, which replaces what has the new name, and RENAMENX, which does not.
Outcome rename_key(Call& call, bool replace) {
  Database db = call.db();
  const store::Key& from = call.key(0);
  const store::Key& to = call.key(1);
  const bool taken = db.has(to);
  const std::optional<Value> value = db.find(from, Access::write().of_any_type());
  if (!value) return call.reply.error("ERR no such key");
  if (from.text == to.text) return replace ? call.reply.ok() : call.reply.integer(0);
  if (taken && !replace) return call.reply.integer(0);
  if (refused_there(call, db, to, *value)) {
    if (!replace) return call.reply.integer(0);
    return call.reply.error("ERR the value has a version that CACHE.INVALIDATE has refused for the new key");
  }
  if (const store::Stored stored = put_same(db, to, *value); !stored) return call.refused(stored);
  db.remove(from);
  return replace ? call.reply.ok() : call.reply.integer(1);
}

Outcome rename(Call& call) { return rename_key(call, true); }
Outcome renamenx(Call& call) { return rename_key(call, false); }

Outcome dbsize(Call& call) { return call.reply.integer(static_cast<std::int64_t>(call.engine.keyspace.size(call.session.db, call.held))); }

// ASYNC and SYNC are the same here: flushing is quick under the locks and frees memory outside of them.
bool take_flush_mode(Call& call) {
  Cursor options(call.args, 1);
  if (!options.done() && !options.take("SYNC")) options.take("ASYNC");
  if (!options.done()) {
    call.syntax_error();
    return false;
  }
  return true;
}

Outcome flushdb(Call& call) {
  if (!take_flush_mode(call)) return Outcome::done;
  call.engine.keyspace.flush(call.session.db, call.held);
  return call.reply.ok();
}

Outcome flushall(Call& call) {
  if (!take_flush_mode(call)) return Outcome::done;
  const WakeLater later;
  if (call.held.empty()) call.held.acquire_all();  // or MOVE could carry a value past it
  for (unsigned db = 0; db < store::database_count; ++db) call.engine.keyspace.flush(db, call.held);
  if (!call.in_transaction) call.held.release();
  return call.reply.ok();
}

// The entry that an OBJECT subcommand asks about, which counts as a hit or miss but not as a use; null has been replied if
// there is none.
std::optional<Value> object(Call& call) {
  const std::optional<Value> value = call.db().find(call.key(), Access::look());
  if (!value) call.reply.null();
  return value;
}

Outcome object_encoding(Call& call) {
  if (const std::optional<Value> value = object(call)) call.reply.bulk(encoding_name(*value));
  return Outcome::done;
}

// No entry is ever shared between keys.
Outcome object_refcount(Call& call) {
  if (object(call)) call.reply.integer(1);
  return Outcome::done;
}

constexpr std::string_view kAfterPolicyChange =
    " Please note that when switching between policies at runtime LRU and LFU data will take some time to "
    "adjust.";

bool lfu(const Call& call) { return eviction::is_lfu(call.engine.keyspace.policy()); }

Outcome object_freq(Call& call) {
  const std::optional<Value> value = object(call);
  if (!value) return Outcome::done;
  if (lfu(call)) return call.reply.integer(value->frequency);
  return call.reply.error("ERR An LFU maxmemory policy is not selected, access frequency not tracked." + std::string(kAfterPolicyChange));
}

// An entry that was written under an LFU policy does not say when it was used: it is taken for used just now.
Outcome object_idletime(Call& call) {
  const std::optional<Value> value = object(call);
  if (!value) return Outcome::done;
  if (lfu(call)) {
    return call.reply.error("ERR An LFU maxmemory policy is selected, idle time not tracked." + std::string(kAfterPolicyChange));
  }
  const std::int64_t now = call.now / 1000;
  const std::int64_t used = value->accessed != 0 ? value->accessed : now;
  return call.reply.integer(std::max<std::int64_t>(now - used, 0));
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "copy", .handler = copy, .arity = -3,
     .flags = kWrite | kDenyOom, .categories = kKeyspace,
     .keys = {KeySpec::one(KeyUse::read, 1), KeySpec::one(KeyUse::write, 2)}, .databases = databases_in_copy,
     .events = {.written = Event::copy_to, .anew = true},
     .group = "generic", .since = "6.2.0",
     .complexity = "O(1), plus copying the value if it is small enough to lie in the log.",
     .summary = "Stores the value and deadline of a key under another key, in this or another database.",
     .syntax = "source destination [DB destination-db] [REPLACE]"},
    {.name = "dbsize", .handler = dbsize, .arity = 1,
     .flags = kReadOnly | kFast | kAllShards, .categories = kKeyspace, .touches = Touches::count,
     .group = "server", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Counts the keys of the selected database."},
    {.name = "del", .handler = del, .arity = -2,
     .flags = kWrite, .categories = kKeyspace,
     .keys = {KeySpec::range(KeyUse::remove, 1, -1)},
     .group = "generic", .since = "1.0.0",
     .complexity = "O(N) for N keys.",
     .summary = "Removes keys and tells how many of them there were.",
     .syntax = "key [key ...]"},
    {.name = "exists", .handler = exists, .arity = -2,
     .flags = kReadOnly | kFast, .categories = kKeyspace,
     .keys = {KeySpec::range(KeyUse::peek, 1, -1)},
     .group = "generic", .since = "1.0.0",
     .complexity = "O(N) for N keys.",
     .summary = "Counts how many of the named keys exist; a key named twice counts twice.",
     .syntax = "key [key ...]"},
    {.name = "flushall", .handler = flushall, .arity = -1,
     .flags = kWrite | kAllShards | kBeyondNamed | kLogged, .categories = kKeyspace | kDangerous, .touches = Touches::everything,
     .group = "server", .since = "1.0.0",
     .complexity = "O(1) for the caller; the memory is freed outside of all locks.",
     .summary = "Empties every database.",
     .syntax = "[ASYNC | SYNC]"},
    {.name = "flushdb", .handler = flushdb, .arity = -1,
     .flags = kWrite | kAllShards | kBeyondNamed | kLogged, .categories = kKeyspace | kDangerous, .touches = Touches::database,
     .group = "server", .since = "1.0.0",
     .complexity = "O(1) for the caller; the memory is freed outside of all locks.",
     .summary = "Empties the selected database.",
     .syntax = "[ASYNC | SYNC]"},
    {.name = "move", .handler = move, .arity = 3,
     .flags = kWrite | kFast, .categories = kKeyspace,
     .keys = {KeySpec::one(KeyUse::modify)}, .databases = databases_in_move,
     .events = {.written = Event::move_to, .removed = Event::move_from, .anew = true},
     .group = "generic", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Moves a key to another database, unless it has one of that name.",
     .syntax = "key db"},
    {.name = "object", .arity = -2,
     .group = "generic", .since = "2.2.3",
     .complexity = "Depends on the subcommand.",
     .summary = "Looks inside the entry of a key."},
    {.name = "object|encoding", .handler = object_encoding, .arity = 3,
     .flags = kReadOnly, .categories = kKeyspace,
     .keys = {KeySpec::one(KeyUse::peek, 2)},
     .events = {.misses = false},
     .group = "generic", .since = "2.2.3",
     .complexity = "O(1)",
     .summary = "Tells which of Redis' encodings a value would have.",
     .syntax = "key"},
    {.name = "object|freq", .handler = object_freq, .arity = 3,
     .flags = kReadOnly, .categories = kKeyspace,
     .keys = {KeySpec::one(KeyUse::peek, 2)},
     .events = {.misses = false},
     .group = "generic", .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Tells how often a key was used of late, from 0 to 3 as eviction counts it; needs an LFU policy.",
     .syntax = "key"},
    {.name = "object|help", .handler = reply_help, .arity = 2,
     .flags = kLoading, .categories = kKeyspace,
     .group = "generic", .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Prints the subcommands."},
    {.name = "object|idletime", .handler = object_idletime, .arity = 3,
     .flags = kReadOnly, .categories = kKeyspace,
     .keys = {KeySpec::one(KeyUse::peek, 2)},
     .events = {.misses = false},
     .group = "generic", .since = "2.2.3",
     .complexity = "O(1)",
     .summary = "Tells for how many seconds a key was not used. An error under the lfu policies; 0 for a key written under one.",
     .syntax = "key"},
    {.name = "object|refcount", .handler = object_refcount, .arity = 3,
     .flags = kReadOnly, .categories = kKeyspace,
     .keys = {KeySpec::one(KeyUse::peek, 2)},
     .events = {.misses = false},
     .group = "generic", .since = "2.2.3",
     .complexity = "O(1)",
     .summary = "Answers 1 for a key that exists: values are never shared between keys.",
     .syntax = "key"},
    {.name = "rename", .handler = rename, .arity = 3,
     .flags = kWrite, .categories = kKeyspace,
     .keys = {KeySpec::one(KeyUse::take, 1), KeySpec::one(KeyUse::write, 2)},
     .events = {.written = Event::rename_to, .removed = Event::rename_from, .anew = true},
     .group = "generic", .since = "1.0.0",
     .complexity = "O(1), plus copying the value if it is small enough to lie in the log.",
     .summary = "Gives a key another name, replacing whatever had that name.",
     .syntax = "key newkey"},
    {.name = "renamenx", .handler = renamenx, .arity = 3,
     .flags = kWrite | kFast, .categories = kKeyspace,
     .keys = {KeySpec::one(KeyUse::take, 1), KeySpec::one(KeyUse::create, 2)},
     .events = {.written = Event::rename_to, .removed = Event::rename_from, .anew = true},
     .group = "generic", .since = "1.0.0",
     .complexity = "O(1), plus copying the value if it is small enough to lie in the log.",
     .summary = "Gives a key another name, unless that name is taken.",
     .syntax = "key newkey"},
    {.name = "touch", .handler = touch, .arity = -2,
     .flags = kReadOnly | kFast, .categories = kKeyspace,
     .keys = {KeySpec::range(KeyUse::peek, 1, -1)},
     .group = "generic", .since = "3.2.1",
     .complexity = "O(N) for N keys.",
     .summary = "Marks keys as used, as reading them would, and counts those that exist.",
     .syntax = "key [key ...]"},
    {.name = "type", .handler = type, .arity = 2,
     .flags = kReadOnly | kFast, .categories = kKeyspace,
     .keys = {KeySpec::one(KeyUse::peek)},
     .group = "generic", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Tells the type of a value: string, or none if the key is missing.",
     .syntax = "key"},
    {.name = "unlink", .handler = del, .arity = -2,
     .flags = kWrite | kFast, .categories = kKeyspace,
     .keys = {KeySpec::range(KeyUse::remove, 1, -1)},
     .group = "generic", .since = "4.0.0",
     .complexity = "O(N) for N keys.",
     .summary = "Removes keys as DEL does; neither waits for memory to be freed.",
     .syntax = "key [key ...]"},
};
// clang-format on

}  // namespace

std::span<const Row> key_commands() { return kRows; }

}  // namespace pinfold::command
