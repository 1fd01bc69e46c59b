// DEBUG: what tests need and nobody else should have, so it is off unless the operator turns it on.

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "pinfold/base/words.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/encoding.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"

namespace pinfold::command {
namespace {

// Redis reads numbers with strtod and atoi here: what is none is 0.
Outcome sleep(Call& call) {
  constexpr double longest = 1e9;  // seconds; more does not fit into the clock's type
  const double seconds = std::strtod(std::string(call.args[2]).c_str(), nullptr);
  if (seconds > 0) std::this_thread::sleep_for(std::chrono::duration<double>(std::min(seconds, longest)));
  return call.reply.ok();
}

Outcome set_active_expire(Call& call) {
  call.engine.keyspace.set_active_expire(std::atoi(std::string(call.args[2]).c_str()) != 0);
  return call.reply.ok();
}

// The command table knows no keys of DEBUG, as in Redis, so dispatch has locked nothing, unless this is
// inside EXEC, which has then locked everything.
Outcome object(Call& call) {
  const store::Key key = call.engine.keyspace.key(call.args[2]);
  if (call.held.empty()) call.held.acquire(key);
  call.read_clock();
  const std::optional<store::Value> value = call.db().find(key, store::Access::none());
  if (!value) return call.reply.error("ERR no such key");
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), "Value at:%p refcount:1 encoding:%.*s length:%zu frequency:%u",
                value->handle() ? value->handle().raw() : static_cast<const void*>(value->text.data()),
                static_cast<int>(encoding_name(*value).size()), encoding_name(*value).data(),
                static_cast<std::size_t>(value->handle() ? value->handle().count() : value->text.size()),
                static_cast<unsigned>(value->frequency));
  return call.reply.simple(text.data());
}

Outcome help(Call& call) {
  constexpr std::string_view lines[] = {
      "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
      "OBJECT <key>",
      "    Tells how the value of a key is stored.",
      "SET-ACTIVE-EXPIRE <0|1>",
      "    Stops or starts the removal of expired keys in the background.",
      "SLEEP <seconds>",
      "    Keeps the thread that serves this client busy; fractions are allowed.",
      "HELP",
      "    Prints this.",
  };
  call.reply.array(std::size(lines));
  for (const std::string_view line : lines) call.reply.simple(line);
  return Outcome::done;
}

// Behind a mistyped OBJECT there is a key as well.
Shown shown_in_debug(Args args, std::size_t index) {
  const bool has_value = iequals(args[1], "SLEEP") || iequals(args[1], "SET-ACTIVE-EXPIRE");
  return index >= 2 && !has_value ? Shown::key : Shown::plain;
}

Outcome debug(Call& call) {
  Cursor words(call.args, 1);
  if (words.left() == 1 && words.take("HELP")) return help(call);
  if (words.left() == 2) {
    if (words.take("SLEEP")) return sleep(call);
    if (words.take("SET-ACTIVE-EXPIRE")) return set_active_expire(call);
    if (words.take("OBJECT")) return object(call);
  }
  return call.reply.error("ERR unknown subcommand or wrong number of arguments for '" + excerpt(call.args[1]) + "'. Try DEBUG HELP.");
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "debug", .handler = debug, .arity = -2,
     .flags = kAdmin | kNoScript | kLoading | kAllShards | kProtected, .shown = shown_in_debug, .touches = Touches::everything,
     .group = "server", .since = "1.0.0",
     .complexity = "Depends on the subcommand.",
     .summary = "Does what only tests need: sleeping, stopping active expiry, looking at an entry.",
     .syntax = "subcommand [arg [arg ...]]"},
};
// clang-format on

}  // namespace

std::span<const Row> debug_commands() { return kRows; }

}  // namespace pinfold::command
