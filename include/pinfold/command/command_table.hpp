#pragma once
// The command table: one row per command. Dispatch, locking, ACL, COMMAND, the documentation and the tests read it. It is
// constant, so any thread may use it without a lock.
//
// A row stands at the end of the file of its family (string_commands.cpp, key_commands.cpp ...). commands() returns all rows.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/command/call.hpp"

namespace pinfold::command {

/// Flags of commands. Most have the meaning of Redis' flag of the same name.
enum Flag : std::uint32_t {
  kWrite = 1 << 0,     // may change the keyspace
  kReadOnly = 1 << 1,  // reads the keyspace
  kDenyOom = 1 << 2,   // may need memory, so it is refused if there is none
  kAdmin = 1 << 3,
  kNoScript = 1 << 4,
  kFast = 1 << 5,        // O(1) or O(log n)
  kNoAuth = 1 << 6,      // allowed before authentication
  kLoading = 1 << 7,     // shown to clients as allowed while loading and on stale replicas
  kNoMulti = 1 << 8,     // refused inside MULTI
  kAllShards = 1 << 9,   // works on the whole keyspace, so EXEC locks every shard if it is queued
  kImmediate = 1 << 10,  // executed at once inside MULTI (EXEC, DISCARD, ...)
  kMovableKeys = 1 << 11,
  kSkipPause = 1 << 12,     // runs while clients are paused
  kMayReplicate = 1 << 13,  // waits for the end of a CLIENT PAUSE of writes
  kAllowBusy = 1 << 14,     // shown to clients as allowed while a script runs for too long
  kSkipSlowlog = 1 << 15,   // shown to clients; not the command itself is slow, but the commands that it executes (EXEC)
  kProtected = 1 << 16,     // allowed only if enable-debug-command says so
  kLogged = 1 << 17,        // administrative, so a line in the log says which client has sent it
  kBeyondNamed = 1 << 18,   // may do more work than its keys and arguments name; inside EXEC TransactionBudget bounds that work
  kAudited = 1 << 19,       // its handler says which client has sent it, in the audit log
  kPubSub = 1 << 20,
  kNamesChannels = 1 << 21,   // has Row::channels
  kForSubscribers = 1 << 22,  // allowed to a client with RESP2 that has subscribed
  kRepliesPushes = 1 << 23,   // replies with pushes, which CLIENT REPLY OFF and SKIP do not silence
  kStale = 1 << 24,           // shown to clients as allowed on stale replicas
  // Executes a script or function: it locks shards by itself (script_runner.hpp), and the commands that the script executes spend budgets.
  kRunsScript = 1 << 25,
};

/// ACL categories that do not follow from flags. @read, @write, @fast and @slow follow from flags, and @admin and @dangerous
/// from kAdmin.
enum Category : std::uint32_t {
  kKeyspace = 1 << 0,
  kString = 1 << 1,
  kBitmap = 1 << 2,
  kConnection = 1 << 3,
  kTransaction = 1 << 4,
  kDangerous = 1 << 5,
  kAdministrative = 1 << 6,  // @admin, for a command without kAdmin
  kScripting = 1 << 7,
  kHash = 1 << 8,
  kList = 1 << 9,
  kSet = 1 << 10,
  kSortedSet = 1 << 11,
  kHyperLogLog = 1 << 12,
  kGeo = 1 << 13,
  kBlocking = 1 << 14,
};

/// What a command does with a key, with the words of Redis' key specs: RO reads, RW reads and writes, OW overwrites, RM
/// removes.
enum class KeyUse : std::uint8_t {
  read,    // RO ACCESS
  peek,    // RO: reads metadata only
  update,  // RW UPDATE
  modify,  // RW ACCESS UPDATE: returns the old value or a part of it
  write,   // OW UPDATE: replaces the value
  insert,  // RW INSERT
  create,  // OW INSERT: only if the key is missing
  remove,  // RM DELETE
  take,    // RW ACCESS DELETE
  lease,   // RW UPDATE: changes the key's lease, never its entry
  shrink,  // RW DELETE: removes elements of the value, and returns none
  count,   // RW ACCESS: reads, and may keep in the value what it has found out
  merge,   // RW ACCESS INSERT: adds to what the value has
  // These two depend on the arguments: key_use() tells which use it is.
  set_get,   // SET: `modify` with GET or with a condition on the value, otherwise `write`
  bitfield,  // BITFIELD: `read` if all operations are GET, otherwise `modify`
};

/// A keyspace event, in the words of Redis but for those of the class `p`. Their names and classes are in
/// src/command/keyspace_events.cpp, in this order.
enum class Event : std::uint8_t {
  none,
  set,
  setrange,
  append,
  incrby,
  incrbyfloat,
  setbit,
  pfadd,
  hset,
  hdel,
  hincrby,
  hincrbyfloat,
  lpush,
  rpush,
  lpop,
  rpop,
  linsert,
  lset,
  lrem,
  ltrim,
  sortstore,
  sadd,
  srem,
  spop,
  sinterstore,
  sunionstore,
  sdiffstore,
  zadd,
  zincr,
  zrem,
  zremrangebyscore,
  zremrangebyrank,
  zremrangebylex,
  zpopmin,
  zpopmax,
  zinterstore,
  zunionstore,
  zdiffstore,
  zrangestore,
  georadiusstore,
  geosearchstore,
  del,
  expire,
  persist,
  rename_from,
  rename_to,
  copy_to,
  move_from,
  move_to,
  expired,
  evicted,
  created,  // "new"
  keymiss,
  stale,
  invalidated,
  purged,
  absent,
  count,
};

/// What a command's changes are called as keyspace events.
struct EventsOf {
  Event written = Event::set;  // a value was stored or changed
  Event removed = Event::del;  // an entry was removed
  bool deadline = false;       // a deadline that is stored with a value is told as `expire`
  bool anew = false;           // a value that is replaced counts as new, as if it had been deleted before
  bool misses = true;          // a read that finds nothing is told
};

struct Row;

/// Returns the whole text of the error for arguments in which a KeySpec does not find its keys.
using KeyError = std::string (*)(const Row& row, Args args);

/// Finds the word of a KeySpec::option in the arguments. Returns its index; 0 if it is not there.
using OptionAt = std::size_t (*)(Args args);

/// Which arguments are keys. Indices count from 0, which is the name of the command.
struct KeySpec {
  enum class Kind : std::uint8_t { none, range, count, option, word };
  Kind kind = Kind::none;
  KeyUse use = KeyUse::read;
  // range: index of the first key; count: index of the number of keys, after which the keys follow; option, word: the lowest index of the
  // word
  std::int16_t first = 0;
  std::int16_t last = 0;       // range: index of the last key, negative from the end
  std::int16_t step = 1;       // distance between keys
  KeyError error = nullptr;    // count and option: the error for a number of keys that is no number or does not fit; a range needs none
  OptionAt find = nullptr;     // option, word
  std::string_view word = {};  // option, word
  std::int16_t least = 1;      // count: the smallest number of keys

