#pragma once
// The settings of the server. One table (settings.cpp) names each: Redis' name where Redis has one, type, default,
// range, whether it can change at run time, help. Command line, environment, YAML file, CONFIG GET/SET/REWRITE and
// docs/configuration.md all read that table.
//
// Thread-safe. Numbers, flags and choices are single atomics (one relaxed load to read); texts are copied under a
// mutex.

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pinfold::config {

/// Index of a setting in the table.
enum class Id : unsigned {
  bind,
  port,
  unixsocket,
  unixsocketperm,
  tcp_backlog,
  tcp_keepalive,
  timeout,
  maxclients,
  threads,
  requirepass,
  maxmemory,
  maxmemory_policy,
  databases,
  hz,
  proto_max_bulk_len,
  client_query_buffer_limit,
  client_output_buffer_limit,
  loglevel,
  logfile,
  enable_debug_command,
  active_expire_effort,
  lfu_decay_time,
  save,
  appendonly,
  count,
};

enum class Type { text, integer, memory, flag, choice };

struct Setting {
  Id id;
  std::string_view name;  // "maxmemory-policy"; the environment has PINFOLD_MAXMEMORY_POLICY
  Type type;
  std::string_view default_value;
  std::int64_t min;  // integer, memory
  std::int64_t max;
  std::string_view choices;  // choice: "a|b|c", in the order of its numbers
  bool runtime;              // CONFIG SET may change it
  std::string_view help;     // one or two sentences for people
};

std::span<const Setting> settings_table();
const Setting* find_setting(std::string_view name);  // any case

class Settings {
 public:
  Settings();  // all defaults; "auto" values are resolved for this machine

  std::int64_t integer(Id id) const { return numbers_[static_cast<unsigned>(id)].load(std::memory_order_relaxed); }
  bool flag(Id id) const { return integer(id) != 0; }
  std::string text(Id id) const;
  /// As CONFIG GET shows it.
  std::string show(Id id) const;

  /// Parses, checks and sets; returns what is wrong with it, or nothing. At run time (`at_runtime`) settings that
  /// cannot change are refused.
  std::optional<std::string> set(Id id, std::string_view value, bool at_runtime);

  /// All or nothing, as CONFIG SET with several pairs: on an error nothing has changed. The error names the setting.
  std::optional<std::string> set_all(std::span<const std::pair<Id, std::string>> values);

  /// Called after the setting has changed at run time, outside of any lock. It may refuse by returning an error, and
  /// then the change is undone. Register before threads start.
  using Listener = std::function<std::optional<std::string>()>;
  void on_change(Id id, Listener listener);

  /// A YAML mapping of names to scalars. The error has the line number.
  std::optional<std::string> load_file(const std::string& path);
  /// PINFOLD_NAME=value for every setting; an unknown PINFOLD_ name is an error.
  std::optional<std::string> load_environment(char** environment);
  /// [file.yaml] [--name value ...]; the file first, then the environment, then the options.
  std::optional<std::string> load_command_line(int argc, char** argv, char** environment);

  /// The file given at start, if any (CONFIG REWRITE, INFO).
  const std::string& file() const { return file_; }
  /// Writes the settings that differ from their defaults into the file, keeping its other lines and comments.
  std::optional<std::string> rewrite();

 private:
  std::array<std::atomic<std::int64_t>, static_cast<unsigned>(Id::count)> numbers_{};
  mutable std::mutex mutex_;
  std::array<std::string, static_cast<unsigned>(Id::count)> texts_;
  std::map<Id, Listener> listeners_;
  std::string file_;
};

/// Memory of the machine or, if smaller, of the cgroup (v2 or v1) this process is in, in bytes.
std::uint64_t available_memory();

}  // namespace pinfold::config
