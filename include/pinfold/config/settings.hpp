#pragma once
// The settings of the server. One table (settings.cpp) names each: Redis' name where Redis has one, type,
// default, range, whether it can change at run time, help. Command line, environment, YAML file, CONFIG
// GET/SET/REWRITE and docs/configuration.md all read that table.
//
// Thread-safe. Numbers, flags and choices are single atomics (one relaxed load to read); texts are copied
// under a mutex.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
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
  maxmemory_clients,
  maxmemory_policy,
  lfu_decay_time,
  databases,
  hz,
  active_expire_effort,
  proto_max_bulk_len,
  client_query_buffer_limit,
  client_output_buffer_limit,
  loglevel,
  logfile,
  enable_debug_command,
  lease_duration,
  max_leases,
  max_lease_waiters,
  negative_ttl_max,
  negative_memory,
  invalidation_memory,
  serve_stale,
  lock_timing,
  lock_accounting,
  save,
  appendonly,
  count,
};

/// Durations are integers in the unit of their name, as Redis has them, and may be written with any unit ("30s", "5m").
enum class Type { text, integer, percent, milliseconds, seconds, minutes, memory, flag, choice };

/// When a client that does not read its replies is let go: at once beyond `hard` bytes, beyond `soft` after a
/// while. 0: never.
struct OutputLimit {
  std::uint64_t hard = 0;
  std::uint64_t soft = 0;
  std::int64_t soft_seconds = 0;
};

/// Why a value was not taken. `index` is its place among those given.
struct Refusal {
  std::size_t index;
  std::string reason;  // in Redis' words, without the setting's name
};

/// A field of a policy in the settings file; what policies are is the cache's business.
struct PolicyField {
  std::string name;
  std::string value;
  std::string where;  // "file.yaml:12: ", for what is wrong with it
};

/// What the command line came to.
struct Start {
  enum class Outcome {
    run,      // everything is set
    check,    // the same, but the server is not to run: --check
    print,    // --help or --version: `text` is for stdout, and the exit status 0
    refused,  // `text` is one line that says what is wrong
  };
  Outcome outcome = Outcome::run;
  std::string text;
};

struct Setting {
  Id id;
  std::string_view name;  // "maxmemory-policy"; the environment has PINFOLD_MAXMEMORY_POLICY
  Type type;
  std::string_view default_value;
  std::int64_t min;  // of numbers
  std::int64_t max;
  std::string_view choices;  // choice: "a|b|c", in the order of its numbers
  bool runtime;              // CONFIG SET may change it
  std::string_view help;     // one or two sentences for people
};

/// The longest value that a setting may be given, in bytes, and what is said of a longer one.
constexpr std::size_t longest_value = 4096;
constexpr std::string_view value_too_long = "argument is longer than 4096 bytes";

std::span<const Setting> settings_table();
const Setting* find_setting(std::string_view name);  // any case

class Settings {
 public:
  Settings();  // all defaults; "auto" values are resolved for this machine

  std::int64_t integer(Id id) const { return numbers_[static_cast<unsigned>(id)].load(std::memory_order_relaxed); }
  bool flag(Id id) const { return integer(id) != 0; }
  std::string text(Id id) const;
  /// As CONFIG GET shows it: memory in bytes, "auto" as what it came to.
  std::string show(Id id) const;

  /// Grows with every change, so that what follows from settings need not be worked out each time.
  std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

  /// The normal class of client-output-buffer-limit, all three numbers from the same moment. Wait-free unless
  /// the setting is being changed.
  OutputLimit output_limit() const;

  /// Parses, checks and sets; returns what is wrong with it, in Redis' words and without the setting's name,
  /// or nothing. At run time (`at_runtime`) settings that cannot change are refused, and listeners are asked.
  std::optional<std::string> set(Id id, std::string_view value, bool at_runtime);

  /// Whether these may be set together at run time, whatever their values: none is constant, none is there
  /// twice.
  std::optional<Refusal> check(std::span<const std::pair<Id, std::string>> values) const;
  /// All or nothing at run time, as CONFIG SET with several pairs: on an error nothing has changed.
  std::optional<Refusal> set_all(std::span<const std::pair<Id, std::string>> values);

  /// Called after the setting has changed at run time. It may read the settings, but not set any. It may
  /// refuse by returning an error, and then the change is undone (and it is called again). CONFIG SET inside
  /// EXEC calls it with shards locked: it must not wait for a shard, nor for anything that is held while waiting
  /// for one. Register before threads start.
  using Listener = std::function<std::optional<std::string>()>;
  void on_change(Id id, Listener listener);

  /// A YAML mapping of names to scalars. The error has the file and the line.
  std::optional<std::string> load_file(const std::string& path);
  /// PINFOLD_NAME=value for every setting; an unknown PINFOLD_ name is an error, but for those that
  /// Kubernetes sets for a service called pinfold.
  std::optional<std::string> load_environment(const char* const* environment);
  /// [file.yaml] [--name value | --name=value ...]; the file first, then the environment, then the options.
  Start load_command_line(int argc, const char* const* argv, const char* const* environment);

  /// The absolute path of the file given at start; empty if there was none (CONFIG REWRITE, INFO).
  const std::string& file() const { return file_; }
  /// The policies in that file, in its order.
  const std::vector<std::vector<PolicyField>>& policies() const { return policies_; }
  /// Writes the settings that differ from their defaults into the file, keeping its other lines and comments.
  /// The file is replaced at once and with the same permissions. May take as long as the disk does; meanwhile nobody else waits
  /// but another rewrite.
  std::optional<std::string> rewrite();

 private:
  /// A setting's value: a number for all types but text, whose number is what the text says, if anything.
  struct State {
    std::int64_t number = 0;
    std::string text;   // Type::text, as CONFIG GET shows it
    std::string given;  // as it was written: "75%" stays that in the file
  };

  static std::optional<std::string> parse(Id id, std::string_view value, std::string_view current, State& state);
  State state(Id id) const;
  /// Those of all settings, by Id, from one moment.
  std::vector<State> states();
  void store(Id id, State state);
  std::optional<std::string> tell(Id id);
  std::optional<std::string> load_options(std::span<const std::string_view> options);
  static bool is_default(Id id, const State& now);
  static bool same_value(Id id, const State& now, std::string_view value);
  std::optional<std::string> check_rewritten(const std::string& text, const std::vector<State>& now) const;

  std::array<std::atomic<std::int64_t>, static_cast<unsigned>(Id::count)> numbers_{};
  std::atomic<std::uint64_t> version_{0};
  std::atomic<std::uint64_t> output_limit_version_{0};  // odd while the limit is being written
  std::atomic<std::uint64_t> output_hard_{0};
  std::atomic<std::uint64_t> output_soft_{0};
  std::atomic<std::int64_t> output_soft_seconds_{0};

  std::mutex file_mutex_;    // one rewrite of the file after the other; taken before change_mutex_
  std::mutex change_mutex_;  // one change at run time after the other; taken before mutex_
  mutable std::mutex mutex_;
  std::array<std::string, static_cast<unsigned>(Id::count)> texts_;
  std::array<std::string, static_cast<unsigned>(Id::count)> given_;
  std::map<Id, Listener> listeners_;
  std::string file_;
  std::vector<std::vector<PolicyField>> policies_;
};

}  // namespace pinfold::config