  static constexpr KeySpec one(KeyUse use, std::int16_t at = 1) { return {Kind::range, use, at, at, 1, nullptr}; }
  static constexpr KeySpec range(KeyUse use, std::int16_t first, std::int16_t last, std::int16_t step = 1) {
    return {Kind::range, use, first, last, step, nullptr};
  }
  static constexpr KeySpec counted(KeyUse use, std::int16_t count_at, KeyError error, std::int16_t step = 1) {
    return {Kind::count, use, count_at, 0, step, error};
  }
  /// A word among the options, which the number of keys and the keys follow: "DEPENDS numkeys key [key ...]". Without the word there are
  /// no keys. What stands before it may look like it, so `find` has to read the options as the handler does.
  static constexpr KeySpec option(KeyUse use, std::string_view word, std::int16_t from, OptionAt find, KeyError error) {
    return {Kind::option, use, from, 0, 1, error, find, word};
  }
  /// One of some words (with spaces between them) which a key follows: "STORE destination". `find` returns 0 also if nothing follows it.
  static constexpr KeySpec behind(KeyUse use, std::string_view word, std::int16_t from, OptionAt find) {
    return {Kind::word, use, from, 0, 1, nullptr, find, word};
  }
  /// Whether the keys stand behind a word that may be missing.
  constexpr bool follows_word() const { return kind == Kind::option || kind == Kind::word; }
  /// The same as counted() if there may be no key.
  static constexpr KeySpec counted_or_none(KeyUse use, std::int16_t count_at, KeyError error) {
    return {Kind::count, use, count_at, 0, 1, error, nullptr, {}, 0};
  }
};

/// Which arguments are channels of publish/subscribe: those from `first` to `last`, which counts from the end if it is negative. `first` 0:
/// none. A user needs a right to them if the row has the flag kNamesChannels.
struct ChannelSpec {
  std::int16_t first = 0;
  std::int16_t last = 0;
  bool patterns = false;  // they are patterns of channels
  bool sharded = false;   // they are shard channels, which COMMAND shows as keys that are none, for clients of a cluster
};

/// How an argument may appear where others can read it: in the log, the audit log, MONITOR and SLOWLOG.
enum class Shown : std::uint8_t {
  plain,
  key,     // the name of a key, a tag, or the beginning of such names: in logs as the setting log-key-names says
  secret,  // a password: never
};
/// Tells how the argument at `index` may appear. Called with any index but 0, and with arguments that need not be valid. Must not look at
/// all arguments: it is asked for each of them.
using ShownAs = Shown (*)(Args args, std::size_t index);

/// What a command reads or changes of the keyspace beside the keys that `Row::keys` finds. Rights are checked by it (rights.hpp), so it may
/// say more than the command does, never less.
enum class Touches : std::uint8_t {
  keys,        // nothing else
  no_key,      // no key and no value, although its flags look like it: figures of the whole keyspace, or nothing at all
  count,       // the number of keys in the selected database
  listing,     // names of keys in the selected database, of which it shows those that the client's user may read (Listing)
  database,    // any key of the selected database, or of those that `databases` finds
  everything,  // any key of any database
};

/// The databases that the arguments name, instead of the selected one, or beside it if the row has keys. Arguments that are not valid name
/// none.
using DatabasesIn = std::array<std::optional<unsigned>, 2> (*)(Args args);
/// The prefix that all keys have which the command touches; empty if they may be any.
using PrefixIn = std::string_view (*)(Args args);
/// Whether a request with these arguments, which need not be valid, works on the whole keyspace.
using IsWhole = bool (*)(Args args);

/// Executes a command (call.hpp).
using Handler = Outcome (*)(Call&);

/// The description of one command. Rows are written with designated initializers; a field that is left out has the default below.
struct Row {
  std::string_view name;         // lower case; for a subcommand "client|kill"
  Handler handler = nullptr;     // null for a container of subcommands
  std::int16_t arity = 0;        // words of a request, the name included; -n: at least n, as in Redis
  std::uint32_t flags = 0;       // Flag values
  std::uint32_t categories = 0;  // Category values
  KeySpec keys[2] = {};
  ChannelSpec channels = {};
  // null: the keys of `keys` as keys, and all other arguments as they are; behind a container without a handler nothing is shown
  ShownAs shown = nullptr;
  bool has_request = false;  // whether its arguments are a request, which is not executed
  Touches touches = Touches::keys;
  DatabasesIn databases = nullptr;
  PrefixIn prefix = nullptr;
  IsWhole whole = nullptr;  // for a command that depending on its arguments is as one with kAllShards
  EventsOf events = {};
  std::string_view group = {};  // COMMAND DOCS: string, generic, connection, server, transactions, bitmap
  std::string_view since = {};  // the first version of Redis that has it (or of Valkey, if the documentation says so)
  std::string_view complexity = {};
  std::string_view summary = {};
  /// The arguments after the name in Redis' notation: "key value [NX | XX] [EX seconds | KEEPTTL] [key ...]".
  /// COMMAND DOCS makes its tree of arguments from this text. Words in lower case are values, words in upper case are tokens.
  std::string_view syntax = {};
  std::uint16_t index = 0;  // in commands(); the table sets it
};

/// All rows, in the order of the families. A container comes before its subcommands.
std::span<const Row* const> commands();

/// Finds the row of a command as it was sent, in any case. Returns null if there is none. O(1). For a container it returns the row
/// of the subcommand, or its own row if the subcommand is unknown or missing.
const Row* find_command(Args args);
/// Finds a row by its name, which is "get" or "client|kill". Returns null if there is none. O(1).
const Row* find_command_by_name(std::string_view name);

/// How many words of a request are the name of its command: two for a subcommand.
inline std::size_t words_of_name(const Row& row) { return row.name.find('|') == std::string_view::npos ? 1 : 2; }
/// Whether `row` has subcommands.
bool is_container(const Row& row);
/// Whether the arguments, for which find_command() has found `row`, name a subcommand that there is not. Containers have no keys of their
/// own, which spares most requests the look into the table.
inline bool is_unknown_subcommand(const Row& row, Args args) {
  return row.arity < 0 && row.keys[0].kind == KeySpec::Kind::none && args.size() > 1 && is_container(row);
}
/// The subcommands of `row`, in the order of their family. Empty if it has none.
std::span<const Row* const> subcommands(const Row& row);

/// The index of `row` in commands(). It must be one of these rows. O(1).
inline std::size_t command_index(const Row& row) { return row.index; }

/// Whether a request of `size` words, the name included, fits the row's arity.
inline bool arity_fits(const Row& row, std::size_t size) {
  const auto given = static_cast<std::int64_t>(size);
  return row.arity >= 0 ? given == row.arity : given >= -row.arity;
}
/// The error for a request that does not fit: "ERR wrong number of arguments for 'get' command".
std::string wrong_arity(const Row& row);

/// The result of looking for the keys in a request's arguments.
enum class [[nodiscard]] Extraction : std::uint8_t{
    done,       // all keys were found; there may be none
    malformed,  // the arguments do not fit the row's key specs: the number of keys is no number, or there are too few arguments for it
};

/// Appends the indices of the keys in `args` to `positions`. `args` must fit the row's arity. If they are malformed, appends
/// nothing; the command must then not run, because it is not known what to lock and whether the client may use the keys.
/// key_error() is the reply. No other function extracts keys: locking, ACL and COMMAND GETKEYS all use this one. O(keys).
Extraction extract_keys(const Row& row, Args args, std::vector<std::uint32_t>& positions);
/// The error for a request whose arguments are malformed, from the row's KeySpec.
std::string key_error(const Row& row, Args args);
/// Whether the request needs the shards of all keys locked, so that EXEC locks every shard if it is queued.
inline bool needs_all_shards(const Row& row, Args args) {
  return (row.flags & kAllShards) != 0 || (row.whole != nullptr && row.whole(args));
}
/// Returns the position of the key if a request has exactly one key and its row has one range of keys, beside keys of an option that the
/// request does not have; 0 for all other requests. It follows the same rule as extract_keys(), but fills no list: most requests have one
/// key.
inline std::size_t only_key(const Row& row, Args args) {
  const KeySpec& spec = row.keys[0];
  if (spec.kind != KeySpec::Kind::range) return 0;
  const KeySpec& further = row.keys[1];
  if (further.kind != KeySpec::Kind::none && (!further.follows_word() || further.find(args) != 0)) return 0;
  const auto count = static_cast<std::int64_t>(args.size());
  const std::int64_t last = spec.last < 0 ? count + spec.last : spec.last;
  if (spec.first < 1 || last < spec.first || last >= count || last - spec.first >= spec.step) return 0;
  return static_cast<std::size_t>(spec.first);
}
/// How the argument at `index` of a request may appear where others can read it. The only place that decides it. Takes time for this
/// argument and the two before it, however many there are, and allocates nothing.
Shown shown_argument(const Row& row, Args args, std::size_t index);
/// For rows all of whose arguments are passwords, or tell whose password was tried.
Shown shown_never(Args args, std::size_t index);
/// For rows whose arguments are names of commands: what is no such name may be a password behind one, and is not shown.
Shown shown_command_names(Args args, std::size_t index);
/// How the argument at `index` of `request` may appear, which is itself an argument of a command: nothing of it unless it is known which
/// command it is, and nothing if that has a request among its arguments as well.
Shown shown_in_request(Args request, std::size_t index);
/// What the command does with the keys of `spec` if it is called with `args`. Never `set_get` or `bitfield`.
KeyUse key_use(const KeySpec& spec, Args args);
/// Does for one spec of a row what the other extract_keys() does for all of them.
Extraction extract_keys(const KeySpec& spec, Args args, std::vector<std::uint32_t>& positions);

}  // namespace pinfold::command
