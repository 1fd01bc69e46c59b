#pragma once
// The settings of the server. One table (settings.cpp) has a row for each: its name, which is Redis' name if Redis has the
// setting, its type, default and range, whether it can change at run time, and a help text. The command line, the environment,
// the YAML file, CONFIG GET/SET/REWRITE and docs/configuration.md all read that table.
//
// Thread-safe. Numbers, flags and choices are single atomics, so reading one is one relaxed load. Texts are copied under a
// mutex.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pinfold::config {

struct YamlFile;

/// The index of a setting in the table.
enum class Id : unsigned {
  bind,
  port,
  unixsocket,
  unixsocketperm,
  tls_port,
  tls_cert_file,
  tls_key_file,
  tls_key_file_pass,
  tls_ca_cert_file,
  tls_ca_cert_dir,
  tls_auth_clients,
  tls_auth_clients_user,
  tls_protocols,
  tls_ciphers,
  tls_ciphersuites,
  tls_prefer_server_ciphers,
  tls_session_caching,
  tls_session_cache_timeout,
  tls_handshake_timeout,
  tls_max_handshakes,
  tcp_backlog,
  tcp_keepalive,
  timeout,
  maxclients,
  threads,
  requirepass,
  protected_mode,
  auth_failures_per_minute,
  aclfile,
  acllog_max_len,
  acl_pubsub_default,
  user_requests_per_second,
  maxmemory,
  maxmemory_clients,
  maxmemory_user,
  max_collection_memory,
  maxmemory_policy,
  lfu_decay_time,
  databases,
  hz,
  active_expire_effort,
  proto_max_bulk_len,
  client_query_buffer_limit,
  client_output_buffer_limit,
  notify_keyspace_events,
  loglevel,
  logfile,
  log_format,
  log_key_names,
  audit_log_file,
  audit_log_on_error,
  admin_port,
  admin_bind,
  admin_token,
  admin_tls,
  metrics,
  slowlog_log_slower_than,
  slowlog_max_len,
  commandlog_request_larger_than,
  commandlog_large_request_max_len,
  commandlog_reply_larger_than,
  commandlog_large_reply_max_len,
  latency_monitor_threshold,
  latency_tracking,
  latency_tracking_info_percentiles,
  trace_endpoint,
  trace_sample_percent,
  trace_service_name,
  enable_debug_command,
  undeclared_keys,
  script_time_limit,
  script_memory_limit,
  script_cache_size,
  lease_duration,
  max_leases,
  max_lease_waiters,
  negative_ttl_max,
  negative_memory,
  invalidation_memory,
  tracking_table_max_keys,
  hash_max_listpack_entries,
  hash_max_listpack_value,
  list_max_listpack_size,
  list_compress_depth,
  set_max_intset_entries,
  set_max_listpack_entries,
  set_max_listpack_value,
  zset_max_listpack_entries,
  zset_max_listpack_value,
  hll_sparse_max_bytes,
  serve_stale,
  admit,
  bypass,
  lock_timing,
  lock_accounting,
  save,
  appendonly,
  count,
};

/// Durations are integers in the unit that their type names, as in Redis. They may be written with any unit ("30s", "5m").
enum class Type { text, integer, percent, milliseconds, seconds, minutes, memory, flag, choice };

/// When a client is closed that does not read its replies: at once if more than `hard` bytes wait, or if more than `soft` bytes
/// wait for `soft_seconds`. 0 means never.
struct OutputLimit {
  std::uint64_t hard = 0;
  std::uint64_t soft = 0;
  std::int64_t soft_seconds = 0;
};

/// The classes of client-output-buffer-limit that are obeyed.
enum class OutputClass : std::uint8_t { normal, pubsub };
using OutputLimits = std::array<OutputLimit, 2>;  // by OutputClass

/// Why a value was refused. `index` is its place in the list of values.
struct Refusal {
  std::size_t index;
  std::string reason;  // in Redis' words, without the setting's name
};

/// A field of a policy in the settings file. This room only reads it; cache/policies.hpp gives it a meaning.
struct PolicyField {
  std::string name;
  std::string value;
  std::string where;  // "file.yaml:12: ", for errors about it
};

/// A user in the settings file. This room only reads it; security/users.hpp gives it a meaning.
struct UserText {
  std::string name;
  std::vector<std::string> rules;
  std::string where;  // "file.yaml:12: ", for errors about it
};

