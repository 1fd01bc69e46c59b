#pragma once
// The figures of a running server, as plain numbers and texts. They are collected first, and then shown by INFO, MEMORY STATS
// and MEMORY DOCTOR. None of these commands reads the state of the server by itself.
//
// The name and the unit of a figure stand in one place: a table of Figure (figures.cpp).

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "pinfold/base/histogram.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/store/departures.hpp"

namespace pinfold::command {

/// A section of INFO.
enum class Section : std::uint8_t {
  server,
  clients,
  memory,
  persistence,
  stats,
  replication,
  cpu,
  cache,
  modules,
  tls,
  commands,
  locks,
  errors,
  latencies,
  cluster,
  keyspace,
  users,
  policies,
  threads,
  working_set,
  keys,
  scripts,
  count,
};
using Sections = std::bitset<static_cast<std::size_t>(Section::count)>;

/// Figures of the process and its configuration.
struct ServerFigures {
  // These three are collected whichever sections are asked for.
  std::string run_id;
  std::uint64_t started_at = 0;         // Unix seconds
  std::uint64_t config_changed_at = 0;  // when a setting was last changed, or the start
  std::string system;
  std::uint64_t pointer_bits = 0;
  std::uint64_t process = 0;
  std::string port;
  std::uint64_t time_us = 0;
  std::uint64_t uptime_seconds = 0;
  std::uint64_t uptime_days = 0;
  std::string hz;
  std::uint64_t access_clock = 0;
  std::uint64_t threads = 0;
  std::string executable;
  std::string file;
};

struct ClientFigures {
  std::uint64_t connected = 0;
  std::string most;
  std::uint64_t limit = 0;  // the same as a number
  std::uint64_t largest_input = 0;
  std::uint64_t largest_output = 0;
  std::uint64_t blocked = 0;
  std::uint64_t waiting_for_leases = 0;  // clients that wait for the holder of a lease; each of these waits has a time limit
  std::uint64_t blocked_pops = 0;        // clients that wait for an element (BLPOP)
  std::uint64_t blocking_keys = 0;       // the keys that these wait for
  std::uint64_t monitors = 0;            // clients that have sent MONITOR
  std::uint64_t tracking = 0;            // clients with CLIENT TRACKING
  std::uint64_t subscribers = 0;         // clients that have subscribed to a channel or pattern
};

/// Figures of memory, in bytes unless they say otherwise. Each size is read once, so the sums fit the parts although other
/// threads go on.
struct MemoryFigures {
  std::uint64_t segments = 0;
  std::uint64_t blobs = 0;
  std::uint64_t index = 0;
  std::uint64_t ghosts = 0;
  std::uint64_t coalescing = 0;  // leases, waiting clients, refused versions, pending purges
  std::uint64_t clients = 0;
  std::uint64_t sampling = 0;  // of accesses, to learn about the traffic, and spans of requests
  std::uint64_t tracking = 0;  // which clients have read which keys (CLIENT TRACKING)
  std::uint64_t scripts = 0;   // the three below together
  std::uint64_t interpreters = 0;
  std::uint64_t cached_scripts = 0;
  std::uint64_t libraries = 0;
  std::uint64_t script_texts = 0;  // cached scripts and libraries
  std::uint64_t script_count = 0;
  std::uint64_t library_count = 0;
  std::uint64_t function_count = 0;
  std::uint64_t used = 0;      // the sum of all above
  std::uint64_t messages = 0;  // the part of `clients` that published messages on their way to I/O threads take
  std::uint64_t pinned = 0;    // the part of `blobs` that only unread replies keep
  std::uint64_t peak = 0;
  std::uint64_t startup = 0;   // `used` before there was any data
  std::uint64_t overhead = 0;  // the part of `used` that is neither keys nor values
  std::uint64_t dataset = 0;   // the rest of `used`: segments and blocks
  std::uint64_t resident = 0;  // resident memory of the process, as the kernel counts it
  std::uint64_t unaccounted = 0;
  std::uint64_t data = 0;           // the part of `used` that maxmemory bounds
  std::uint64_t system = 0;         // of the machine
  std::uint64_t available = 0;      // of the machine, or what its control group may have; 0: not known
  std::uint64_t limit = 0;          // 0: none
  std::uint64_t data_limit = 0;     // what of `limit` is left for `data`, without `unaccounted`; 0: no limit
  std::uint64_t clients_share = 0;  // 0: no limit
  std::string policy;
  std::uint64_t evicts = 1;  // 0: maxmemory-policy is noeviction, or volatile while no key has a deadline
  double peak_percentage = 0;
  double dataset_percentage = 0;  // `dataset` as a percentage of what `used` has grown by since the start
  double fragmentation = 0;       // `resident` divided by `used`; the program, the allocator and segments not yet full raise it
  std::int64_t fragmentation_bytes = 0;
};

struct StatsFigures {
  std::uint64_t connections = 0;
  std::uint64_t commands = 0;
  std::uint64_t commands_per_second = 0;
  std::uint64_t input_bytes = 0;
  std::uint64_t output_bytes = 0;
  double input_rate = 0;
  double output_rate = 0;
  std::uint64_t rejected_connections = 0;
  std::uint64_t expired_keys = 0;
  std::uint64_t evicted_keys = 0;
  std::uint64_t evicted_clients = 0;
  std::uint64_t clients_closed_for_users = 0;
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  // Client-side caching (cache/tracking_table.hpp).
  std::uint64_t tracking_keys = 0;
  std::uint64_t tracking_items = 0;  // the keys of each client, together
  std::uint64_t tracking_prefixes = 0;
  std::uint64_t tracking_evicted = 0;
  std::uint64_t tracking_aged = 0;
  std::uint64_t tracking_refused = 0;
  std::uint64_t tracking_messages = 0;
  std::uint64_t error_replies = 0;
  std::uint64_t query_limit_disconnections = 0;
  std::uint64_t output_limit_disconnections = 0;
  std::uint64_t abandoned_disconnections = 0;  // because of what their unread replies kept (MemoryFigures::pinned)
  std::uint64_t idle_disconnections = 0;
  std::uint64_t protocol_errors = 0;
  std::uint64_t auth_failures = 0;
  std::uint64_t auth_limited = 0;
  std::uint64_t protected_connections = 0;
  std::uint64_t denied_auth = 0;
  std::uint64_t denied_command = 0;
  std::uint64_t denied_key = 0;
  std::uint64_t denied_channel = 0;
  std::uint64_t denied_database = 0;
  std::uint64_t rate_limited = 0;
  // Of publish/subscribe.
  std::uint64_t channels = 0;
  std::uint64_t channel_patterns = 0;
  std::uint64_t shard_channels = 0;
  std::uint64_t messages_published = 0;
  std::uint64_t messages_delivered = 0;  // to clients: one that two clients get is two
  std::uint64_t messages_per_second = 0;
  std::uint64_t keyspace_events = 0;
  std::uint64_t keyspace_events_dropped = 0;
  std::uint64_t audit_written = 0;
  std::uint64_t audit_lost = 0;
  std::uint64_t audit_left_out = 0;
  std::uint64_t audit_failing = 0;  // 1 or 0
  std::uint64_t log_written = 0;
  std::uint64_t log_lost = 0;
  std::uint64_t log_failing = 0;  // 1 or 0
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
  std::uint64_t cycles = 0;
  std::uint64_t lock_longest_us = 0;
  std::uint64_t lock_holds = 0;
  std::uint64_t lock_long_holds = 0;
  std::uint64_t lock_longest_cpu_us = 0;
  std::uint64_t lock_waits = 0;
  std::uint64_t lock_waits_slept = 0;
  std::uint64_t lock_longest_wait_us = 0;
  std::uint64_t admin_requests = 0;
  std::uint64_t admin_without_token = 0;
  std::uint64_t admin_protected = 0;
  std::uint64_t admin_wrong_host = 0;
  std::uint64_t admin_rejected = 0;
  std::uint64_t lock_wait_us = 0;
  std::uint64_t room_waits = 0;
  std::uint64_t room_wait_us = 0;
  // Evicted keys by the cause; together they are evicted_keys.
  std::uint64_t evicted_for_memory = 0;
  std::uint64_t evicted_for_quota = 0;
  std::uint64_t evicted_first_out = 0;
  std::uint64_t evicted_negative = 0;
  double shard_imbalance = 0;  // bytes of the fullest shard, divided by the mean of all; 0: the cache is empty
  // Commands that SLOWLOG and COMMANDLOG have noted.
  std::uint64_t slow_commands = 0;
  std::uint64_t large_requests = 0;
  std::uint64_t large_replies = 0;
  // Spans of traced requests, since the start of the server.
  std::uint64_t spans_exported = 0;
  std::uint64_t spans_dropped = 0;
  std::uint64_t spans_failed = 0;
};

/// Distributions, each with its sum.
struct DurationFigures {
  histogram::Counts counts;
  double seconds = 0;  // all of them together
};
struct DistributionFigures {
  DurationFigures loads;       // from the grants of leases to their fills
  DurationFigures waits;       // of clients for the holders of leases
  DurationFigures stale_ages;  // of stale values when they were read, past their deadlines; in the counts a microsecond is a millisecond
  store::SecondCounts eviction_ages;
  store::SecondCounts eviction_idle_times;
  store::TtlCounts written_ttls;
};

struct CpuFigures {
  double system = 0;
  double user = 0;
  double system_of_children = 0;
  double user_of_children = 0;
};

struct CacheFigures {
  std::uint64_t leases = 0;
  std::uint64_t waiters = 0;
  std::uint64_t granted = 0;
  std::uint64_t filled = 0;
  std::uint64_t voided = 0;
  std::uint64_t expired = 0;
  std::uint64_t released = 0;
  // Each is the sum of the three behind it.
  std::uint64_t refused = 0;
  std::uint64_t refused_max_leases = 0;
  std::uint64_t refused_by_policy = 0;
  std::uint64_t refused_for_memory = 0;
  std::uint64_t waits_refused = 0;
  std::uint64_t waits_refused_max_waiters = 0;
  std::uint64_t waits_refused_no_lease = 0;
  std::uint64_t waits_refused_for_memory = 0;
  std::uint64_t fills_refused = 0;
  std::uint64_t fills_refused_token = 0;
  std::uint64_t fills_refused_tag = 0;
  std::uint64_t fills_refused_version = 0;
  std::uint64_t fills_refused_dependency = 0;
  std::uint64_t early_refreshes = 0;
  std::uint64_t stale_hits = 0;
  std::uint64_t negative_hits = 0;
  std::uint64_t negative_entries = 0;
  std::uint64_t negative_bytes = 0;
  std::uint64_t purges_of_tags = 0;
  std::uint64_t purges_of_prefixes = 0;
  std::uint64_t purges_cascading = 0;
  std::uint64_t entries_of_cascades = 0;
  std::uint64_t purges_pending = 0;
  std::uint64_t serves_stale = 0;  // 1 or 0
  // Switches for an incident.
  std::uint64_t admit_percent = 0;
  std::uint64_t bypass = 0;  // 1 or 0
  std::uint64_t max_leases = 0;
  std::uint64_t policies_admitting_part = 0;
  std::uint64_t policies_bypassed = 0;
  std::uint64_t policies_serving_stale = 0;
  std::uint64_t policies_without_leases = 0;
  std::uint64_t writes_not_admitted = 0;
  std::uint64_t reads_bypassed = 0;
  std::uint64_t writes_bypassed = 0;
};

struct TlsFigures {
  std::string port;
  std::uint64_t clients = 0;
  std::uint64_t handshakes = 0;
  std::uint64_t resumed = 0;
  std::uint64_t failed = 0;
  std::uint64_t timed_out = 0;
  std::uint64_t under_way = 0;
  std::uint64_t waiting = 0;
  std::uint64_t users_refused = 0;
  // Of certificates: empty or 0 if there is none.
  std::string server_serial;
  std::int64_t server_expires = 0;
  std::int64_t server_left = 0;  // negative: it has expired
  std::string ca_serial;
  std::int64_t ca_expires = 0;
  std::int64_t ca_left = 0;
  std::uint64_t loads = 0;
  std::uint64_t failed_loads = 0;
  std::int64_t loaded_at = 0;
  std::string last_load;
};

struct CommandFigures {
  std::string_view name;
  std::uint64_t calls = 0;
  std::uint64_t time_us = 0;  // without waiting for locks and memory before the call
  double time_per_call_us = 0;
  std::uint64_t rejected = 0;
  std::uint64_t failed = 0;
  std::shared_ptr<const histogram::Counts> durations;  // of its calls, while the setting metrics was on
  double measured_seconds = 0;                         // of these calls together
};

/// Figures of the holds of shard locks that have one cause. The last five are the most work that one hold has done beyond what
/// its request names (store/lock_account.hpp).
struct HoldFigures {
  std::string_view cause;
  std::uint64_t holds = 0;
  std::uint64_t over_budget = 0;
  std::uint64_t waits = 0;  // for the lock of a shard
  std::uint64_t wait_us = 0;
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  std::uint64_t nodes = 0;
  std::uint64_t allocations = 0;
  std::uint64_t system_calls = 0;
};

struct ErrorFigures {
  std::string code;
  std::uint64_t count = 0;
};

struct DatabaseFigures {
  unsigned number = 0;
  std::uint64_t keys = 0;
  std::uint64_t expiring = 0;
  std::int64_t average_ttl_ms = 0;
};

/// What the clients of a user take and have asked for. The counts are from the user's creation on.
struct UserFigures {
  std::string name;  // at most 128 bytes of it, and none from the first NUL on
  bool is_cut = false;
  std::uint32_t name_hash = 0;  // of the whole name
  std::uint64_t clients = 0;
  std::uint64_t memory = 0;    // bytes
  std::uint64_t requests = 0;  // at most a second old
  std::uint64_t refused = 0;   // of these, because of the request rate
  std::uint64_t closed = 0;    // clients, because of the memory limit
  std::uint64_t hits = 0;      // reads that have found their keys; as old as `requests`, like the next
  std::uint64_t misses = 0;
  std::uint64_t stale_hits = 0;     // of the misses, those that got a stale value
  std::uint64_t negative_hits = 0;  // of the misses, those that were told that there is no value
};

/// What has become of reads of a policy's keys, and of these keys.
struct PolicyFigures {
  std::string name;
  std::uint64_t bytes = 0;
  std::uint64_t hits = 0;
  std::uint64_t stale_hits = 0;
  std::uint64_t negative_hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t granted = 0;  // leases
  std::uint64_t leases = 0;   // that are alive
  std::uint64_t loads = 0;    // leases that were filled
  std::uint64_t load_ms = 0;  // from the grants of these to their fills, together
  std::uint64_t evicted = 0;
  std::string match;  // the pattern, at most 128 bytes of it; INFO leaves it out
};

/// An I/O thread. In its rounds it serves clients; what becomes ready meanwhile waits for the end of the round.
struct ThreadFigures {
  unsigned number = 0;
  double busy = 0;                    // seconds in rounds, while the setting metrics was on
  std::uint64_t median_round_us = 0;  // of all rounds since the last reset, as are the next two
  std::uint64_t p99_round_us = 0;
  std::uint64_t longest_round_us = 0;
};

/// What the traffic says about the memory (working_set.hpp).
struct WorkingSetFigures {
  std::string state = "off";  // off, noeviction, small, warming, known
  // Hit ratios in percent, at these parts of the present memory; 0 unless the state is known.
  double quarter = 0;
  double half = 0;
  double present = 0;
  double twice = 0;
  double four_times = 0;
  double uncertainty = 0;           // percentage points, of the hit ratios at other than the present memory
  std::uint64_t reads = 0;          // of sampled keys, as far as they still count
  std::uint64_t entries = 0;        // that are simulated with the present memory
  std::uint64_t keys_each = 0;      // one key in so many is sampled
  std::uint64_t dropped = 0;        // accesses to sampled keys that were not noted
  double unread_keys = 0;           // percent of the entries that were not read since they were written
  double unread_bytes = 0;          // percent of their bytes
  std::uint64_t changes = 0;        // of values with a deadline, as far as they still count
  std::uint64_t change_age_ms = 0;  // the median age of these values when they were changed
  std::uint64_t change_ttl_ms = 0;  // the median of the time that they might have stayed
};

/// Scripts and functions that clients execute, and what was locked for them.
struct ScriptFigures {
  std::uint64_t executed = 0;
  std::uint64_t locked_all = 0;  // runs with the whole keyspace locked
  std::uint64_t locked_declared = 0;
  std::uint64_t locked_more = 0;  // commands for which further shards were locked in the middle of a script
  std::uint64_t run_again = 0;
  std::uint64_t refused_undeclared = 0;
  std::uint64_t killed = 0;
  std::uint64_t out_of_time = 0;
  std::uint64_t evicted = 0;  // from the cache of scripts
  std::uint64_t running = 0;  // for more than ten milliseconds, at present
  std::uint64_t longest_us = 0;
};

/// Which keys are asked for most, in percent of all accesses to keys, and how large values are.
struct KeyFigures {
  std::uint64_t sampled = 0;  // accesses that were looked at
  // Of the last five seconds; 0 while `metrics` is no.
  double accesses_per_second = 0;
  double hottest = 0;  // the part of the key that is asked for most
  double top_1 = 0;    // the part of the 1 % of the keys that are asked for most
  double top_5 = 0;    // and so on
  double top_10 = 0;
  // Values by size: of these bytes at most, and of more than the class before. The first three are estimates, the others exact.
  std::uint64_t of_64b = 0;
  std::uint64_t of_1kb = 0;
  std::uint64_t of_16kb = 0;
  std::uint64_t of_256kb = 0;
  std::uint64_t of_1mb = 0;
  std::uint64_t of_16mb = 0;
  std::uint64_t larger = 0;
};

struct Figures {
  ServerFigures server;
  ClientFigures clients;
  MemoryFigures memory;
  StatsFigures stats;
  CpuFigures cpu;
  CacheFigures cache;
  TlsFigures tls;
  ScriptFigures scripts;
  std::vector<double> percentiles;         // those of the setting latency-tracking-info-percentiles; none if latency-tracking is off
  std::vector<CommandFigures> commands;    // only commands that were called, rejected or have failed
  std::vector<HoldFigures> holds;          // in the order of their causes
  std::vector<ErrorFigures> errors;        // in the order of their codes
  std::vector<DatabaseFigures> databases;  // only databases that have keys
  KeyFigures keys;
  std::vector<UserFigures> users;       // those whose clients take most memory come first; at most 256
  std::vector<PolicyFigures> policies;  // in the order in which they are tried
  std::vector<ThreadFigures> threads;   // in the order of their numbers
  DistributionFigures distributions;    // with the section stats
  WorkingSetFigures working_set;
};

/// Collects the figures of the sections in `wanted`. All others keep their initial values. The sections stats, cache, policies, keyspace
/// and keys lock the shards that are not among `held`, one after the other. The section clients goes through all clients. The other
/// sections cost little. A deadline before `now` counts as passed.
Figures collect_figures(Engine& engine, const store::Keyspace::Locks& held, UnixMs now, const Sections& wanted);
/// Collects the figures of memory only. Under a volatile maxmemory-policy it locks the shards that are not among `held`, one after the
/// other; else it locks nothing.
MemoryFigures collect_memory_figures(const Engine& engine, const store::Keyspace::Locks& held);

/// Resident memory of this process in bytes; 0 if the kernel does not tell.
std::uint64_t resident_memory();

/// The unit of a figure.
enum class Unit : std::uint8_t {
  none,  // a count, or a text
  bytes,
  bytes_for_people,  // bytes that are shown as "1.50M" as well
  days,
  seconds,
  milliseconds,
  microseconds,
  per_second,
  kilobytes_per_second,
  percent,
  ratio,
};

/// The description of one figure: its name, its unit, and the member of `Of` that keeps its value. A text in place of a member
/// is the constant value of a figure that Redis has and that means nothing here (loading:0).
template <class Of>
struct Figure {
  std::string_view name;
  Unit unit;
  std::variant<std::uint64_t Of::*, std::int64_t Of::*, double Of::*, std::string Of::*, std::string_view> value;
};

// All figures of one kind, in the order in which INFO shows them. A figure with the meaning of one of Redis has its name.
// Figures about things that Pinfold does not have (fork times, Lua memory ...) are left out, or are constants.
std::span<const Figure<ServerFigures>> server_figures();
std::span<const Figure<ClientFigures>> client_figures();
std::span<const Figure<MemoryFigures>> memory_figures();
std::span<const Figure<ServerFigures>> persistence_figures();
std::span<const Figure<StatsFigures>> stats_figures();
std::span<const Figure<ServerFigures>> replication_figures();
std::span<const Figure<CpuFigures>> cpu_figures();
std::span<const Figure<CacheFigures>> cache_figures();
std::span<const Figure<TlsFigures>> tls_figures();
std::span<const Figure<ServerFigures>> cluster_figures();
std::span<const Figure<KeyFigures>> key_figures();
std::span<const Figure<ScriptFigures>> script_figures();
// The figures of each command, each cause of holds, each code of errors, each database and each user.
std::span<const Figure<CommandFigures>> command_figures();
std::span<const Figure<HoldFigures>> hold_figures();
std::span<const Figure<ErrorFigures>> error_figures();
std::span<const Figure<DatabaseFigures>> database_figures();
std::span<const Figure<UserFigures>> user_figures();
std::span<const Figure<PolicyFigures>> policy_figures();
std::span<const Figure<ThreadFigures>> thread_figures();
std::span<const Figure<WorkingSetFigures>> working_set_figures();

}  // namespace pinfold::command
