#pragma once
// The command table: one row per command, read by dispatch, locking, ACL, COMMAND, the documentation and the tests.
//
// Rows live at the end of the file of their family (string_commands.cpp, key_commands.cpp ...); `commands()` is all of them.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/command/call.hpp"

namespace pinfold::command {

enum Flag : std::uint32_t {
  kWrite = 1 << 0,     // may change the keyspace
  kReadOnly = 1 << 1,  // reads the keyspace
  kDenyOom = 1 << 2,   // may need memory: refused when there is none to be had
  kAdmin = 1 << 3,
  kNoScript = 1 << 4,
  kFast = 1 << 5,        // O(1) or O(log n)
  kNoAuth = 1 << 6,      // allowed before authentication
  kLoading = 1 << 7,     // shown to clients as allowed while loading and on stale replicas
  kNoMulti = 1 << 8,     // refused inside MULTI
  kAllShards = 1 << 9,   // works on the whole keyspace: inside EXEC every shard is locked
  kImmediate = 1 << 10,  // executed at once inside MULTI (EXEC, DISCARD, ...)
  kMovableKeys = 1 << 11,
  kSkipPause = 1 << 12,  // runs while clients are paused
  kMayReplicate = 1 << 13,
  kAllowBusy = 1 << 14,    // shown to clients as allowed while a script runs for too long
  kSkipSlowlog = 1 << 15,  // shown to clients; its parts are what is slow (EXEC)
  kProtected = 1 << 16,    // only where enable-debug-command allows it
  kLogged = 1 << 17,       // what an administrator does: a line in the log says who did it
  kBeyondNamed = 1 << 18,  // does more than its keys and arguments ask for: inside EXEC as far as TransactionBudget goes
};

/// ACL categories beyond those that follow from flags (@read @write @fast @slow @admin @dangerous of kAdmin).
enum Category : std::uint32_t {
  kKeyspace = 1 << 0,
  kString = 1 << 1,
  kBitmap = 1 << 2,
  kConnection = 1 << 3,
  kTransaction = 1 << 4,
  kDangerous = 1 << 5,
  kAdministrative = 1 << 6,  // @admin of a command without kAdmin
};

/// What a command does with a key, in Redis' key-spec vocabulary.
enum class KeyUse : std::uint8_t {
  read,    // RO ACCESS
  peek,    // RO: metadata only
  update,  // RW UPDATE
  modify,  // RW ACCESS UPDATE: returns (part of) the old value
  write,   // OW UPDATE: replaced whatever it was
  insert,  // RW INSERT
  create,  // OW INSERT: only if it is missing
  remove,  // RM DELETE
  take,    // RW ACCESS DELETE
  lease,   // RW UPDATE: of the key's lease, never of its entry
  // Depends on the arguments: see key_use().
  set_get,   // SET: write, or with GET modify
  bitfield,  // BITFIELD: modify, or with GETs only read
};

/// Where keys stand in the arguments.
struct KeySpec {
  enum class Kind : std::uint8_t { none, range, count };
  Kind kind = Kind::none;
  KeyUse use = KeyUse::read;
  std::int16_t first = 0;  // range: first key's index; count: index of the number of keys (they follow it)
  std::int16_t last = 0;   // range: last key's index, negative from the end
  std::int16_t step = 1;   // distance between keys

  static constexpr KeySpec one(KeyUse use, std::int16_t at = 1) { return {Kind::range, use, at, at, 1}; }
  static constexpr KeySpec range(KeyUse use, std::int16_t first, std::int16_t last, std::int16_t step = 1) {
    return {Kind::range, use, first, last, step};
  }
  static constexpr KeySpec counted(KeyUse use, std::int16_t count_at, std::int16_t step = 1) {
    return {Kind::count, use, count_at, 0, step};
  }
};

using Handler = void (*)(Call&);

/// Written with designated initializers; what is left out has the value that stands here.
struct Row {
  std::string_view name;         // lower case; a subcommand's is "client|kill"
  Handler handler = nullptr;     // null for a container of subcommands
  std::int16_t arity = 0;        // as Redis': including the name, negative for "at least"
  std::uint32_t flags = 0;       // of Flag
  std::uint32_t categories = 0;  // of Category
  KeySpec keys[2] = {};
  std::string_view group = {};  // COMMAND DOCS: string, generic, connection, server, transactions, bitmap
  std::string_view since = {};  // of the Redis (or, as noted in docs, Valkey) version that brought it
  std::string_view complexity = {};
  std::string_view summary = {};
  /// The arguments after the name in Redis' notation: "key value [NX | XX] [EX seconds | KEEPTTL] [key ...]".
  /// COMMAND DOCS builds its argument tree from it: names in lower case are values, upper case words are tokens.
  std::string_view syntax = {};
};

/// Every row, in the order of the families, containers before their subcommands.
std::span<const Row* const> commands();

/// The row for a command as sent (any case), or null. O(1). Subcommands are looked up with their container's row:
/// find_command(args) returns the subcommand's row where there is one, and the container's if it is unknown.
const Row* find_command(Args args);
const Row* find_command_by_name(std::string_view name);  // "client|kill" or "get"

/// Whether `row` has subcommands.
bool is_container(const Row& row);
/// The subcommands of `row`, in the order of their family; empty if it has none.
std::span<const Row* const> subcommands(const Row& row);

/// The place of `row` in commands(), which it must be one of. O(1).
std::size_t command_index(const Row& row);

/// Appends the positions of the keys in `args` to `positions`. False, with nothing appended, if the arguments do not fit
/// the spec (a count that is no number or too large); then dispatch locks nothing and the handler replies with its own
/// error.
/// The one place where keys are extracted: locking, ACL and COMMAND GETKEYS all use it.
bool extract_keys(const Row& row, Args args, std::vector<std::uint32_t>& positions);
/// The position of the key in a command of `size` arguments if the table tells without looking at them that it has
/// exactly one; 0 for all others. The same rule as extract_keys', without a list to fill, as most requests have one key.
inline std::size_t only_key(const Row& row, std::size_t size) {
  const KeySpec& spec = row.keys[0];
  if (spec.kind != KeySpec::Kind::range || row.keys[1].kind != KeySpec::Kind::none) return 0;
  const auto count = static_cast<std::int64_t>(size);
  const std::int64_t last = spec.last < 0 ? count + spec.last : spec.last;
  if (spec.first < 1 || last < spec.first || last >= count || last - spec.first >= spec.step) return 0;
  return static_cast<std::size_t>(spec.first);
}
/// What the command does with the keys of `spec` when called with `args`; never one of those that depend.
KeyUse key_use(const KeySpec& spec, Args args);
/// The part of extract_keys that one of the row's specs is for.
bool extract_keys(const KeySpec& spec, Args args, std::vector<std::uint32_t>& positions);

}  // namespace pinfold::command
