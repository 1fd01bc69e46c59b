// CLIENT: what clients say of themselves, and what operators do with them.

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "pinfold/base/words.hpp"
#include "pinfold/command/attributes.hpp"
#include "pinfold/command/client_list.hpp"
#include "pinfold/command/client_tracking.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/help.hpp"
#include "pinfold/command/request_log.hpp"

namespace pinfold::command {

bool is_client_attribute(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c != ' ' && is_printable(c); });
}

std::size_t attribute_memory(const SharedClient& client) {
  return client.name.size() + client.library_name.size() + client.library_version.size();
}

namespace {

// --- about oneself ---

Outcome client_id(Call& call) { return call.reply.integer(static_cast<std::int64_t>(call.session.shared.id)); }

Outcome client_getname(Call& call) {
  const std::string& name = call.session.shared.name;  // written by this thread only
  if (name.empty()) return call.reply.null();
  return call.reply.bulk(name);
}

Outcome client_setname(Call& call) {
  if (!is_client_attribute(call.args[2])) return call.reply.error(kBadClientName);
  if (call.args[2].size() > longest_attribute) return call.reply.error(kLongAttribute);
  call.session.set_name(call.args[2]);
  return call.reply.ok();
}

Outcome client_setinfo(Call& call) {
  SharedClient& shared = call.session.shared;
  const std::string_view option = call.args[2];
  std::string* attribute = nullptr;
  if (iequals(option, "lib-name")) attribute = &shared.library_name;
  if (iequals(option, "lib-ver")) attribute = &shared.library_version;
  if (attribute == nullptr) return call.reply.error("ERR Unrecognized option '" + excerpt(option) + "'");
  if (!is_client_attribute(call.args[3])) {
    return call.reply.error("ERR " + std::string(option) + " cannot contain spaces, newlines or special characters.");
  }
  if (call.args[3].size() > longest_attribute) return call.reply.error(kLongAttribute);
  {
    const std::lock_guard lock(shared.mutex);
    *attribute = call.args[3];
  }
  return call.reply.ok();
}

Outcome client_reply(Call& call) {
  ReplyMode& mode = call.session.reply_mode;
  Cursor option(call.args, 2);
  if (option.take("ON")) {
    mode = ReplyMode::on;
    call.reply.ok();
  } else if (option.take("OFF")) {
    mode = ReplyMode::off;
  } else if (option.take("SKIP")) {
    if (mode != ReplyMode::off) mode = ReplyMode::skip_next;
  } else {
    call.syntax_error();
  }
  return Outcome::done;
}

// ON or OFF; anything else is answered with an error.
std::optional<bool> parse_switch(Call& call) {
  if (iequals(call.args[2], "ON")) return true;
  if (iequals(call.args[2], "OFF")) return false;
  call.syntax_error();
  return std::nullopt;
}

Outcome client_no_evict(Call& call) {
  const std::optional<bool> on = parse_switch(call);
  if (!on) return Outcome::done;
  call.session.shared.no_evict.store(*on, std::memory_order_relaxed);
  return call.reply.ok();
}

Outcome client_no_touch(Call& call) {
  const std::optional<bool> on = parse_switch(call);
  if (!on) return Outcome::done;
  call.session.set_no_touch(*on);
  return call.reply.ok();
}

// --- tracing ---

Outcome client_traceparent(Call& call) {
  SessionTrace& trace = call.session.trace;
  const std::string_view text = call.args[2];
  Cursor options(call.args, 3);
  if (text.empty() || iequals(text, "OFF")) {
    if (!options.done()) return call.syntax_error();
    trace = SessionTrace();
    return call.reply.ok();
  }
  const bool sticky = options.take("STICKY");
  if (!sticky) options.take("ONCE");
  if (!options.done()) return call.syntax_error();
  const std::optional<TraceContext> context = parse_traceparent(text);
  if (!context) {
    return call.reply.error("ERR invalid traceparent: it takes 00-<32 digits>-<16 digits>-<2 digits>, in lower-case hexadecimal");
  }
  const bool in_vain = !sticky && !call.engine.tracing.on();  // nothing would use it up
  trace = in_vain ? SessionTrace() : SessionTrace{.context = *context, .present = true, .once = !sticky};
  return call.reply.ok();
}

// --- killing ---

struct KillFilter {
  std::optional<std::uint64_t> id;
  std::optional<ClientType> type;
  std::optional<std::string_view> user;
  std::optional<std::string_view> address;
  std::optional<std::string_view> local_address;
  std::int64_t min_age = 0;  // seconds
  bool skip_me = true;

