// PING ECHO QUIT RESET SELECT SWAPDB HELLO AUTH: the connection itself.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/sleeper.hpp"
#include "pinfold/base/version.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/attributes.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/databases.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/login.hpp"
#include "pinfold/command/task.hpp"
#include "pinfold/command/transaction.hpp"

namespace pinfold::command {
namespace {

constexpr std::string_view kWrongPassword = "WRONGPASS invalid username-password pair or user is disabled.";

Outcome ping(Call& call) {
  if (call.args.size() > 2) return call.reply.error(wrong_arity(call.row));
  if (call.session.only_subscribes()) [[unlikely]] {
    call.reply.array(2);
    call.reply.bulk("pong");
    return call.reply.bulk(call.args.size() == 2 ? call.args[1] : std::string_view());
  }
  if (call.args.size() == 2) return call.bulk_argument(1);
  call.reply.output().append("+PONG\r\n");
  return Outcome::done;
}

Outcome echo(Call& call) { return call.bulk_argument(1); }

Outcome quit(Call& call) {
  call.session.close_after_reply = true;
  return call.reply.ok();
}

// --- databases ---

std::array<std::optional<unsigned>, 2> databases_in_select(Args args) { return {named_database(args[1])}; }
std::array<std::optional<unsigned>, 2> databases_in_swapdb(Args args) { return {named_database(args[1]), named_database(args[2])}; }

Outcome select(Call& call) {
  Cursor arguments(call.args, 1);
  const std::optional<unsigned> number = take_database(call, arguments);
  if (!number) return Outcome::done;
  call.session.select(*number);
  return call.reply.ok();
}

Outcome swapdb(Call& call) {
  const std::optional<int> first = parse_database(call.args[1]);
  if (!first) return call.reply.error("ERR invalid first DB index");
  const std::optional<int> second = parse_database(call.args[2]);
  if (!second) return call.reply.error("ERR invalid second DB index");
  if (!is_database(call, *first) || !is_database(call, *second)) return call.reply.error(no_such_database);
  if (*first != *second) {
    const WakeLater later;
    if (call.held.empty()) call.held.acquire_all();
    call.read_clock();
    call.engine.keyspace.swap(static_cast<unsigned>(*first), static_cast<unsigned>(*second), call.now, call.held);
    if (!call.in_transaction) call.held.release();
  }
  return call.reply.ok();
}

// --- who is there ---

// False: the error has been replied.
bool authenticate(Call& call, std::string_view name, std::string_view password) {
  if (!may_try_to_log_in(call, name)) return false;
  std::shared_ptr<const security::User> user = call.engine.users.authenticate(name, password);
  note_login(call, name, user != nullptr);
  if (user == nullptr) {
    call.reply.error(kWrongPassword);
    return false;
  }
  call.engine.monitors.set_user(call.session, user);
  call.session.set_user(std::move(user));
  // Inside EXEC shards are locked, and to choose whom to evict may take long: the connection does it behind EXEC, with its account.
  if (!call.in_transaction) call.engine.enforce_user_share(call.session);
  return true;
}

Outcome auth(Call& call) {
  if (call.args.size() > 3) return call.syntax_error();
  if (call.args.size() == 2 && call.engine.users.find(security::default_user_name)->nopass()) {
    return call.reply.error(
        "ERR AUTH <password> called without any password configured for the default user. "
        "Are you sure your configuration is correct?");
  }
  const bool named = call.args.size() == 3;
  if (!authenticate(call, named ? call.args[1] : security::default_user_name, call.args.back())) return Outcome::done;
  return call.reply.ok();
}

void set_protocol(Call& call, int version) {
  call.session.set_protocol(version);
  call.reply.set_protocol(version);
}

struct Hello {
  std::optional<int> protocol;
  bool login = false;
  std::string_view user;
  std::string_view password;
  std::optional<std::string_view> name;
};

std::optional<Hello> parse_hello(Call& call) {
  Hello hello;
  Cursor options(call.args, 1);
  if (!options.done()) {
    const std::optional<std::int64_t> version = options.take_integer();
    if (!version) {
      call.reply.error("ERR Protocol version is not an integer or out of range");
      return std::nullopt;
    }
    if (*version != 2 && *version != 3) {
      call.reply.error("NOPROTO unsupported protocol version");
      return std::nullopt;
    }
    hello.protocol = static_cast<int>(*version);
  }
  while (!options.done()) {
    if (options.left() >= 3 && options.take("AUTH")) {
      hello.login = true;
      hello.user = options.take();
      hello.password = options.take();
    } else if (options.take_with_value("SETNAME")) {
      hello.name = options.take();
      if (!is_client_attribute(*hello.name)) {
        call.reply.error(kBadClientName);
        return std::nullopt;
      }
      if (hello.name->size() > longest_attribute) {
        call.reply.error(kLongAttribute);
        return std::nullopt;
      }
    } else {
      const std::string_view option = options.take();
      call.reply.error("ERR Syntax error in HELLO option '" + excerpt(option) + "'");
      return std::nullopt;
    }
  }
  return hello;
}

// Behind an AUTH come a user and a password. A request that is not valid is read so that no password is taken for something else: what
// is no option and has no place behind one may stand behind a mistyped AUTH.
Shown shown_in_hello(Args args, std::size_t index) {
  const auto is = [&args](std::size_t at, std::string_view word) { return at >= 1 && iequals(args[at], word); };
  if (is(index - 1, "AUTH") || (index >= 2 && is(index - 2, "AUTH"))) return Shown::secret;
  const bool expected = is(index, "AUTH") || is(index, "SETNAME") || is(index - 1, "SETNAME") || (index == 1 && parse_i64(args[1]));
  return expected ? Shown::plain : Shown::secret;
}

void describe_server(Call& call) {
  resp::Reply& reply = call.reply;
  reply.map(7);
  reply.bulk("server");
  reply.bulk("redis");
  reply.bulk("version");
  reply.bulk(redis_version);
  reply.bulk("proto");
  reply.integer(call.session.protocol);
  reply.bulk("id");
  reply.integer(static_cast<std::int64_t>(call.session.shared.id));
  reply.bulk("mode");
  reply.bulk("standalone");
  reply.bulk("role");
  reply.bulk("master");
  reply.bulk("modules");
  reply.array(0);
}

Outcome hello(Call& call) {
  const std::optional<Hello> options = parse_hello(call);
  if (!options) return Outcome::done;
  if (options->login && !authenticate(call, options->user, options->password)) return Outcome::done;
  if (call.session.user() == nullptr && call.session.checked_user() == nullptr) {
    return call.reply.error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the "
        "HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and "
        "select the RESP protocol version at the same time");
  }
  if (options->name) call.session.set_name(*options->name);
  if (options->protocol) set_protocol(call, *options->protocol);
  describe_server(call);
  return Outcome::done;
}

// Ends many subscriptions, and then what else there may be many of. The client, which speaks another protocol from now on, is told no more.
class ResetTask final : public Task {
 public:
  explicit ResetTask(Session& session) : receiver_(std::exchange(session.receiver, nullptr)) { irrevocable = true; }

