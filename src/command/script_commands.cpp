// EVAL and its like, and SCRIPT: scripts that clients send, and the cache of them.

#include <algorithm>
#include <optional>
#include <string>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/command/audit.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/help.hpp"
#include "pinfold/command/script_family.hpp"

namespace pinfold::command {

ScriptRunner& runner_of(const Call& call) { return call.engine.scripting.of_thread(call.session.shared.thread); }

Outcome kill_script(Call& call, bool function) {
  using Killed = RunningScript::Killed;
  Killed best = Killed::none;
  Scripting& scripting = call.engine.scripting;
  for (unsigned i = 0; i < scripting.thread_count(); ++i) best = std::max(best, scripting.running(i).kill(function));
  switch (best) {
    case Killed::yes:
      return call.reply.ok();
    case Killed::has_written:
      return call.reply.error(
          "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or "
          "kill the server in a hard way using the SHUTDOWN NOSAVE command.");
    case Killed::is_script:
      return call.reply.error("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.");
    case Killed::is_function:
      return call.reply.error("BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.");
    case Killed::none:
      break;
  }
  return call.reply.error("NOTBUSY No scripts in execution right now.");
}

Shown shown_in_eval(Args args, std::size_t index) {
  constexpr std::size_t count_at = 2;
  constexpr std::size_t first_key = 3;
  if (index <= count_at) return Shown::plain;
  const std::optional<std::int64_t> count = args.size() > count_at ? parse_i64(args[count_at]) : std::nullopt;
  if (!count || *count < 0) return Shown::key;
  return index - first_key < static_cast<std::uint64_t>(*count) ? Shown::key : Shown::plain;
}

Shown shown_in_load(Args /*args*/, std::size_t index) { return index < 2 ? Shown::plain : Shown::secret; }

namespace {

Outcome eval(Call& call) { return runner_of(call).eval(call); }
Outcome evalsha(Call& call) { return runner_of(call).eval_by_digest(call); }

// The interpreter compiles the script, which takes a millisecond for 20 KB.
Outcome script_load(Call& call) {
  ScriptDigest digest{};
  const std::string error = runner_of(call).load(call.args[2], call.session.group, digest);
  audit_request(call, error.empty() ? RequestResult::ok : RequestResult::failed);
  return error.empty() ? call.reply.bulk(text_of(digest)) : call.reply.error(error);
}

Outcome script_exists(Call& call) {
  call.reply.array(call.args.size() - 2);
  for (const std::string_view name : call.args.subspan(2)) {
    const std::optional<ScriptDigest> digest = named_digest(name);
    call.reply.integer(digest && call.engine.scripting.cache.find(*digest) != nullptr ? 1 : 0);
  }
  return Outcome::done;
}

// What is flushed is freed by each I/O thread when it next runs a script, or within a second, whatever the option says.
Outcome script_flush(Call& call) {
  constexpr std::size_t most_words = 3;
  const bool known =
      call.args.size() == 2 || (call.args.size() == most_words && (iequals(call.args[2], "SYNC") || iequals(call.args[2], "ASYNC")));
  if (!known) return call.reply.error("ERR SCRIPT FLUSH only support SYNC|ASYNC option");
  call.engine.scripting.cache.flush();
  return call.reply.ok();
}

Outcome script_kill(Call& call) { return kill_script(call, false); }

Outcome script_debug(Call& call) {
  const std::string_view mode = call.args[2];
  if (!iequals(mode, "YES") && !iequals(mode, "SYNC") && !iequals(mode, "NO")) return call.reply.error("ERR Use SCRIPT DEBUG YES/SYNC/NO");
  if (iequals(mode, "NO")) return call.reply.ok();
  return call.reply.error("ERR there is no debugger for scripts");
}

std::string wrong_key_count(const Row& /*row*/, Args args) {
  constexpr std::size_t count_at = 2;
  const std::optional<std::int64_t> count = parse_i64(args[count_at]);
  if (!count) return "ERR value is not an integer or out of range";
  return *count < 0 ? "ERR Number of keys can't be negative" : "ERR Number of keys can't be greater than number of args";
}

constexpr std::uint32_t kScripts = kNoScript | kStale | kRunsScript;

// clang-format off
constexpr Row kRows[] = {
    {.name = "eval", .handler = eval, .arity = -3,
     .flags = kScripts, .categories = kScripting,
     .keys = {KeySpec::counted_or_none(KeyUse::modify, 2, wrong_key_count)}, .shown = shown_in_eval,
     .group = "scripting", .since = "2.6.0",
     .complexity = "That of the script.",
     .summary = "Executes a Lua script.",
     .syntax = "script numkeys [key ...] [arg ...]"},
    {.name = "eval_ro", .handler = eval, .arity = -3,
     .flags = kScripts | kReadOnly, .categories = kScripting,
     .keys = {KeySpec::counted_or_none(KeyUse::read, 2, wrong_key_count)}, .shown = shown_in_eval,
     .group = "scripting", .since = "7.0.0",
     .complexity = "That of the script.",
     .summary = "Executes a Lua script that only reads.",
     .syntax = "script numkeys [key ...] [arg ...]"},
    {.name = "evalsha", .handler = evalsha, .arity = -3,
     .flags = kScripts, .categories = kScripting,
     .keys = {KeySpec::counted_or_none(KeyUse::modify, 2, wrong_key_count)}, .shown = shown_in_eval,
     .group = "scripting", .since = "2.6.0",
     .complexity = "That of the script.",
     .summary = "Executes a cached Lua script, which is named by its SHA1.",
     .syntax = "sha1 numkeys [key ...] [arg ...]"},
    {.name = "evalsha_ro", .handler = evalsha, .arity = -3,
     .flags = kScripts | kReadOnly, .categories = kScripting,
     .keys = {KeySpec::counted_or_none(KeyUse::read, 2, wrong_key_count)}, .shown = shown_in_eval,
     .group = "scripting", .since = "7.0.0",
     .complexity = "That of the script.",
     .summary = "Executes a cached Lua script that only reads.",
     .syntax = "sha1 numkeys [key ...] [arg ...]"},
    {.name = "script", .arity = -2,
     .group = "scripting", .since = "2.6.0",
     .complexity = "Depends on the subcommand.",
     .summary = "Works on the cache of scripts."},
    {.name = "script|debug", .handler = script_debug, .arity = 3,
     .flags = kNoScript, .categories = kScripting,
     .group = "scripting", .since = "3.2.0",
     .complexity = "O(1)",
     .summary = "Refuses to debug scripts: there is no debugger.",
     .syntax = "<YES | SYNC | NO>"},
    {.name = "script|exists", .handler = script_exists, .arity = -3,
     .flags = kNoScript, .categories = kScripting,
     .group = "scripting", .since = "2.6.0",
     .complexity = "O(N) for N digests.",
     .summary = "Tells which scripts are cached.",
     .syntax = "sha1 [sha1 ...]"},
    {.name = "script|flush", .handler = script_flush, .arity = -2,
     .flags = kNoScript | kLogged, .categories = kScripting,
     .group = "scripting", .since = "2.6.0",
     .complexity = "O(N) for N cached scripts.",
     .summary = "Removes all scripts from the cache.",
     .syntax = "[ASYNC | SYNC]"},
    {.name = "script|help", .handler = reply_help, .arity = 2,
     .flags = kLoading, .categories = kScripting,
     .group = "scripting", .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Prints the subcommands."},
    {.name = "script|kill", .handler = script_kill, .arity = 2,
     .flags = kNoScript | kAllowBusy | kLogged, .categories = kScripting,
     .group = "scripting", .since = "2.6.0",
     .complexity = "O(threads)",
     .summary = "Ends running scripts that have not written."},
    {.name = "script|load", .handler = script_load, .arity = 3,
     .flags = kNoScript | kStale, .categories = kScripting, .shown = shown_in_load,
     .group = "scripting", .since = "2.6.0",
     .complexity = "O(N) for N bytes of the script.",
     .summary = "Puts a script into the cache and tells its SHA1.",
     .syntax = "script"},
};
// clang-format on

}  // namespace

std::span<const Row> script_commands() { return kRows; }

}  // namespace pinfold::command
