#pragma once
// The figures of a running server, as plain numbers and texts. They are collected first, and then shown by INFO, MEMORY STATS
// and MEMORY DOCTOR. None of these commands reads the state of the server by itself.
//
// The name and the unit of a figure stand in one place: a table of Figure (figures.cpp).

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "pinfold/command/engine.hpp"

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
  count,
};
using Sections = std::bitset<static_cast<std::size_t>(Section::count)>;

/// Figures of the process and its configuration.
struct ServerFigures {
  // These two are collected whichever sections are asked for.
  std::string run_id;
  std::uint64_t started_at = 0;
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
  std::uint64_t largest_input = 0;
  std::uint64_t largest_output = 0;
  std::uint64_t blocked = 0;
  std::uint64_t waiting_for_leases = 0;  // clients that wait for the holder of a lease; each of these waits has a time limit
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
  std::uint64_t used = 0;  // the sum of all above
  std::uint64_t peak = 0;
  std::uint64_t startup = 0;   // `used` before there was any data
  std::uint64_t overhead = 0;  // the part of `used` that is neither keys nor values
  std::uint64_t dataset = 0;   // the rest of `used`: segments and blocks
  std::uint64_t resident = 0;  // resident memory of the process, as the kernel counts it
  std::uint64_t unaccounted = 0;
  std::uint64_t data = 0;  // the part of `used` that maxmemory bounds
  std::uint64_t system = 0;
  std::uint64_t limit = 0;          // 0: none
  std::uint64_t clients_share = 0;  // 0: no limit
  std::string policy;
  bool evicts = true;
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
  std::uint64_t error_replies = 0;
  std::uint64_t query_limit_disconnections = 0;
  std::uint64_t output_limit_disconnections = 0;
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
  std::uint64_t audit_written = 0;
  std::uint64_t audit_lost = 0;
  std::uint64_t audit_left_out = 0;
  std::uint64_t audit_failing = 0;  // 1 or 0
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
  std::uint64_t refused = 0;
  std::uint64_t waits_refused = 0;
  std::uint64_t fills_refused = 0;
  std::uint64_t early_refreshes = 0;
  std::uint64_t stale_hits = 0;
  std::uint64_t negative_hits = 0;
  std::uint64_t negative_entries = 0;
  std::uint64_t negative_bytes = 0;
  std::uint64_t purges_of_tags = 0;
  std::uint64_t purges_of_prefixes = 0;
  std::uint64_t purges_pending = 0;
  std::uint64_t serves_stale = 0;  // 1 or 0
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
  std::uint64_t time_us = 0;  // an estimate, because only one call in a few is timed
  double time_per_call_us = 0;
  std::uint64_t rejected = 0;
  std::uint64_t failed = 0;
};

/// Figures of the holds of shard locks that have one cause. The last five are the most work that one hold has done beyond what
/// its request names (store/lock_account.hpp).
struct HoldFigures {
  std::string_view cause;
  std::uint64_t holds = 0;
  std::uint64_t over_budget = 0;
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
  std::string name;  // at most 128 bytes of it
  std::uint64_t clients = 0;
  std::uint64_t memory = 0;    // bytes
  std::uint64_t requests = 0;  // at most a second old
  std::uint64_t refused = 0;   // of these, because of the request rate
  std::uint64_t closed = 0;    // clients, because of the memory limit
};

struct Figures {
  ServerFigures server;
  ClientFigures clients;
  MemoryFigures memory;
  StatsFigures stats;
  CpuFigures cpu;
  CacheFigures cache;
  TlsFigures tls;
  std::vector<CommandFigures> commands;    // only commands that were called, rejected or have failed
  std::vector<HoldFigures> holds;          // in the order of their causes
  std::vector<ErrorFigures> errors;        // in the order of their codes
  std::vector<DatabaseFigures> databases;  // only databases that have keys
  std::vector<UserFigures> users;          // those whose clients take most memory come first; at most 64
};

/// Collects the figures of the sections in `wanted`. All others keep their initial values. The sections stats, cache and
/// keyspace lock the shards that are not among `held`, one after the other. The section clients goes through all clients. The
/// other sections cost little. A deadline before `now` counts as passed.
Figures collect_figures(Engine& engine, const store::Keyspace::Locks& held, UnixMs now, const Sections& wanted);
/// Collects the figures of memory only. Locks nothing.
MemoryFigures collect_memory_figures(const Engine& engine);

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
// The figures of each command, each cause of holds, each code of errors, each database and each user.
std::span<const Figure<CommandFigures>> command_figures();
std::span<const Figure<HoldFigures>> hold_figures();
std::span<const Figure<ErrorFigures>> error_figures();
std::span<const Figure<DatabaseFigures>> database_figures();
std::span<const Figure<UserFigures>> user_figures();

}  // namespace pinfold::command
