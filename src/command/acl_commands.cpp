// ACL: users and their rights.

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/random.h>

#include "pinfold/base/text.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/audit.hpp"
#include "pinfold/command/catalogue.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/help.hpp"
#include "pinfold/command/main_thread_task.hpp"
#include "pinfold/command/rights.hpp"
#include "pinfold/command/user_files.hpp"

namespace pinfold::command {
namespace {

using config::Id;
using security::AclLog;
using security::User;
using security::Users;

// For a subcommand that takes fewer arguments than were sent, in Redis' words.
resp::Written too_many_arguments(Call& call) {
  return call.reply.error("ERR unknown subcommand or wrong number of arguments for '" + excerpt(call.args[1]) + "'. Try ACL HELP.");
}

// --- about the commands and oneself ---

Outcome acl_cat(Call& call) {
  if (call.args.size() > 3) return too_many_arguments(call);
  const security::CommandCatalogue& all = catalogue();
  if (call.args.size() == 2) {
    call.reply.array(all.categories().size());
    for (const std::string_view category : all.categories()) call.reply.bulk(category);
    return Outcome::done;
  }
  const std::optional<std::size_t> category = all.find_category(call.args[2]);
  if (!category) return call.reply.error("ERR Unknown category '" + excerpt(call.args[2]) + "'");
  std::vector<std::string_view> names;
  for (std::size_t command = 0; command < all.count(); ++command) {
    if (all.in_category(command, *category)) names.push_back(all.name(command));
  }
  call.reply.array(names.size());
  for (const std::string_view name : names) call.reply.bulk(name);
  return Outcome::done;
}

Outcome acl_whoami(Call& call) { return call.reply.bulk(user_name(call.session.shared)); }

Outcome acl_genpass(Call& call) {
  if (call.args.size() > 3) return too_many_arguments(call);
  constexpr std::int64_t most_bits = 4096;
  std::int64_t bits = 256;
  if (call.args.size() == 3) {
    const std::optional<std::int64_t> number = parse_i64(call.args[2]);
    if (!number) return call.not_an_integer();
    bits = *number;
  }
  if (bits <= 0 || bits > most_bits) {
    return call.reply.error("ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096");
  }
  std::array<unsigned char, most_bits / 8> bytes{};
  const std::size_t digits = static_cast<std::size_t>(bits + 3) / 4;
  const std::size_t wanted = (digits + 1) / 2;
  for (std::size_t got = 0; got < wanted;) {
    const ssize_t more = ::getrandom(bytes.data() + got, wanted - got, 0);
    if (more < 0 && errno != EINTR)
      return call.reply.error("ERR the system has no random numbers: " + std::generic_category().message(errno));
    if (more > 0) got += static_cast<std::size_t>(more);
  }
  constexpr std::string_view hexadecimal = "0123456789abcdef";
  std::string password;
  for (std::size_t i = 0; i < digits; ++i) password += hexadecimal[i % 2 == 0 ? bytes[i / 2] >> 4 : bytes[i / 2] & 15];
  return call.reply.bulk(password);
}

// --- showing users ---

// A reply with an element for each user, in pieces of bounded size. The users are those of the moment when it began.
class UsersTask : public Task {
 public:
  using Element = void (*)(resp::Reply& reply, const User& user);
  UsersTask(std::vector<Users::Pointer> users, Element element) : users_(std::move(users)), element_(element) {}

  Outcome step(Call& call) override {
    const std::size_t before = call.reply.output().size();
    if (!std::exchange(replying, true)) call.reply.array(users_.size());
    while (next_ < users_.size() && call.reply.output().size() - before < reply_piece) element_(call.reply, *users_[next_++]);
    return next_ == users_.size() ? Outcome::done : Outcome::waits;
  }