  bool matches(SharedClient& client, MonoMs now) const {
    if (id && client.id != *id) return false;
    if (type && *type != type_of(client)) return false;
    if (address && client.address != *address) return false;
    if (local_address && client.local_address != *local_address) return false;
    if ((now - client.created) / 1000 < min_age) return false;
    if (!user) return true;
    const std::lock_guard lock(client.mutex);
    return user_name(client) == *user;
  }
};

// A number above zero, or nothing after an error: `not_integer` or `not_positive`.
std::optional<std::int64_t> take_positive(Call& call, Cursor& options, std::string_view not_integer, std::string_view not_positive) {
  const std::optional<std::int64_t> number = options.take_integer();
  if (number && *number > 0) return number;
  call.reply.error(number ? not_positive : not_integer);
  return std::nullopt;
}

// One option and its value into `filter`; false if an error has been sent.
bool parse_kill_option(Call& call, Cursor& options, KillFilter& filter) {
  if (options.take_with_value("ID")) {
    constexpr std::string_view error = "ERR client-id should be greater than 0";
    const auto id = take_positive(call, options, error, error);
    if (id) filter.id = static_cast<std::uint64_t>(*id);
    return id.has_value();
  }
  if (options.take_with_value("TYPE")) {
    filter.type = parse_client_type(call, options.take());
    return filter.type.has_value();
  }
  if (options.take_with_value("MAXAGE")) {
    const auto age = take_positive(call, options, "ERR maxage is not an integer or out of range", "ERR maxage should be greater than 0");
    filter.min_age = age.value_or(0);
    return age.has_value();
  }
  if (options.take_with_value("USER")) {
    filter.user = options.take();
    if (call.engine.users.find(*filter.user) != nullptr) return true;
    call.reply.error("ERR No such user '" + excerpt(*filter.user) + "'");
    return false;
  }
  if (options.take_with_value("ADDR")) {
    filter.address = options.take();
    return true;
  }
  if (options.take_with_value("LADDR")) {
    filter.local_address = options.take();
    return true;
  }
  if (options.take_with_value("SKIPME")) {
    filter.skip_me = options.take("YES");
    if (filter.skip_me || options.take("NO")) return true;
  }
  call.syntax_error();
  return false;
}

// Marks all clients that match and returns their number, with a line in the log if there are any. One that kills itself gets its reply
// first.
std::int64_t kill_matching(Call& call, const KillFilter& filter) {
  std::int64_t killed = 0;
  call.engine.clients.for_each([&](SharedClient& client) {
    const bool me = &client == &call.session.shared;
    if ((me && filter.skip_me) || client.closing.load(std::memory_order_relaxed)) return;
    if (!filter.matches(client, call.mono)) return;
    ++killed;
    if (me) {
      call.session.close_after_reply = true;
    } else {
      call.engine.clients.kill(client);
    }
  });
  if (killed != 0) note_request(call);
  return killed;
}

Outcome client_kill(Call& call) {
  KillFilter filter;
  if (call.args.size() == 3) {
    filter.address = call.args[2];
    filter.skip_me = false;
    if (kill_matching(call, filter) == 0) return call.reply.error("ERR No such client");
    return call.reply.ok();
  }
  Cursor options(call.args, 2);
  while (!options.done()) {
    if (!parse_kill_option(call, options, filter)) return Outcome::done;
  }
  return call.reply.integer(kill_matching(call, filter));
}

Outcome client_unblock(Call& call) {
  const auto id = parse_i64(call.args[2]);
  if (!id) return call.not_an_integer();
  Cursor options(call.args, 3);
  const bool with_error = options.take("ERROR");
  if (!with_error) options.take("TIMEOUT");
  if (!options.done()) return call.reply.error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
  bool unblocked = false;
  call.engine.clients.with(static_cast<std::uint64_t>(*id),
                           [&](SharedClient& client) { unblocked = call.engine.clients.end_wait(client, with_error); });
  return call.reply.integer(unblocked ? 1 : 0);
}

// --- pausing ---

Outcome client_pause(Call& call) {
  Cursor options(call.args, 2);
  const std::string_view timeout = options.take();
  PauseMode mode = PauseMode::all;
  if (options.left() > 1) {
    return call.reply.error("ERR unknown subcommand or wrong number of arguments for '" + excerpt(call.args[1]) + "'. Try CLIENT HELP.");
  }
  if (options.take("WRITE")) mode = PauseMode::writes;
  if (!options.done() && !options.take("ALL")) {
    return call.reply.error("ERR CLIENT PAUSE mode must be WRITE or ALL");
  }
  const std::optional<std::int64_t> ms = parse_i64(timeout);
  if (!ms) return call.reply.error("ERR timeout is not an integer or out of range");
  if (*ms < 0) return call.reply.error("ERR timeout is negative");
  if (*ms > std::numeric_limits<std::int64_t>::max() - call.now) return call.reply.error("ERR timeout is out of range");
  if (*ms > 0) {
    call.engine.clients.pause(mode, call.mono + *ms, call.mono, call.engine.keyspace);
  }
  return call.reply.ok();
}

Outcome client_unpause(Call& call) {
  call.engine.clients.unpause(call.engine.keyspace);
  return call.reply.ok();
}

constexpr std::uint32_t kSelf = kNoScript | kLoading;
constexpr std::uint32_t kOthers = kSelf | kAdmin;

// clang-format off
constexpr Row kRows[] = {
    {.name = "client", .arity = -2,
     .group = "connection", .since = "2.4.0",
     .complexity = "Depends on the subcommand.",
     .summary = "Looks at and manages connections."},
    {.name = "client|caching", .handler = client_caching, .arity = 3,
     .flags = kSelf, .categories = kConnection,
     .group = "connection", .since = "6.0.0",
     .complexity = "O(1)",
     .summary = "Says whether what the next command reads is tracked, for a connection that tracks with OPTIN or OPTOUT.",
     .syntax = "<YES | NO>"},
    {.name = "client|getname", .handler = client_getname, .arity = 2,
     .flags = kSelf, .categories = kConnection,
     .group = "connection", .since = "2.6.9",
     .complexity = "O(1)",
     .summary = "Tells the name of the connection, if it was given one."},
    {.name = "client|getredir", .handler = client_getredir, .arity = 2,
     .flags = kSelf, .categories = kConnection,
     .group = "connection", .since = "6.0.0",
     .complexity = "O(1)",
     .summary = "Tells to which connection invalidations are redirected: 0 for none, -1 if the connection does not track."},
    {.name = "client|help", .handler = reply_help, .arity = 2,
     .flags = kLoading, .categories = kConnection,
     .group = "connection", .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Prints the subcommands."},
    {.name = "client|id", .handler = client_id, .arity = 2,
     .flags = kSelf, .categories = kConnection,
     .group = "connection", .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Tells the number of the connection; no two connections ever have the same."},
    {.name = "client|info", .handler = client_info, .arity = 2,
     .flags = kSelf, .categories = kConnection,
     .group = "connection", .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Describes the connection, as one line of CLIENT LIST."},
    {.name = "client|kill", .handler = client_kill, .arity = -3,
     .flags = kOthers | kNoMulti, .categories = kConnection,
     .group = "connection", .since = "2.4.0",
     .complexity = "O(N) for N connections.",
     .summary = "Closes connections, by address or by what they have in common.",
     .syntax = "<ip:port | <[ID client-id] | [TYPE <NORMAL | MASTER | SLAVE | REPLICA | PUBSUB>] | [USER username] | [ADDR ip:port] | "
               "[LADDR ip:port] | [SKIPME <YES | NO>] | [MAXAGE maxage]> [<[ID client-id] | [TYPE <NORMAL | MASTER | SLAVE | REPLICA | "
               "PUBSUB>] | [USER username] | [ADDR ip:port] | [LADDR ip:port] | [SKIPME <YES | NO>] | [MAXAGE maxage]> ...]>"},
    {.name = "client|list", .handler = client_list, .arity = -2,
     .flags = kOthers | kNoMulti, .categories = kConnection,
     .group = "connection", .since = "2.4.0",
     .complexity = "O(N) for N connections; other clients are served meanwhile.",
     .summary = "Describes connections, one line each.",
     .syntax = "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]"},
    {.name = "client|no-evict", .handler = client_no_evict, .arity = 3,
     .flags = kOthers, .categories = kConnection,
     .group = "connection", .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Protects the connection from being closed for memory.",
     .syntax = "<ON | OFF>"},
    {.name = "client|no-touch", .handler = client_no_touch, .arity = 3,
     .flags = kSelf, .categories = kConnection,
     .group = "connection", .since = "7.2.0",
     .complexity = "O(1)",
     .summary = "Lets the connection read without making keys count as used.",
     .syntax = "<ON | OFF>"},
    {.name = "client|pause", .handler = client_pause, .arity = -3,
     .flags = kOthers | kLogged, .categories = kConnection,
     .group = "connection", .since = "2.9.50",
     .complexity = "O(1)",
     .summary = "Lets commands wait for some time: all of them, or only those that write.",
     .syntax = "timeout [WRITE | ALL]"},
    {.name = "client|reply", .handler = client_reply, .arity = 3,
     .flags = kSelf, .categories = kConnection,
     .group = "connection", .since = "3.2.0",
     .complexity = "O(1)",
     .summary = "Turns the replies to the connection on or off, or skips the next one.",
     .syntax = "<ON | OFF | SKIP>"},
    {.name = "client|setinfo", .handler = client_setinfo, .arity = 4,
     .flags = kSelf, .categories = kConnection,
     .group = "connection", .since = "7.2.0",
     .complexity = "O(1)",
     .summary = "Says which client library, of which version, is on the connection.",
     .syntax = "<LIB-NAME libname | LIB-VER libver>"},
    {.name = "client|setname", .handler = client_setname, .arity = 3,
     .flags = kSelf, .categories = kConnection,
     .group = "connection", .since = "2.6.9",
     .complexity = "O(1)",
     .summary = "Gives the connection a name that others see in lists and logs.",
     .syntax = "connection-name"},
    {.name = "client|tracking", .handler = client_tracking, .arity = -3,
     .flags = kSelf | kAllShards, .categories = kConnection, .touches = Touches::no_key,
     .group = "connection", .since = "6.0.0",
     .complexity = "O(1). Some options may introduce additional complexity.",
     .summary = "Has the connection told when keys change that it has read, or that begin with prefixes, so that it can cache values.",
     .syntax = "<ON | OFF> [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]"},
    {.name = "client|trackinginfo", .handler = client_trackinginfo, .arity = 2,
     .flags = kSelf, .categories = kConnection,
     .group = "connection", .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Tells how the connection tracks keys."},
    {.name = "client|traceparent", .handler = client_traceparent, .arity = -3,
     .flags = kSelf, .categories = kConnection,
     .group = "connection", .since = "0.1.0",
     .complexity = "O(1)",
     .summary = "Gives the connection's next command (ONCE, the default), or all from now on (STICKY), the trace context of a W3C "
                "traceparent. If its sampled flag is set, they are traced as parts of that trace, while trace-endpoint is set; if not, "
                "they are not traced. OFF ends that.",
     .syntax = "<traceparent | OFF> [ONCE | STICKY]"},
    {.name = "client|unblock", .handler = client_unblock, .arity = -3,
     .flags = kOthers, .categories = kConnection,
     .group = "connection", .since = "5.0.0",
     .complexity = "O(log N) for N connections.",
     .summary = "Ends the wait of a connection for a key that somebody else is loading.",
     .syntax = "client-id [TIMEOUT | ERROR]"},
    {.name = "client|unpause", .handler = client_unpause, .arity = 2,
     .flags = kOthers | kSkipPause | kLogged, .categories = kConnection,
     .group = "connection", .since = "6.2.0",
     .complexity = "O(N) for N paused connections.",
     .summary = "Ends a CLIENT PAUSE. Runs although clients are paused."},
};
// clang-format on

}  // namespace

std::span<const Row> client_commands() { return kRows; }

}  // namespace pinfold::command
