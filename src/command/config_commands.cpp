// CONFIG: the settings table as Redis shows and changes it.

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pinfold/base/glob.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/audit.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/help.hpp"
#include "pinfold/command/pattern.hpp"
#include "pinfold/command/request_log.hpp"
#include "pinfold/command/task.hpp"

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

resp::Written refuse(Call& call, std::string_view name, const std::string& reason) {
  return call.reply.error("ERR CONFIG SET failed (possibly related to argument '" + printed(name) + "') - " + reason);
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
  if (auto refusal = call.engine.settings.set_all(values)) {
    return refuse(call, pairs[refusal->index * 2], refusal->reason);
  }
  return call.reply.ok();
}

Outcome config_resetstat(Call& call) {
  call.engine.stats.reset();
  call.engine.clients.reset_rejected();
  call.engine.clients.reset_evicted();
  call.engine.cache.reset_counters();
  call.engine.audit.reset_counts();
  call.engine.keyspace.reset_stats(call.held);
  call.engine.keyspace.lock_watch().timing.reset();
  call.engine.keyspace.lock_watch().account.reset();
  return call.reply.ok();
}

// Writes the file on the main thread, because a disk takes as long as it likes. What is written are the settings of the moment when
// that begins; of two clients that ask at once, one file is written after the other. A client that goes away does not stop it.
class RewriteTask : public Task {
 public:
  explicit RewriteTask(const Call& call) : request_(describe_request(call)), audited_(remember_for_audit(call)) {}

  Outcome step(Call& call) override {
    if (file_ == nullptr) begin(call);
    if (!file_->written.load(std::memory_order_acquire)) {
      asleep = true;
      return Outcome::waits;
    }
    return file_->error ? call.reply.error("ERR Rewriting config file: " + *file_->error) : call.reply.ok();
  }

 private:
  struct File {
    std::atomic<bool> written{false};
    std::optional<std::string> error;  // constant once `written` is set
  };

  void begin(Call& call) {
    irrevocable = true;
    file_ = std::make_shared<File>();
    const auto write = [file = file_, &engine = call.engine, client = call.session.shared.place(), request = request_, audited = audited_] {
      try {
        file->error = engine.settings.rewrite();
      } catch (const std::bad_alloc&) {
        file->error = "out of memory";
      }
      note_outcome(engine, request, file->error);  // here, as the client may have gone
      engine.audit.note(AuditLog::Kind::configuration, [&](AuditLine& line) {
        if (audited) add_request(line, *audited);
        line.add("result", file->error ? std::string_view(*file->error) : std::string_view("done"));
      });
      file->written.store(true, std::memory_order_release);
      engine.clients.wake_task(client);
    };
    if (call.engine.on_main_thread) {
      call.engine.on_main_thread(write);
    } else {
      write();
    }
  }

  const std::string request_;
  const std::optional<AuditedRequest> audited_;
  std::shared_ptr<File> file_;
};

Outcome config_rewrite(Call& call) {
  if (call.engine.settings.file().empty()) {
    return call.reply.error("ERR The server is running without a config file");
  }
  return call.park(std::make_unique<RewriteTask>(call));
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

constexpr std::uint32_t kAdministration = kAdmin | kNoScript | kLoading | kNoMulti;

// clang-format off
constexpr Row kRows[] = {
    {.name = "config", .arity = -2,
     .group = "server", .since = "2.0.0",
     .complexity = "Depends on the subcommand.",
     .summary = "Shows and changes the server's settings."},
    {.name = "config|get", .handler = config_get, .arity = -3,
     .flags = kAdministration,
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
     .complexity = "O(1)",
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