 private:
  const std::vector<Users::Pointer> users_;
  const Element element_;
  std::size_t next_ = 0;
};

Outcome reply_users(Call& call, UsersTask::Element element) {
  constexpr std::size_t few = 16;  // are shown at once
  std::vector<Users::Pointer> users = call.engine.users.all();
  const std::size_t count = users.size();
  auto task = std::make_unique<UsersTask>(std::move(users), element);
  if (count <= few) return call.run_whole(*task);
  return call.park(std::move(task));
}

Outcome acl_list(Call& call) {
  return reply_users(call,
                     [](resp::Reply& reply, const User& user) { reply.bulk("user " + user.name() + " " + security::rules_of(user)); });
}

Outcome acl_users(Call& call) {
  return reply_users(call, [](resp::Reply& reply, const User& user) { reply.bulk(user.name()); });
}

std::vector<std::string_view> flag_names(const User& user) {
  std::vector<std::string_view> names = {user.enabled() ? "on" : "off"};
  if (user.nopass()) names.emplace_back("nopass");
  if (user.fields().sanitize == security::Sanitize::skip) names.emplace_back("skip-sanitize-payload");
  if (user.fields().sanitize == security::Sanitize::sanitize) names.emplace_back("sanitize-payload");
  return names;
}

// The fields of a selector, which for the first are fields of the user. "databases" is not among them.
void reply_permissions(resp::Reply& reply, const security::Selector& selector) {
  reply.bulk("commands");
  reply.bulk(selector.command_text());
  reply.bulk("keys");
  reply.bulk(selector.key_text());
  reply.bulk("channels");
  reply.bulk(selector.channel_text());
}
constexpr std::size_t permissions = 3;

// Returns how many fields that are: none if the selector allows all databases.
std::size_t databases(const security::Selector& selector) { return selector.all_databases ? 0 : 1; }

void reply_databases(resp::Reply& reply, const security::Selector& selector) {
  if (databases(selector) == 0) return;
  reply.bulk("databases");
  reply.bulk(selector.database_text());
}

Outcome acl_getuser(Call& call) {
  const Users::Pointer user = call.engine.users.find(call.args[2]);
  if (user == nullptr) return call.reply.null();
  resp::Reply& reply = call.reply;
  const std::vector<security::Selector>& selectors = user->selectors();
  const security::UserLimits& limits = user->limits();
  reply.map(3 + permissions + databases(selectors[0]) + (limits.memory ? 1 : 0) + (limits.requests ? 1 : 0));
  reply.bulk("flags");
  const std::vector<std::string_view> flags = flag_names(*user);
  reply.set(flags.size());
  for (const std::string_view flag : flags) reply.bulk(flag);
  reply.bulk("passwords");
  reply.array(user->passwords().size());
  for (const security::PasswordHash& hash : user->passwords()) reply.bulk(security::hexadecimal(hash));
  reply_permissions(reply, selectors[0]);
  reply.bulk("selectors");
  reply.array(selectors.size() - 1);
  for (std::size_t i = 1; i < selectors.size(); ++i) {
    reply.map(permissions + databases(selectors[i]));
    reply_permissions(reply, selectors[i]);
    reply_databases(reply, selectors[i]);
  }
  // Behind all others, as there are clients that find the fields by their positions.
  reply_databases(reply, selectors[0]);
  if (limits.memory) {
    reply.bulk("maxmemory");
    reply.bulk(security::show_memory_limit(*limits.memory));
  }
  if (limits.requests) {
    reply.bulk("rate");
    reply.bulk(std::to_string(*limits.requests));
  }
  return Outcome::done;
}

// --- changing users ---

// Applies all rules to the draft. False: the error has been replied.
bool apply_rules(Call& call, security::UserRules& draft, const std::vector<std::string>& rules) {
  for (const std::string& rule : rules) {
    const std::optional<std::string> reason = draft.apply(rule, catalogue());
    if (!reason) continue;
    call.reply.error("ERR Error in ACL SETUSER modifier '" + excerpt(shown_rule(rule)) + "': " + *reason);
    return false;
  }
  return true;
}

Outcome acl_setuser(Call& call) {
  const std::string_view name = call.args[2];
  if (name.empty()) return call.reply.error("ERR Usernames can't be empty");
  if (name.size() > security::longest_user_name) return call.reply.error("ERR Usernames can't be longer than 1024 bytes");
  if (!security::is_user_name(name)) return call.reply.error("ERR Usernames can't contain spaces or null characters");
  if (const auto error = security::UserRules::too_many(call.args.subspan(3))) return call.reply.error("ERR " + *error);
  std::vector<std::string> rules;
  if (const auto begun = merge_selectors(call.args.subspan(3), rules)) {
    return call.reply.error("ERR Unmatched parenthesis in acl selector starting at '" + excerpt(shown_rule(*begun)) + "'.");
  }
  Users& users = call.engine.users;
  for (;;) {
    const Users::Pointer before = users.find(name);
    security::UserRules draft = draft_of_user(call.engine.settings, name, before.get());
    if (!apply_rules(call, draft, rules)) return Outcome::done;
    const Users::Pointer user = draft.build();
    if (const auto error = security::UserRules::too_long(*user)) return call.reply.error("ERR " + *error);
    const Users::Refused refused = users.publish_within_limits(user, before);
    if (refused == Users::Refused::no) {
      call.engine.pubsub.look_at_rights();
      return call.reply.ok();
    }
    if (refused != Users::Refused::changed) return call.reply.error("ERR " + std::string(security::refusal_text(refused)));
  }
}

Outcome acl_deluser(Call& call) {
  const Args names = call.args.subspan(2);
  for (const std::string_view name : names) {
    if (name == security::default_user_name) return call.reply.error("ERR The 'default' user cannot be removed");
  }
  const std::size_t removed = call.engine.users.remove(names);
  if (removed != 0) {
    close_clients_of_removed_users(call.engine, call.session.shared.id);
    close_if_removed(call.session, call.engine.users);
  }
  return call.reply.integer(static_cast<std::int64_t>(removed));
}

// --- trying ---

// What ACL DRYRUN says of a denial: the words of the error, but for a key, which it names.
std::string dry_run_text(const Row& row, const RightsVerdict& verdict) {
  if (verdict.denied == security::Verdict::Denied::key) {
    return "This user has no permissions to access the '" + std::string(verdict.object) + "' key";
  }
  if (verdict.denied == security::Verdict::Denied::channel) {
    return "This user has no permissions to access the '" + std::string(verdict.object) + "' channel";
  }
  std::string text = denial_text(row, verdict);
  if (!text.empty()) text[0] = upper(text[0]);
  return text;
}

Outcome acl_dryrun(Call& call) {
  const Users::Pointer user = call.engine.users.find(call.args[2]);
  if (user == nullptr) return call.reply.error("ERR User '" + excerpt(call.args[2]) + "' not found");
  const Args request = call.args.subspan(3);
  const Row* const row = find_command(request);
  const bool found = row != nullptr && (!is_container(*row) || request.size() == 1 || row->handler != nullptr);
  if (!found) return call.reply.error("ERR Command '" + excerpt(request[0]) + "' not found");
  if (!arity_fits(*row, request.size())) return call.reply.error(wrong_arity(*row));
  security::MatchBudget budget;
  const RightsVerdict verdict = check_rights(*user, *row, request, call.session.db, budget);
  if (verdict.allowed()) return call.reply.ok();
  return call.reply.bulk(dry_run_text(*row, verdict));
}

// --- the log ---

void reply_entry(resp::Reply& reply, const AclLog::Entry& entry, MonoMs now) {
  reply.map(10);
  reply.bulk("count");
  reply.integer(static_cast<std::int64_t>(entry.count));
  reply.bulk("reason");
  reply.bulk(security::reason_name(entry.event.reason));
  reply.bulk("context");
  reply.bulk(security::context_name(entry.event.context));
  reply.bulk("object");
  reply.bulk(entry.event.object);
  reply.bulk("username");
  reply.bulk(entry.event.username);
  reply.bulk("age-seconds");
  constexpr double second = 1000;
  reply.real(static_cast<double>(std::max<std::int64_t>(0, now - entry.noted)) / second);
  reply.bulk("client-info");
  reply.bulk(entry.event.client);
  reply.bulk("entry-id");
  reply.integer(static_cast<std::int64_t>(entry.id));
  reply.bulk("timestamp-created");
  reply.integer(entry.created);
  reply.bulk("timestamp-last-updated");
  reply.integer(entry.updated);
}

Outcome acl_log(Call& call) {
  if (call.args.size() > 3) return too_many_arguments(call);
  Cursor options(call.args, 2);
  if (options.take("RESET")) {
    call.engine.acl_log.reset();
    return call.reply.ok();
  }
  std::int64_t count = 10;
  if (!options.done()) {
    const std::optional<std::int64_t> number = options.take_integer();
    if (!number) return call.not_an_integer();
    count = std::max<std::int64_t>(0, *number);
  }
  const std::vector<AclLog::Entry> entries = call.engine.acl_log.newest(static_cast<std::size_t>(count));
  call.reply.array(entries.size());
  for (const AclLog::Entry& entry : entries) reply_entry(call.reply, entry, call.mono);
  return Outcome::done;
}

// --- the file ---

constexpr std::string_view no_acl_file =
    "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then "
    "issue "
    "a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.";

// Reads or writes the file. What was read may have removed the user of the client that asked.
class FileTask final : public MainThreadTask {
 public:
  using MainThreadTask::MainThreadTask;