  Outcome step(Call& call) override {
    constexpr std::size_t at_once = 64;
    const std::int64_t end = monotonic_us() + step_us;
    while (!call.engine.pubsub.end_some(call.session, at_once) || !release_some_watched(call.session, call.engine, call.held, at_once)) {
      if (monotonic_us() >= end) return Outcome::waits;
    }
    call.session.receiver = receiver_;
    return call.reply.simple("RESET");
  }

 private:
  PushReceiver* const receiver_;
};

Outcome reset(Call& call) {
  constexpr std::size_t few = 256;
  const bool many = call.session.subscriber != nullptr && call.session.subscriber->count() > few;
  if (!many) call.engine.pubsub.end_some(call.session, SIZE_MAX);
  end_transaction(call.session, call.engine);
  call.engine.monitors.remove(call.session);
  end_tracking(call.session, call.engine);
  call.session.reset(call.engine.users.of_new_connection());
  call.engine.enforce_user_share(call.session);
  call.reply.set_protocol(call.session.protocol);
  if (many) return call.begin(std::make_unique<ResetTask>(call.session));
  return release_watched(call, "RESET");
}

constexpr std::uint32_t kHandshake = kNoScript | kLoading | kFast | kNoAuth | kAllowBusy;

// clang-format off
constexpr Row kRows[] = {
    {.name = "auth", .handler = auth, .arity = -2,
     .flags = kHandshake, .categories = kConnection, .shown = shown_never,
     .group = "connection", .since = "1.0.0",
     .complexity = "O(N) for a password of N bytes.",
     .summary = "Logs the connection in.",
     .syntax = "[username] password"},
    {.name = "echo", .handler = echo, .arity = 2,
     .flags = kLoading | kFast, .categories = kConnection,
     .group = "connection", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Answers with its argument.",
     .syntax = "message"},
    {.name = "hello", .handler = hello, .arity = -1,
     .flags = kHandshake, .categories = kConnection, .shown = shown_in_hello,
     .group = "connection", .since = "6.0.0",
     .complexity = "O(1)",
     .summary = "Greets the server: chooses the protocol, logs in and names the connection in one step.",
     .syntax = "[protover [AUTH username password] [SETNAME clientname]]"},
    {.name = "ping", .handler = ping, .arity = -1,
     .flags = kFast | kForSubscribers, .categories = kConnection,
     .group = "connection", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Answers PONG or its argument, to show that the server is there.",
     .syntax = "[message]"},
    {.name = "quit", .handler = quit, .arity = -1,
     .flags = kHandshake | kImmediate | kForSubscribers, .categories = kConnection,
     .group = "connection", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Closes the connection after the replies still under way."},
    {.name = "reset", .handler = reset, .arity = 1,
     .flags = kHandshake | kImmediate | kForSubscribers, .categories = kConnection,
     .group = "connection", .since = "6.2.0",
     .complexity = "O(N) for N queued commands, watched keys and subscriptions.",
     .summary = "Puts the connection back into the state of a new one."},
    {.name = "select", .handler = select, .arity = 2,
     .flags = kLoading | kFast, .categories = kConnection, .databases = databases_in_select,
     .group = "connection", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Chooses the database that the connection's next commands work on.",
     .syntax = "index"},
    {.name = "swapdb", .handler = swapdb, .arity = 3,
     .flags = kWrite | kFast | kAllShards | kBeyondNamed | kLogged, .categories = kKeyspace | kDangerous,
     .touches = Touches::database, .databases = databases_in_swapdb,
     .group = "server", .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Exchanges the contents of two databases, for all clients at once.",
     .syntax = "index1 index2"},
};
// clang-format on

}  // namespace

std::span<const Row> connection_commands() { return kRows; }

}  // namespace pinfold::command
