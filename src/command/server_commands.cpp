// Commands about the server as a whole that have no file of their own.

#include <limits>
#include <string>

#include "pinfold/base/text.hpp"
#include "pinfold/base/version.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"

namespace pinfold::command {
namespace {

Outcome time(Call& call) {
  constexpr std::int64_t second = 1'000'000;
  const std::int64_t now = unix_us();
  call.reply.array(2);
  call.reply.bulk_integer(now / second);
  return call.reply.bulk_integer(now % second);
}

// Nothing is ever saved; as Redis, the server counts from its start.
Outcome lastsave(Call& call) { return call.reply.integer(call.engine.started_at / 1000); }

Outcome role(Call& call) {
  call.reply.array(3);
  call.reply.bulk("master");
  call.reply.integer(0);
  return call.reply.array(0);
}

// There are no replicas and never will be any to wait for, so the answer is known at once.
Outcome wait(Call& call) {
  Cursor arguments(call.args, 1);
  if (!arguments.take_integer()) return call.not_an_integer();
  const std::optional<std::int64_t> timeout = arguments.take_integer();
  if (!timeout) return call.reply.error("ERR timeout is not an integer or out of range");
  if (*timeout < 0) return call.reply.error("ERR timeout is negative");
  if (*timeout > std::numeric_limits<std::int64_t>::max() - call.now) {
    return call.reply.error("ERR timeout is out of range");
  }
  return call.reply.integer(0);
}

constexpr std::string_view kPen =
    "      __________________________\n"
    "     |  |  |  |  |  |  |  |  |  |\n"
    "     |==|==|==|==|==|==|==|==|==|\n"
    "     |    (oo)        (oo)      |\n"
    "     |  (~~~~~)     (~~~~~)  ___|\n"
    "     |__|_|_|_|_____|_|_|_|_/   |\n"
    "\n"
    "  The herd is in, and off the database's meadow.\n"
    "\n";

Outcome lolwut(Call& call) {
  Cursor options(call.args, 1);
  if (options.take_with_value("VERSION") && !options.take_integer()) return call.not_an_integer();
  return call.reply.verbatim(std::string(kPen).append("Pinfold ver. ").append(version).append("\n"));
}

struct ShutdownOptions {
  bool nosave = false;
  bool save = false;
  bool now = false;
  bool force = false;
  bool abort = false;
};

// False if the arguments are wrong.
bool take_shutdown_options(Cursor arguments, ShutdownOptions& options) {
  while (!arguments.done()) {
    if (arguments.take("NOSAVE"))
      options.nosave = true;
    else if (arguments.take("SAVE"))
      options.save = true;
    else if (arguments.take("NOW"))
      options.now = true;
    else if (arguments.take("FORCE"))
      options.force = true;
    else if (arguments.take("ABORT"))
      options.abort = true;
    else
      return false;
  }
  const bool others = options.nosave || options.save || options.now || options.force;
  return !(options.abort && others) && !(options.nosave && options.save);
}

Outcome shutdown(Call& call) {
  ShutdownOptions options;
  if (!take_shutdown_options(Cursor(call.args, 1), options)) return call.syntax_error();
  // A shutdown that has begun does not wait for anything, so it is never there to be aborted.
  if (options.abort) return call.reply.error("ERR No shutdown in progress.");
  if (options.save && !options.force) {
    return call.reply.error("ERR There are no snapshots to save. Use SHUTDOWN NOSAVE, or FORCE.");
  }
  call.session.close_after_reply = true;  // and there is no reply
  if (call.engine.shut_down) call.engine.shut_down();
  return Outcome::done;
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "lastsave", .handler = lastsave, .arity = 1,
     .flags = kLoading | kFast, .categories = kAdministrative | kDangerous,
     .group = "server", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Tells when data was last saved: as nothing is, when the server was started."},
    {.name = "lolwut", .handler = lolwut, .arity = -1,
     .flags = kReadOnly | kFast, .touches = Touches::no_key,
     .group = "server", .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Shows a picture and the version of the server.",
     .syntax = "[VERSION version]"},
    {.name = "role", .handler = role, .arity = 1,
     .flags = kNoScript | kLoading | kFast, .categories = kAdministrative | kDangerous,
     .group = "server", .since = "2.8.12",
     .complexity = "O(1)",
     .summary = "Tells the role of this server in replication: always a master without replicas."},
    {.name = "shutdown", .handler = shutdown, .arity = -1,
     .flags = kAdmin | kNoScript | kLoading | kNoMulti | kAllowBusy | kLogged,
     .group = "server", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Stops the server.",
     .syntax = "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]"},
    {.name = "time", .handler = time, .arity = 1,
     .flags = kLoading | kFast,
     .group = "server", .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Tells the server's time in seconds and microseconds since 1970."},
    {.name = "wait", .handler = wait, .arity = 3,
     .categories = kConnection,
     .group = "generic", .since = "3.0.0",
     .complexity = "O(1)",
     .summary = "Counts the replicas that have received this client's writes: always 0, as there are none.",
     .syntax = "numreplicas timeout"},
};
// clang-format on

}  // namespace

std::span<const Row> server_commands() { return kRows; }

}  // namespace pinfold::command