/// A user of the settings file that CONFIG REWRITE writes anew: with these rules, or not at all.
struct UserChange {
  std::string name;
  std::optional<std::string> rules;
};

/// The result of reading the command line.
struct Start {
  enum class Outcome {
    run,      // everything is set, and the server is to run
    check,    // everything is set, but the server is not to run: --check
    print,    // --help or --version: `text` goes to stdout, and the exit status is 0
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
  std::string_view choices;  // of Type::choice: "a|b|c", in the order of their numbers
  bool runtime;              // CONFIG SET may change it
  std::string_view help;     // one or two sentences for people
};

/// The longest value of a setting in bytes, and the error for a longer one.
constexpr std::size_t longest_value = 4096;
constexpr std::string_view value_too_long = "argument is longer than 4096 bytes";

/// Whether a setting's value is for nobody's eyes: logs, errors and CONFIG GET leave it out, and say `hidden` in its place.
constexpr bool is_secret(Id id) { return id == Id::requirepass || id == Id::tls_key_file_pass || id == Id::admin_token; }
constexpr std::string_view hidden = "(hidden)";

/// Whether a setting names something whose content may have changed although the setting has not. Setting it to the value that it
/// has counts as a change.
constexpr bool is_volatile(Id id) {
  return id == Id::tls_cert_file || id == Id::tls_key_file || id == Id::tls_ca_cert_file || id == Id::tls_ca_cert_dir;
}

std::span<const Setting> settings_table();
/// Finds a setting by its name, or by another name that it has (Valkey's), in any case. Null if there is none.
const Setting* find_setting(std::string_view name);

class Settings {
 public:
  Settings();  // all settings have their defaults; "auto" is resolved for this machine

  std::int64_t integer(Id id) const { return numbers_[static_cast<unsigned>(id)].load(std::memory_order_relaxed); }
  bool flag(Id id) const { return integer(id) != 0; }
  std::string text(Id id) const;
  /// The value as CONFIG GET shows it: memory in bytes, and for "auto" the value that was chosen.
  std::string show(Id id) const;

  /// Grows with every change. Callers compare it, so that they need not derive their limits from the settings each time.
  std::uint64_t version() const { return version_.load(std::memory_order_acquire); }
  /// When settings were last changed at run time, in Unix milliseconds; 0: none was.
  std::int64_t changed_at() const { return changed_at_.load(std::memory_order_relaxed); }

  /// A class of client-output-buffer-limit, with all three numbers from the same moment. Waits only while the setting is being
  /// changed.
  OutputLimit output_limit(OutputClass of = OutputClass::normal) const;

  /// Parses, checks and sets a value. Returns an error in Redis' words and without the setting's name, or nothing. With
  /// `at_runtime`, settings that cannot change at run time are refused, and listeners are called.
  std::optional<std::string> set(Id id, std::string_view value, bool at_runtime);

  /// Whether these settings may be set together at run time: each of them can change, and none is named twice. Values are not
  /// looked at.
  std::optional<Refusal> check(std::span<const std::pair<Id, std::string>> values) const;
  /// Sets all of these at run time or none of them, as CONFIG SET does with several pairs. May take as long as a disk, if a listener
  /// does or if another change is under way. Throws std::bad_alloc before anything has changed; a listener that throws it has refused.
  std::optional<Refusal> set_all(std::span<const std::pair<Id, std::string>> values);
  /// The same, if it takes no such time. If it may, returns false, and nothing has changed.
  bool try_set_all(std::span<const std::pair<Id, std::string>> values, std::optional<Refusal>& refusal);

  /// A listener is called after a setting of its has changed at run time: once, however many of them have. It may read the settings but
  /// not set any. It refuses the change by returning an error, or by std::bad_alloc. An error that begins with the name of a setting is
  /// about that one. Then the change is undone, and all listeners that were called are called again, or in their place what they have
  /// given as `undo`: a listener that the former values do not tell everything gives that. No shard is locked, because CONFIG SET is
  /// refused inside MULTI. Listeners must be registered before threads start.
  using Listener = std::function<std::optional<std::string>()>;
  using Undo = std::function<void()>;
  /// How long a listener takes.
  enum class Takes { no_time, as_long_as_a_disk };
  void on_change(std::vector<Id> ids, Listener listener, Undo undo = {}, Takes takes = Takes::no_time);
  void on_change(Id id, Listener listener, Undo undo = {});

