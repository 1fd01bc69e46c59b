// FUNCTION and FCALL: libraries of functions that clients load and call.

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/help.hpp"
#include "pinfold/command/pattern.hpp"
#include "pinfold/command/rights.hpp"
#include "pinfold/command/script_family.hpp"

namespace pinfold::command {
namespace {

constexpr std::string_view libraries_full = "OOM the libraries of functions would take more memory than they may (script-cache-size)";

// Whether libraries of so many bytes may take the place of the present set, which may be beyond the limit because that was lowered.
bool fits(const Call& call, std::size_t bytes, const LibrarySet& present) {
  const auto limit = static_cast<std::uint64_t>(call.engine.settings.integer(config::Id::script_cache_size));
  return bytes <= limit || bytes <= present.memory();
}

// Makes a changed copy of the present set and publishes it. `change` returns an error, and is called once more if another thread has
// changed the set meanwhile.
std::string change_libraries(Call& call, const std::function<std::string(LibrarySet&)>& change) {
  FunctionLibraries& libraries = call.engine.scripting.libraries;
  for (;;) {
    const std::shared_ptr<const LibrarySet> present = libraries.get();
    auto changed = std::make_shared<LibrarySet>(*present);
    if (std::string error = change(*changed); !error.empty()) return error;
    if (!fits(call, changed->memory(), *present)) return std::string(libraries_full);
    if (libraries.publish(present, std::move(changed))) return {};
  }
}

Outcome fcall(Call& call) { return runner_of(call).call_function(call); }

Outcome function_load(Call& call) {
  Cursor options(call.args, 2);
  bool replace = false;
  while (options.left() > 1) {
    if (!options.take("REPLACE")) return call.reply.error("ERR Unknown option given: " + excerpt(options.take()));
    replace = true;
  }
  std::shared_ptr<FunctionLibrary> library;
  std::string error = runner_of(call).read_library(options.take(), !replace, call.session.group, library);
  if (error.empty()) error = change_libraries(call, [&](LibrarySet& set) { return set.add(library, replace); });
  return error.empty() ? call.reply.bulk(library->name) : call.reply.error(error);
}

Outcome function_delete(Call& call) {
  const auto remove = [&](LibrarySet& set) { return std::string(set.remove(call.args[2]) ? "" : "ERR Library not found"); };
  const std::string error = change_libraries(call, remove);
  return error.empty() ? call.reply.ok() : call.reply.error(error);
}

std::string flush(LibrarySet& set) {
  set = LibrarySet();
  return {};
}

Outcome function_flush(Call& call) {
  constexpr std::size_t most_words = 3;
  if (call.args.size() > most_words) {
    return call.reply.error("ERR unknown subcommand or wrong number of arguments for '" + excerpt(call.args[1]) + "'. Try FUNCTION HELP.");
  }
  const bool known = call.args.size() == 2 || iequals(call.args[2], "SYNC") || iequals(call.args[2], "ASYNC");
  if (!known) return call.reply.error("ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
  change_libraries(call, flush);
  return call.reply.ok();
}

void reply_function(resp::Reply& reply, const Function& function) {
  reply.map(3);
  reply.bulk("name");
  reply.bulk(function.name);
  reply.bulk("description");
  if (function.description) {
    reply.bulk(*function.description);
  } else {
    reply.null();
  }
  reply.bulk("flags");
  const auto has = [&](const script::NamedFlag& flag) { return (function.flags & flag.flag) != 0; };
  const std::span<const script::NamedFlag> flags = script::named_flags();
  reply.set(static_cast<std::size_t>(std::count_if(flags.begin(), flags.end(), has)));
  for (const script::NamedFlag& flag : flags) {
    if (has(flag)) reply.simple(flag.name);
  }
}

void reply_library(resp::Reply& reply, const FunctionLibrary& library, bool with_code) {
  reply.map(with_code ? 4 : 3);
  reply.bulk("library_name");
  reply.bulk(library.name);
  reply.bulk("engine");
  reply.bulk("LUA");
  reply.bulk("functions");
  reply.array(library.functions.size());
  for (const auto& function : library.functions) reply_function(reply, *function);
  if (!with_code) return;
  reply.bulk("library_code");
  reply.bulk(library.code);
}

Outcome function_list(Call& call) {
  bool with_code = false;
  std::unique_ptr<const Pattern> pattern;
  Cursor options(call.args, 2);
  while (!options.done()) {
    if (!with_code && options.take("WITHCODE")) {
      with_code = true;
    } else if (pattern == nullptr && options.take("LIBRARYNAME")) {
      if (options.done()) return call.reply.error("ERR library name argument was not given");
      pattern = compile_pattern(call, options.take(), true);
      if (pattern == nullptr) return Outcome::done;
    } else {
      return call.reply.error("ERR Unknown argument " + excerpt(options.take()));
    }
  }
  const std::shared_ptr<const LibrarySet> set = call.engine.scripting.libraries.get();
  std::vector<const FunctionLibrary*> found;
  for (const auto& [name, library] : set->libraries()) {
    if (pattern == nullptr || pattern->matches(name)) found.push_back(library.get());
  }
  call.reply.array(found.size());
  for (const FunctionLibrary* library : found) reply_library(call.reply, *library, with_code);
  return Outcome::done;
}

Outcome function_dump(Call& call) { return call.reply.bulk(dump_libraries(*call.engine.scripting.libraries.get())); }

enum class Policy : std::uint8_t { append, replace, flush };

std::optional<Policy> named_policy(std::string_view name) {
  if (iequals(name, "APPEND")) return Policy::append;
  if (iequals(name, "REPLACE")) return Policy::replace;
  if (iequals(name, "FLUSH")) return Policy::flush;
  return std::nullopt;
}

Outcome function_restore(Call& call) {
  constexpr std::size_t policy_at = 3;
  if (call.args.size() > policy_at + 1) {
    return call.reply.error("ERR unknown subcommand or wrong number of arguments for '" + excerpt(call.args[1]) + "'. Try FUNCTION HELP.");
  }
  const std::optional<Policy> policy = call.args.size() > policy_at ? named_policy(call.args[policy_at]) : Policy::append;
  if (!policy) return call.reply.error("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.");
  // Before anything is loaded, and with each library that is: what is refused in the end must not take memory and time until then.
  const std::shared_ptr<const LibrarySet> present = call.engine.scripting.libraries.get();
  if (!fits(call, call.args[2].size(), *present)) return call.reply.error(libraries_full);
  const auto codes = codes_in_dump(call.args[2]);
  if (!codes) return call.reply.error("ERR DUMP payload version or checksum are wrong");
  CommandGroup own;  // all libraries have the time of one script together
  CommandGroup* const group = call.session.group != nullptr ? call.session.group : &own;
  std::vector<std::shared_ptr<FunctionLibrary>> libraries;
  std::size_t bytes = 0;
  for (const std::string_view code : *codes) {
    const std::string error = runner_of(call).read_library(code, false, group, libraries.emplace_back());
    if (!error.empty()) return call.reply.error(error);
    bytes += libraries.back()->memory();
    if (!fits(call, bytes, *present)) return call.reply.error(libraries_full);
  }
  const std::string error = change_libraries(call, [&](LibrarySet& set) {
    if (*policy == Policy::flush) flush(set);
    std::string failed;
    for (const auto& library : libraries) {
      const bool exists = set.libraries().contains(library->name);
      if (exists && *policy != Policy::replace) return "ERR Library " + library->name + " already exists";
      failed = set.add(library, *policy == Policy::replace);
      if (!failed.empty()) break;
    }
    return failed;
  });
  return error.empty() ? call.reply.ok() : call.reply.error(error);
}

// With several threads several may run. Shows the one that has run for longest, be it a function or a script, as in Redis.
std::optional<RunningScript::Shown> longest_running(Scripting& scripting) {
  std::optional<RunningScript::Shown> longest;
  for (unsigned i = 0; i < scripting.thread_count(); ++i) {
    std::optional<RunningScript::Shown> one = scripting.running(i).shown();
    if (one && (!longest || one->since_us < longest->since_us)) longest = std::move(one);
  }
  return longest;
}

Outcome function_stats(Call& call) {
  resp::Reply& reply = call.reply;
  reply.map(2);
  reply.bulk("running_script");
  if (const auto running = longest_running(call.engine.scripting)) {
    reply.map(3);
    SeenRequests requests(call);
    const std::vector<std::string_view> seen = requests.seen(running->words, *running->row, running->db);
    // The name is one of the arguments, or a digest of one: whoever is not shown those is not told it either.
    const bool sees_arguments = seen.size() == running->words.count();
    reply.bulk("name");
    reply.bulk(sees_arguments ? std::string_view(running->name) : redacted);
    reply.bulk("command");
    reply.array(seen.size());
    for (const std::string_view word : seen) reply.bulk(word);
    reply.bulk("duration_ms");
    reply.integer((monotonic_us() - running->since_us) / 1000);
  } else {
    reply.null();
  }
  const std::shared_ptr<const LibrarySet> set = call.engine.scripting.libraries.get();
  reply.bulk("engines");
  reply.map(1);
  reply.bulk("LUA");
  reply.map(2);
  reply.bulk("libraries_count");
  reply.integer(static_cast<std::int64_t>(set->libraries().size()));
  reply.bulk("functions_count");
  return reply.integer(static_cast<std::int64_t>(set->function_count()));
}

Outcome function_kill(Call& call) { return kill_script(call, true); }

std::string wrong_key_count(const Row& /*row*/, Args args) {
  constexpr std::size_t count_at = 2;
  const std::optional<std::int64_t> count = parse_i64(args[count_at]);
  if (!count) return "ERR Bad number of keys provided";
  return *count < 0 ? "ERR Number of keys can't be negative" : "ERR Number of keys can't be greater than number of args";
}

constexpr std::uint32_t kFunctions = kNoScript | kStale | kRunsScript;
constexpr std::uint32_t kChanges = kWrite | kNoScript | kLogged;

// clang-format off
constexpr Row kRows[] = {
    {.name = "fcall", .handler = fcall, .arity = -3,
     .flags = kFunctions, .categories = kScripting,
     .keys = {KeySpec::counted_or_none(KeyUse::modify, 2, wrong_key_count)}, .shown = shown_in_eval,
     .group = "scripting", .since = "7.0.0",
     .complexity = "That of the function.",
     .summary = "Calls a function of a library.",
     .syntax = "function numkeys [key ...] [arg ...]"},
    {.name = "fcall_ro", .handler = fcall, .arity = -3,
     .flags = kFunctions | kReadOnly, .categories = kScripting,
     .keys = {KeySpec::counted_or_none(KeyUse::read, 2, wrong_key_count)}, .shown = shown_in_eval,
     .group = "scripting", .since = "7.0.0",
     .complexity = "That of the function.",
     .summary = "Calls a function that only reads.",
     .syntax = "function numkeys [key ...] [arg ...]"},
    {.name = "function", .arity = -2,
     .group = "scripting", .since = "7.0.0",
     .complexity = "Depends on the subcommand.",
     .summary = "Works on the libraries of functions."},
    {.name = "function|delete", .handler = function_delete, .arity = 3,
     .flags = kChanges, .categories = kScripting, .touches = Touches::no_key,
     .group = "scripting", .since = "7.0.0",
     .complexity = "O(N) for N libraries.",
     .summary = "Removes a library and its functions.",
     .syntax = "library-name"},
    {.name = "function|dump", .handler = function_dump, .arity = 2,
     .flags = kNoScript, .categories = kScripting,
     .group = "scripting", .since = "7.0.0",
     .complexity = "O(N) for N bytes of libraries.",
     .summary = "Writes all libraries into a text for FUNCTION RESTORE."},
    {.name = "function|flush", .handler = function_flush, .arity = -2,
     .flags = kChanges, .categories = kScripting, .touches = Touches::no_key,
     .group = "scripting", .since = "7.0.0",
     .complexity = "O(N) for N functions.",
     .summary = "Removes all libraries.",
     .syntax = "[ASYNC | SYNC]"},
    {.name = "function|help", .handler = reply_help, .arity = 2,
     .flags = kLoading, .categories = kScripting,
     .group = "scripting", .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Prints the subcommands."},
    {.name = "function|kill", .handler = function_kill, .arity = 2,
     .flags = kNoScript | kAllowBusy | kLogged, .categories = kScripting,
     .group = "scripting", .since = "7.0.0",
     .complexity = "O(threads)",
     .summary = "Ends running functions that have not written."},
    {.name = "function|list", .handler = function_list, .arity = -2,
     .flags = kNoScript, .categories = kScripting,
     .group = "scripting", .since = "7.0.0",
     .complexity = "O(N) for N functions.",
     .summary = "Lists the libraries and their functions.",
     .syntax = "[LIBRARYNAME library-name-pattern] [WITHCODE]"},
    {.name = "function|load", .handler = function_load, .arity = -3,
     .flags = kChanges | kDenyOom, .categories = kScripting, .shown = shown_in_load, .touches = Touches::no_key,
     .group = "scripting", .since = "7.0.0",
     .complexity = "O(N) for N bytes of the library and the libraries that there are.",
     .summary = "Loads a library of functions.",
     .syntax = "[REPLACE] function-code"},
    {.name = "function|restore", .handler = function_restore, .arity = -3,
     .flags = kChanges | kDenyOom, .categories = kScripting, .shown = shown_in_load, .touches = Touches::no_key,
     .group = "scripting", .since = "7.0.0",
     .complexity = "O(N) for N bytes of libraries.",
     .summary = "Loads the libraries that FUNCTION DUMP has written.",
     .syntax = "serialized-value [FLUSH | APPEND | REPLACE]"},
    {.name = "function|stats", .handler = function_stats, .arity = 2,
     .flags = kNoScript | kAllowBusy, .categories = kScripting,
     .group = "scripting", .since = "7.0.0",
     .complexity = "O(threads)",
     .summary = "Tells which script or function is running, and how many functions there are."},
};
// clang-format on

}  // namespace

std::span<const Row> function_commands() { return kRows; }

}  // namespace pinfold::command
