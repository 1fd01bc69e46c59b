#pragma once
// What the user of a client may do: the checks on the way of a request.
//
// Every request is checked with the keys that extract_keys() finds, which are those that are locked and that the handler gets. What a
// command touches beyond them its row says (Row::touches). A user that may do everything (User::unlimited) costs one comparison.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/command/call.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/request_words.hpp"
#include "pinfold/security/user.hpp"

namespace pinfold::command {

/// What a command with this use needs to be allowed with a key, as in Redis: what its key spec calls ACCESS is read; INSERT, DELETE and
/// UPDATE are written.
/// For `set_get` and `bitfield`, which depend on the arguments (key_use()), it is both. O(1).
constexpr security::Access access_of(KeyUse use) {
  using security::Access;
  constexpr Access table[] = {
      Access::read,   // read
      Access::none,   // peek
      Access::write,  // update
      Access::both,   // modify
      Access::write,  // write
      Access::write,  // insert
      Access::write,  // create
      Access::write,  // remove
      Access::both,   // take
      Access::write,  // lease
      Access::write,  // shrink
      Access::read,   // count
      Access::both,   // merge
      Access::both,   // set_get
      Access::both,   // bitfield
  };
  return table[static_cast<std::size_t>(use)];
}

inline bool names_channels(const Row& row) { return (row.flags & kNamesChannels) != 0; }
/// Whether the user may make every request for this command.
inline bool may_do_all_of(const security::User& user, const Row& row) {
  return names_channels(row) ? user.unlimited_channels() : user.unlimited();
}

/// The answer to a check, with what it is about.
struct RightsVerdict {
  using Denied = security::Verdict::Denied;
  Denied denied = Denied::no;
  std::string_view object = {};  // key, channel, too_costly: the key or channel; all_keys: the prefix of the keys that the command touches
  unsigned database = 0;         // database: which, if it is one