  /// Reads a YAML mapping of names to scalars. The error names the file and the line.
  std::optional<std::string> load_file(const std::string& path);
  /// Reads PINFOLD_NAME=value for every setting. An unknown PINFOLD_ name is an error, except for the variables that Kubernetes
  /// sets for a service called pinfold.
  std::optional<std::string> load_environment(const char* const* environment);
  /// Reads [file.yaml] [--name value | --name=value ...]. The file is applied first, then the environment, then the options.
  Start load_command_line(int argc, const char* const* argv, const char* const* environment);

  /// The absolute path of the settings file, for CONFIG REWRITE and INFO; empty if the server was started without one.
  const std::string& file() const { return file_; }
  /// The policies in that file, in the order of the file.
  const std::vector<std::vector<PolicyField>>& policies() const { return policies_; }
  /// The users in that file, in its order.
  const std::vector<UserText>& users() const { return users_; }
  /// Tells how the users in the file differ from those of the server. Called by rewrite(), on its thread.
  using UserChanges = std::function<std::vector<UserChange>(const std::vector<UserText>& in_file)>;
  void on_rewrite_users(UserChanges changes) { user_changes_ = std::move(changes); }
  /// Writes the settings that differ from their defaults into the file, and the users that do (on_rewrite_users), and keeps
  /// its other lines and comments. The file is
  /// replaced in one step (rename), with the same permissions. May take as long as the disk does. No thread waits for it
  /// meanwhile, except another rewrite.
  std::optional<std::string> rewrite();

 private:
  /// The value of a setting. Every type but text has a number; a text may have one, if it says a number.
  struct State {
    std::int64_t number = 0;
    std::string text;     // of Type::text, as CONFIG GET shows it
    std::string given;    // as it was written, so that "75%" stays "75%" in the file
    OutputLimits limits;  // what the text of client-output-buffer-limit says
  };

  static std::optional<std::string> parse(Id id, std::string_view value, std::string_view current, State& state);
  State state(Id id) const;
  /// The states of all settings, by Id, from one moment.
  std::vector<State> states();
  void store(Id id, State state);  // allocates nothing
  struct Told {
    bool concerns(Id id) const { return std::ranges::find(ids, id) != ids.end(); }
    std::optional<std::string> tell() const;
    void tell_undone() const;

    std::vector<Id> ids;
    Listener listener;
    Undo undo;
    Takes takes;
  };
  /// set_all() with values that check() has passed, while `change_mutex_` is held.
  std::optional<Refusal> change(std::span<const std::pair<Id, std::string>> values);
  std::optional<std::string> load_options(std::span<const std::string_view> options);
  static bool is_default(Id id, const State& now);
  static bool same_value(Id id, const State& now, std::string_view value);
  std::optional<std::string> check_rewritten(const std::string& text, const YamlFile& former, const std::vector<State>& now,
                                             const std::vector<UserText>& users) const;

  std::array<std::atomic<std::int64_t>, static_cast<unsigned>(Id::count)> numbers_{};
  std::atomic<std::uint64_t> version_{0};
  std::atomic<std::int64_t> changed_at_{0};
  std::atomic<std::uint64_t> output_limit_version_{0};  // odd while the limit is being written
  struct SharedOutputLimit {
    std::atomic<std::uint64_t> hard{0};
    std::atomic<std::uint64_t> soft{0};
    std::atomic<std::int64_t> soft_seconds{0};
  };
  std::array<SharedOutputLimit, std::tuple_size_v<OutputLimits>> output_limits_;  // by OutputClass

  std::mutex file_mutex_;     // held by rewrite(); taken before change_mutex_
  std::mutex change_mutex_;   // held by a change at run time; taken before mutex_
  mutable std::mutex mutex_;  // guards texts_ and given_
  std::array<std::string, static_cast<unsigned>(Id::count)> texts_;
  std::array<std::string, static_cast<unsigned>(Id::count)> given_;
  std::vector<Told> listeners_;
  std::string file_;
  std::vector<std::vector<PolicyField>> policies_;
  std::vector<UserText> users_;
  UserChanges user_changes_;
};

}  // namespace pinfold::config
