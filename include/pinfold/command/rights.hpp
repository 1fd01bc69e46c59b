#pragma once
// What the user of a client may do: the checks on the way of a request.
//
// Every request is checked with the keys that extract_keys() finds, which are those that are locked and that the handler gets. What a
// command touches beyond them its row says (Row::touches). A user that may do everything (User::unlimited) costs one comparison.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/command/call.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/security/user.hpp"

namespace pinfold::command {

/// What a command with this use needs to be allowed with a key, as in Redis: what its key spec calls ACCESS is read; INSERT, DELETE and
/// UPDATE are written.
security::Access access_of(KeyUse use);

/// The answer to a check, with what it is about in words.
struct RightsVerdict {
  security::Verdict::Denied denied = security::Verdict::Denied::no;
  std::string_view object;  // the key, the database's number as it was sent, or empty: then it is the command

  bool allowed() const { return denied == security::Verdict::Denied::no; }
};

/// Whether `user` may make this request in database `db`. The arguments must fit the row's arity. If no keys can be extracted, only the
/// command and the database are checked: such a request is answered with key_error(), and touches nothing. The verdict refers to `args`.
/// O(what User::check takes). Throws std::bad_alloc.
RightsVerdict check_rights(const security::User& user, const Row& row, Args args, unsigned db);

/// Redis' words for a denial, without the code NOPERM: "this user has no permissions to run the 'get' command". ACL DRYRUN begins it with a
/// capital letter and names the key.
std::string denial_text(const Row& row, const RightsVerdict& verdict);

/// Why something was denied, for ACL LOG, with Redis' words in this order: command, key, channel, auth; and database.
enum class DenialReason : std::uint8_t { command, key, channel, auth, database };
/// What the client was doing.
enum class DenialContext : std::uint8_t { toplevel, multi };

/// A denial. The views are valid during the call of note_denial().
struct Denial {
  DenialReason reason = DenialReason::command;
  DenialContext context = DenialContext::toplevel;
  std::string_view object;  // the command ("client|kill"), the key, the database; auth: "AUTH" or "HELLO"
  std::string_view user;    // the name of the client's user; auth: the name that was tried
};

/// Counts a denial (acl_access_denied_* of INFO) and notes it for ACL LOG. All denials come here. Called by the client's thread, with
/// nothing locked or, in EXEC, with shards locked.
void note_denial(Engine& engine, const Session& session, const Denial& denial);

/// Whether the client's user may be told that there is a key: commands that list keys leave out the others. Made once for a command;
/// refers to the user, which it keeps alive.
class Listing {
 public:
  /// For the command with this row, in this database.
  Listing(const Session& session, const security::Users& users, const Row& row, unsigned db);
  /// Whether every key may be listed.
  bool all() const { return user_ == nullptr; }
  bool may_list(std::string_view key) const;

 private:
  std::shared_ptr<const security::User> user_;  // null: it may read everything
  std::size_t command_;
  unsigned db_;
};

/// Closes the connections of all clients whose user was removed, as CLIENT KILL does. That of `self`, if it is one of them, is closed
/// after its reply. Returns how many. O(clients).
std::size_t close_clients_of_removed_users(Engine& engine, Session& self);

}  // namespace pinfold::command
