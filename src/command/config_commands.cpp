// CONFIG: the settings table as Redis shows and changes it.

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pinfold/base/glob.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/help.hpp"
#include "pinfold/command/main_thread_task.hpp"
#include "pinfold/command/pattern.hpp"

namespace pinfold::command {
namespace {

using config::Setting;

// A setting and the name to show it under: the client's own spelling if it asked for exactly this one.
struct Found {
  const Setting* setting;
  std::string_view name;
};

void add_once(std::vector<Found>& found, const Setting& setting, std::string_view name) {
  const bool there = std::ranges::any_of(found, [&](const Found& one) { return one.setting == &setting; });
  if (!there) found.push_back({&setting, name});
}

Outcome config_get(Call& call) {
  constexpr std::size_t most_patterns = 1024;
  if (call.args.size() - 2 > most_patterns) return call.reply.error("ERR CONFIG GET takes 1024 patterns at most");
  std::vector<Found> found;
  std::size_t left = Glob::longest;  // bytes of patterns
  for (const std::string_view pattern : call.args.subspan(2)) {
    if (pattern.find_first_of("*?[") == std::string_view::npos) {
      const Setting* setting = config::find_setting(pattern);
      if (setting != nullptr) add_once(found, *setting, pattern);
      continue;
    }
    if (pattern.size() > left) return call.reply.error("ERR the patterns together are longer than 65536 bytes");
    left -= pattern.size();
    const std::unique_ptr<const Pattern> compiled = compile_pattern(call, pattern, true);
    if (compiled == nullptr) return Outcome::done;
    for (const Setting& setting : config::settings_table()) {
      if (compiled->matches(setting.name)) add_once(found, setting, setting.name);
    }
  }
  call.reply.map(found.size());
  for (const Found& one : found) {
    call.reply.bulk(one.name);
    const std::string value = call.engine.settings.show(one.setting->id);
    call.reply.bulk(config::is_secret(one.setting->id) && !value.empty() ? config::hidden : std::string_view(value));
  }
  return Outcome::done;
}

// As Redis prints a client's text: up to its first zero byte.
std::string printed(std::string_view text) { return excerpt(text); }

constexpr std::string_view not_set = "ERR CONFIG SET failed ";

std::string blame(std::string_view name, const std::string& reason) {
  return "(possibly related to argument '" + printed(name) + "') - " + reason;
}

resp::Written refuse(Call& call, std::string_view name, const std::string& reason) {
  return call.reply.error(std::string(not_set) + blame(name, reason));
}

// Redis goes through all names before it looks at any value, and of a wrong name and a constant setting the
// first counts.
Outcome config_set(Call& call) {
  const Args pairs = call.args.subspan(2);
  if (pairs.size() % 2 != 0) return call.syntax_error();
  std::vector<std::pair<config::Id, std::string>> values;
  std::string_view too_long;  // the first name whose value is
  for (std::size_t i = 0; i < pairs.size(); i += 2) {
    const Setting* setting = config::find_setting(pairs[i]);
    if (setting == nullptr) {
      return call.reply.error("ERR Unknown option or number of arguments for CONFIG SET - '" + printed(pairs[i]) + "'");
    }
    const bool fits = pairs[i + 1].size() <= config::longest_value;
    if (!fits && too_long.empty()) too_long = pairs[i];
    values.emplace_back(setting->id, fits ? pairs[i + 1] : std::string_view());
    if (auto refusal = call.engine.settings.check(values)) return refuse(call, pairs[i], refusal->reason);
  }
  if (!too_long.empty()) return refuse(call, too_long, std::string(config::value_too_long));
  if (std::optional<config::Refusal> refusal; call.engine.settings.try_set_all(values, refusal)) {
    return refusal ? refuse(call, pairs[refusal->index * 2], refusal->reason) : call.reply.ok();
  }
  std::vector<std::string> names;
  for (std::size_t i = 0; i < pairs.size(); i += 2) names.push_back(printed(pairs[i]));
  MainThreadTask::Work set = [values = std::move(values), names = std::move(names)](Engine& engine) -> std::optional<std::string> {
    const auto refusal = engine.settings.set_all(values);
    if (!refusal) return std::nullopt;
    return blame(names[refusal->index], refusal->reason);
  };
  return call.park(std::make_unique<MainThreadTask>(call, AuditLog::Kind::configuration, std::move(set), std::string(not_set)));
}

Outcome config_resetstat(Call& call) {
  call.engine.stats.reset();
  call.engine.clients.reset_rejected();
  call.engine.clients.reset_evicted();
  call.engine.pubsub.reset_stats();
  call.engine.keyspace_events.reset_stats();
  call.engine.cache.reset_counters();
  call.engine.tracking.messages.store(0, std::memory_order_relaxed);
  call.engine.audit.reset_counts();
  call.engine.log_counts.reset();
  call.engine.keyspace.reset_stats(call.held);
  call.engine.keyspace.lock_watch().timing.reset();
  call.engine.keyspace.lock_watch().account.reset();
  call.engine.scripting.longest_hold.store(0, std::memory_order_relaxed);
  return call.reply.ok();
}

Outcome config_rewrite(Call& call) {
  if (call.engine.settings.file().empty()) {
    return call.reply.error("ERR The server is running without a config file");
  }
  // What is written are the settings of the moment when that begins.
  return call.park(std::make_unique<MainThreadTask>(
      call, AuditLog::Kind::configuration, [](Engine& engine) { return engine.settings.rewrite(); }, "ERR Rewriting config file: "));
}

// Whether or not the request is valid: names are shown in the places of names, and values behind names whose values are no secrets. A
// word may be missing or one too many, so what is anything else may be a password.
Shown shown_in_config_set(Args args, std::size_t index) {
  constexpr std::size_t first_name = 2;
  if (index < first_name) return Shown::plain;
  const bool is_name = index % 2 == 0;
  const Setting* const setting = config::find_setting(args[is_name ? index : index - 1]);
  return setting != nullptr && (is_name || !config::is_secret(setting->id)) ? Shown::plain : Shown::secret;
}

// GET may have been typed for SET: then a value stands behind the name of a secret, which may be mistyped as well. So what is neither a
// name nor a pattern for names may be a password.
Shown shown_in_config_get(Args args, std::size_t index) {
  constexpr std::size_t first_name = 2;
  if (index < first_name) return Shown::plain;
  const bool asks = config::find_setting(args[index]) != nullptr || args[index].find_first_of("*?[") != std::string_view::npos;
  const Setting* const before = config::find_setting(args[index - 1]);
  const bool behind_secret = before != nullptr && config::is_secret(before->id);
  return asks && !behind_secret ? Shown::plain : Shown::secret;
}

constexpr std::uint32_t kAdministration = kAdmin | kNoScript | kLoading | kNoMulti;

// clang-format off
constexpr Row kRows[] = {
    {.name = "config", .arity = -2,
     .group = "server", .since = "2.0.0",
     .complexity = "Depends on the subcommand.",
     .summary = "Shows and changes the server's settings."},
    {.name = "config|get", .handler = config_get, .arity = -3,
     .flags = kAdministration, .shown = shown_in_config_get,
     .group = "server", .since = "2.0.0",
     .complexity = "O(N) for N patterns.",
     .summary = "Shows the settings whose names match any of some glob patterns.",
     .syntax = "parameter [parameter ...]"},
    {.name = "config|help", .handler = reply_help, .arity = 2,
     .flags = kLoading,
     .group = "server", .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Prints the subcommands."},
    {.name = "config|resetstat", .handler = config_resetstat, .arity = 2,
     .flags = kAdministration | kAllShards | kLogged, .touches = Touches::no_key,
     .group = "server", .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Sets the statistics that INFO shows back to zero."},
    {.name = "config|rewrite", .handler = config_rewrite, .arity = 2,
     .flags = kAdministration | kNoMulti,
     .group = "server", .since = "2.8.0",
     .complexity = "O(N) for N bytes of the file and of the users; clients are served meanwhile, new connections wait.",
     .summary = "Writes the settings in force into the file that the server was started with."},
    {.name = "config|set", .handler = config_set, .arity = -4,
     .flags = kAdministration | kLogged, .shown = shown_in_config_set,
     .group = "server", .since = "2.0.0",
     .complexity = "O(N) for N settings.",
     .summary = "Changes settings, all of them or, if one is refused, none.",
     .syntax = "parameter value [parameter value ...]"},
};
// clang-format on

}  // namespace

std::span<const Row> config_commands() { return kRows; }

}  // namespace pinfold::command