  bool allowed() const { return denied == Denied::no; }
};

/// Whether `user` may make this request in database `db`. The arguments must fit the row's arity. If no keys can be extracted, only the
/// command and the databases are checked: such a request is answered with key_error(), and touches nothing. The verdict refers to `args`.
/// `positions` is room for the indices of the keys. O(what User::check takes). Throws std::bad_alloc.
RightsVerdict check_rights(const security::User& user, const Row& row, Args args, unsigned db, security::MatchBudget& budget,
                           std::vector<std::uint32_t>& positions);
/// The same without such room.
RightsVerdict check_rights(const security::User& user, const Row& row, Args args, unsigned db, security::MatchBudget& budget);

/// How much a user is shown of a request of anybody, by MONITOR, SLOWLOG, COMMANDLOG and FUNCTION STATS.
enum class Sight : std::uint8_t {
  nothing,     // it may not read the keys, or the request works on keys that it does not name
  name,        // the name of the command: what other arguments tell is not known
  keys,        // all but the names of tags: it may read the keys
  everything,  // all but passwords: it may read all keys
};

/// How much `user`, who uses the command `by`, is shown of a request in database `db`. `args` need not be valid. What is still to be
/// found out when the budget is spent is not shown.
Sight sight_of(const security::User& user, const Row& by, const Row& row, Args args, unsigned db, security::MatchBudget& budget,
               std::vector<std::uint32_t>& positions);

/// The words of a request that are shown with this sight. They refer to `words`, which are those of the request with these arguments.
std::vector<std::string_view> seen_words(Sight sight, const RequestWords& words, const Row& row, Args args);

/// Whether a large argument (LargeArguments) may take memory of the data, for which other entries are evicted: it is no key, and the
/// user may make the request that has come so far, a write to the key before the argument, or a message to the channel before it.
/// `argument` returns the argument at an index before `index`, or an empty one if it is not there to be read. `budget` is that of all large
/// arguments of the request. False as well if it is spent.
bool may_store_large(const security::User& user, std::size_t index, unsigned db,
                     const std::function<std::string_view(std::size_t)>& argument, security::MatchBudget& budget);

/// What all calls of may_store_large() for one request may compare, because a request may have a large argument every 16 KB: about a
/// millisecond.
constexpr std::uint64_t most_matches_of_arrivals = 100'000;

/// Redis' words for a denial, without the code NOPERM: "this user has no permissions to run the 'get' command".
std::string denial_text(const Row& row, const RightsVerdict& verdict);

using DenialReason = security::AclLog::Reason;
using DenialContext = security::AclLog::Context;

/// A denial. The views are valid during the call of note_denial().
struct Denial {
  DenialReason reason = DenialReason::command;
  DenialContext context = DenialContext::toplevel;
  std::string_view object = {};  // the command ("client|kill"), the key, the database; auth: "auth" or "hello"
  std::string_view user = {};    // the name of the client's user; auth: the name that was tried
};

/// Counts a denial (acl_access_denied_* of INFO). Called by the client's thread.
void count_denial(Engine& engine, const Session& session, DenialReason reason);
/// Counts a denial and notes it for ACL LOG. All denials come here, but for those of an EXEC beyond most_noted_of_exec (audit.hpp). Called
/// by the client's thread, with nothing locked or, in EXEC, with shards locked.
void note_denial(Engine& engine, const Session& session, const Denial& denial);
/// Notes that a request was denied, for all who want to know: note_denial() and the audit log. `verdict` must not allow it.
void note_denial(Engine& engine, const Session& session, const Row& row, const RightsVerdict& verdict);

/// The same for a command of a transaction or script, with shards locked: all denials are counted, and noted if may_note() says so
/// (audit.hpp).
void note_denial_in_group(Engine& engine, const Session& session, const Row& row, const RightsVerdict& verdict);

/// Whether a command of a transaction is denied now that it is to run: rights may have changed since it was queued, and what was queued
/// before it may have changed the user or the database. If so, replies the error. All denials are counted, and noted
/// if may_note() says so (audit.hpp).
/// Called with the shards of the transaction locked. All commands of the transaction share one budget (Transaction::exec_matches).
bool refused_in_exec(Call& call);

/// Whether the user with which a call was checked may read any key of the selected database with its command, also those that its
/// arguments do not name.
bool may_read_all_keys(const Call& call);

/// For the answer to a client that has waited for this key. Replies the error if its user may not read the key any more, and returns false.
bool may_still_read(Engine& engine, Session& session, const Row& row, unsigned db, std::string_view key, resp::Reply& reply);
/// The same for a client that has waited, and whose request is to be executed now.
bool may_still_make(Engine& engine, Session& session, const Row& row, Args args, unsigned db, resp::Reply& reply);

/// Which keys a command that lists keys, or shows names of others beside its own, may show to its client: those that the user with which
/// the request was checked may read. None if there is no such user. Not thread-safe.
class Listing {
 public:
  /// For a call in the selected database: of a row with Touches::listing, or of one whose entries have names of other keys.
  explicit Listing(const Call& call);
  /// False as well if the budget is spent: a request for a key that is too costly to check is refused.
  bool shows(std::string_view key, security::MatchBudget& budget) const {
    return all_ || (user_ != nullptr && user_->may_list(selectors_, key, budget));
  }
  /// Whether it shows all keys, without a look at them.
  bool shows_all() const { return all_; }
  /// The most comparisons that shows() makes for `key`.
  std::uint64_t most_compared(std::string_view key) const { return user_ == nullptr ? 0 : user_->most_compared(key); }

 private:
  bool all_ = false;
  std::shared_ptr<const security::User> user_;  // null if `all_`, or if there is none
  std::uint64_t selectors_ = 0;                 // those that allow the request
};

/// What the user with which a call was checked is shown of kept requests of anybody. All of them share one budget. Not thread-safe.
class SeenRequests {
 public:
  /// For the call of a command that shows such requests. It must outlive this.
  explicit SeenRequests(const Call& call);
  /// The words that are shown of a request in database `db`. They refer to `words`. If no arguments are, "(redacted)" stands behind
  /// the name.
  std::vector<std::string_view> seen(const RequestWords& words, const Row& row, unsigned db);

 private:
  Sight sight(const RequestWords& words, const Row& row, unsigned db);
  bool has_whole_keys(const RequestWords& words, const Row& row) const;

  const Row& by_;
  const std::shared_ptr<const security::User> user_;
  security::MatchBudget own_;
  security::MatchBudget& budget_;
  std::vector<std::uint32_t> positions_;
  std::vector<std::string_view> args_;
};

/// Closes the connections of all clients whose user was removed, as CLIENT KILL does, but for the client with the id `spared`, which gets a
/// reply first: close_if_removed(). Thread-safe. O(clients), with the registry locked for a few of them at a time.
void close_clients_of_removed_users(Engine& engine, std::uint64_t spared);
/// Has the connection closed after its reply if its user was removed. Called by the client's thread.
void close_if_removed(Session& session, const security::Users& users);

}  // namespace pinfold::command