  Outcome step(Call& call) override {
    const Outcome outcome = MainThreadTask::step(call);
    if (outcome != Outcome::waits) close_if_removed(call.session, call.engine.users);
    return outcome;
  }
};

std::optional<std::string> load_file(Engine& engine, std::uint64_t client) {
  std::vector<Users::Pointer> users;
  if (auto error = read_acl_file(engine.settings, users)) return error;
  if (const Users::Refused refused = engine.users.replace_all(std::move(users)); refused != Users::Refused::no) {
    return std::string("Error loading ACLs: ") + security::refusal_text(refused);
  }
  close_clients_of_removed_users(engine, client);
  engine.pubsub.look_at_rights();
  return std::nullopt;
}

std::optional<std::string> save_file(Engine& engine) { return write_acl_file(engine.settings, engine.users.all()); }

Outcome with_file(Call& call, MainThreadTask::Work work, std::string error_prefix) {
  if (call.engine.settings.text(Id::aclfile).empty()) return call.reply.error(no_acl_file);
  return call.park(std::make_unique<FileTask>(call, AuditLog::Kind::acl, std::move(work), std::move(error_prefix)));
}

Outcome acl_load(Call& call) {
  return with_file(
      call, [client = call.session.shared.id](Engine& engine) { return load_file(engine, client); }, "ERR ");
}

Outcome acl_save(Call& call) {
  return with_file(call, save_file, "ERR There was an error trying to save the ACLs. Please check the server logs for more information: ");
}

// For names of users. Behind ACL DELUSER or in the place of a name there may be rules by mistake, in one argument or in several.
Shown shown_as_name(Args args, std::size_t index) {
  constexpr std::size_t first_name = 2;
  const bool may_be_name = security::is_user_name(args[index]) && !security::is_about_password(args[index]);
  return index < first_name || may_be_name ? Shown::plain : Shown::secret;
}

// A rule may be a password, or have one inside of a selector by mistake, or be one whose '>' was forgotten. So what does not begin as a
// rule without a password is taken for one.
Shown shown_in_setuser(Args args, std::size_t index) {
  constexpr std::size_t first_rule = 3;
  if (index < first_rule) return shown_as_name(args, index);
  return security::is_rule_without_secret(args[index]) ? Shown::plain : Shown::secret;
}

// A request that ACL DRYRUN tries may have a password. So nothing of it is shown unless it is known which command it is: if a command or
// subcommand is mistyped, or if the user has been left out. What a DRYRUN inside tries is not looked at. Of a command whose requests are in
// no log, such as SET, only the name is shown: its arguments are keys and values.
Shown shown_in_dryrun(Args args, std::size_t index) {
  constexpr std::size_t first = 3;
  if (index < first) return shown_as_name(args, index);
  const bool has_user = find_command_by_name(args[first - 1]) == nullptr;
  const Args request = args.subspan(first);
  const std::size_t at = index - first;
  const Shown shown = has_user ? shown_in_request(request, at) : Shown::secret;
  if (shown == Shown::secret) return shown;
  const Row& row = *find_command(request);
  return at < words_of_name(row) || is_audited(row) ? shown : Shown::secret;
}

constexpr std::uint32_t kForAll = kNoScript | kLoading;
constexpr std::uint32_t kForAdmins = kForAll | kAdmin | kNoMulti;

// clang-format off
constexpr Row kRows[] = {
    {.name = "acl", .arity = -2,
     .group = "server", .since = "6.0.0",
     .complexity = "Depends on the subcommand.",
     .summary = "Shows and changes users and their rights."},
    {.name = "acl|cat", .handler = acl_cat, .arity = -2,
     .flags = kForAll,
     .group = "server", .since = "6.0.0",
     .complexity = "O(1)",
     .summary = "Lists the categories of commands, or the commands of one.",
     .syntax = "[categoryname]"},
    {.name = "acl|deluser", .handler = acl_deluser, .arity = -3,
     .flags = kForAdmins | kLogged, .shown = shown_as_name,
     .group = "server", .since = "6.0.0",
     .complexity = "O(N) for N connections.",
     .summary = "Removes users and closes their connections.",
     .syntax = "username [username ...]"},
    {.name = "acl|dryrun", .handler = acl_dryrun, .arity = -4,
     .flags = kForAdmins, .shown = shown_in_dryrun, .has_request = true,
     .group = "server", .since = "7.0.0",
     .complexity = "O(N) for N patterns of the user.",
     .summary = "Tells whether a user may do something, without doing it.",
     .syntax = "username command [arg [arg ...]]"},
    {.name = "acl|genpass", .handler = acl_genpass, .arity = -2,
     .flags = kForAll,
     .group = "server", .since = "6.0.0",
     .complexity = "O(1)",
     .summary = "Makes a random password.",
     .syntax = "[bits]"},
    {.name = "acl|getuser", .handler = acl_getuser, .arity = 3,
     .flags = kForAdmins, .shown = shown_as_name,
     .group = "server", .since = "6.0.0",
     .complexity = "O(N) for N rules of the user.",
     .summary = "Shows the rules of a user.",
     .syntax = "username"},
    {.name = "acl|help", .handler = reply_help, .arity = 2,
     .flags = kLoading,
     .group = "server", .since = "6.0.0",
     .complexity = "O(1)",
     .summary = "Prints the subcommands."},
    {.name = "acl|list", .handler = acl_list, .arity = 2,
     .flags = kForAdmins,
     .group = "server", .since = "6.0.0",
     .complexity = "O(N) for N users; other clients are served meanwhile.",
     .summary = "Shows the rules of all users, as lines of an ACL file."},
    {.name = "acl|load", .handler = acl_load, .arity = 2,
     .flags = kForAdmins,
     .group = "server", .since = "6.0.0",
     .complexity = "O(N) for N users; other clients are served meanwhile.",
     .summary = "Reads the users from the ACL file, all or, if one is wrong, none."},
    {.name = "acl|log", .handler = acl_log, .arity = -2,
     .flags = kForAdmins,
     .group = "server", .since = "6.0.0",
     .complexity = "O(N) for N entries shown.",
     .summary = "Shows the last refusals, or forgets them.",
     .syntax = "[count | RESET]"},
    {.name = "acl|save", .handler = acl_save, .arity = 2,
     .flags = kForAdmins,
     .group = "server", .since = "6.0.0",
     .complexity = "O(N) for N users; other clients are served meanwhile.",
     .summary = "Writes the users into the ACL file."},
    {.name = "acl|setuser", .handler = acl_setuser, .arity = -3,
     .flags = kForAdmins | kLogged, .shown = shown_in_setuser,
     .group = "server", .since = "6.0.0",
     .complexity = "O(N) for N rules.",
     .summary = "Makes or changes a user, by all of the rules or, if one is wrong, none.",
     .syntax = "username [rule [rule ...]]"},
    {.name = "acl|users", .handler = acl_users, .arity = 2,
     .flags = kForAdmins,
     .group = "server", .since = "6.0.0",
     .complexity = "O(N) for N users; other clients are served meanwhile.",
     .summary = "Lists the names of all users."},
    {.name = "acl|whoami", .handler = acl_whoami, .arity = 2,
     .flags = kForAll,
     .group = "server", .since = "6.0.0",
     .complexity = "O(1)",
     .summary = "Tells as which user the connection has authenticated."},
};
// clang-format on

}  // namespace

std::span<const Row> acl_commands() { return kRows; }

}  // namespace pinfold::command
