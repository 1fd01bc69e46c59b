#pragma once
// The figures of a running server: looked at once, as plain numbers and texts, and then shown by whoever asks. INFO, MEMORY STATS and
// MEMORY DOCTOR show them; none of them looks at the server by itself.
//
// A figure's name and unit stand in one place, a table of Figure (figures.cpp).

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

/// What belongs together, as INFO shows it.
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
  commands,
  locks,
  errors,
  latencies,
  cluster,
  keyspace,
  count,
};
using Sections = std::bitset<static_cast<std::size_t>(Section::count)>;

struct ServerFigures {
  // These two are there whichever sections are asked for.
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
  std::uint64_t waiting_for_leases = 0;  // each of their waits has an end
};

/// Sizes are read once each, so that they add up while others work.
struct MemoryFigures {
  std::uint64_t segments = 0;
  std::uint64_t blobs = 0;
  std::uint64_t index = 0;
  std::uint64_t ghosts = 0;
  std::uint64_t herd = 0;  // leases, invalidated versions, purges under way
  std::uint64_t clients = 0;
  std::uint64_t used = 0;  // all of these: what maxmemory bounds, and clients
  std::uint64_t peak = 0;
  std::uint64_t startup = 0;   // used before there was any data
  std::uint64_t overhead = 0;  // of used, what is neither keys nor values
  std::uint64_t dataset = 0;   // the rest: segments and blocks
  std::uint64_t resident = 0;  // of the process, as the kernel counts it
  std::uint64_t unaccounted = 0;
  std::uint64_t data = 0;  // what maxmemory bounds
  std::uint64_t system = 0;
  std::uint64_t limit = 0;          // 0: none
  std::uint64_t clients_share = 0;  // 0: no limit
  std::string policy;
  bool evicts = true;
  double peak_percentage = 0;
  double dataset_percentage = 0;  // how much of what data has added is the data itself
  double fragmentation = 0;       // resident to used: what the program itself, the allocator and segments not yet full add
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
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t error_replies = 0;
  std::uint64_t query_limit_disconnections = 0;
  std::uint64_t output_limit_disconnections = 0;
  std::uint64_t idle_disconnections = 0;
  std::uint64_t protocol_errors = 0;
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

struct CommandFigures {
  std::string_view name;
  std::uint64_t calls = 0;
  std::uint64_t time_us = 0;  // an estimate from the calls that were timed, one in a few
  double time_per_call_us = 0;
  std::uint64_t rejected = 0;
  std::uint64_t failed = 0;
};

/// The most that was done in one hold of a shard's lock beyond what its request names: see store/lock_account.hpp.
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

struct Figures {
  ServerFigures server;
  ClientFigures clients;
  MemoryFigures memory;
  StatsFigures stats;
  CpuFigures cpu;
  CacheFigures cache;
  std::vector<CommandFigures> commands;    // that were called, rejected or have failed
  std::vector<HoldFigures> holds;          // in the order of causes
  std::vector<ErrorFigures> errors;        // in the order of codes
  std::vector<DatabaseFigures> databases;  // that have keys
};

/// Looks at the server for what `wanted` needs; the rest is left as it is made. Locks the shards that `held` does not hold, one after the
/// other, for stats, cache and keyspace, and goes through all clients for clients; the other sections cost little. Deadlines are judged
/// at `now`.
Figures collect_figures(Engine& engine, const store::Keyspace::Locks& held, UnixMs now, const Sections& wanted);
/// The part of it that is about memory.
MemoryFigures collect_memory_figures(const Engine& engine);

/// Resident memory of this process, 0 if the kernel does not tell.
std::uint64_t resident_memory();

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

/// One figure of `Of`: where it is kept, or a text if the server can only say one thing, because it does not have what that is about.
template <class Of>
struct Figure {
  std::string_view name;
  Unit unit;
  std::variant<std::uint64_t Of::*, std::int64_t Of::*, double Of::*, std::string Of::*, std::string_view> value;
};

// All figures, in the order in which INFO shows them. Names are Redis' where the meaning is Redis'. What Redis has and Pinfold has not
// (fork times, Lua memory ...) is left out, or is a constant that says so (loading:0).
std::span<const Figure<ServerFigures>> server_figures();
std::span<const Figure<ClientFigures>> client_figures();
std::span<const Figure<MemoryFigures>> memory_figures();
std::span<const Figure<ServerFigures>> persistence_figures();
std::span<const Figure<StatsFigures>> stats_figures();
std::span<const Figure<ServerFigures>> replication_figures();
std::span<const Figure<CpuFigures>> cpu_figures();
std::span<const Figure<CacheFigures>> cache_figures();
std::span<const Figure<ServerFigures>> cluster_figures();
// Those of each command, cause of holds, code of errors and database.
std::span<const Figure<CommandFigures>> command_figures();
std::span<const Figure<HoldFigures>> hold_figures();
std::span<const Figure<ErrorFigures>> error_figures();
std::span<const Figure<DatabaseFigures>> database_figures();

}  // namespace pinfold::command
