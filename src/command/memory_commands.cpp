// MEMORY: what memory is used for.

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include <malloc.h>

#include "pinfold/base/numbers.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/figures.hpp"
#include "pinfold/command/help.hpp"

namespace pinfold::command {

namespace {

// A value is one run of bytes, so there is nothing to sample; the option is read as Redis reads it.
Outcome memory_usage(Call& call) {
  Cursor options(call.args, 3);
  while (!options.done()) {
    if (!options.take_with_value("SAMPLES")) return call.syntax_error();
    const std::optional<std::int64_t> samples = options.take_integer();
    if (!samples) return call.not_an_integer();
    if (*samples < 0) return call.syntax_error();
  }
  const auto bytes = call.engine.keyspace.memory_usage(call.session.db, call.key(), call.now);
  if (!bytes) return call.reply.null();
  return call.reply.integer(static_cast<std::int64_t>(*bytes));
}

// The fields of MEMORY STATS: those of Redis with its names, in its order, and Pinfold's own among them. What Redis tells of its
// allocator is told of the account: `allocator.allocated` is what is used, `allocator.active` has also what the process has grown by
// beyond that, and `allocator.resident` is the whole process.
class MemoryStats {
 public:
  explicit MemoryStats(Call& call) : figures_(collect_memory_figures(call.engine, call.held)) {
    for (unsigned db = 0; db < store::database_count; ++db) {
      databases_[db] = call.engine.keyspace.database_stats(db, call.now, call.held);
      keys_ += databases_[db].keys;
    }
  }

  Outcome reply(resp::Reply& reply) const {
    const std::uint64_t added = figures_.used > figures_.startup ? figures_.used - figures_.startup : 0;
    const Numbers before = {
        {"peak.allocated", figures_.peak},
        {"total.allocated", figures_.used},
        {"startup.allocated", figures_.startup},
        {"replication.backlog", 0},
        {"clients.slaves", 0},
        {"clients.normal", figures_.clients},
        {"cluster.links", 0},
        {"aof.buffer", 0},
        {"lua.caches", figures_.cached_scripts},
        {"functions.caches", figures_.libraries},
    };
    const Numbers behind = {
        {"segments.bytes", figures_.segments},
        {"blobs.bytes", figures_.blobs},
        {"index.bytes", figures_.index},
        {"ghosts.bytes", figures_.ghosts},
        {"herd.bytes", figures_.coalescing},
        {"sampling.bytes", figures_.sampling},
        {"scripting.bytes", figures_.scripts},
        {"tracking.bytes", figures_.tracking},
        {"messages.bytes", figures_.messages},
        {"pinned.bytes", figures_.pinned},
        {"overhead.total", figures_.overhead},
        {"keys.count", keys_},
        {"keys.bytes-per-key", keys_ > 0 ? added / keys_ : 0},
        {"dataset.bytes", figures_.dataset},
    };
    const std::uint64_t active = figures_.used + figures_.unaccounted;
    const std::pair<std::string_view, double> ratios[] = {
        {"allocator-fragmentation", ratio(active, figures_.used)},
        {"allocator-rss", ratio(figures_.resident, active)},
        {"rss-overhead", 1},
    };
    const std::int64_t differences[] = {difference(active, figures_.used), difference(figures_.resident, active), 0};
    const Numbers allocator = {
        {"allocator.allocated", figures_.used}, {"allocator.active", active}, {"allocator.resident", figures_.resident}};
    constexpr std::size_t percentages = 2;
    constexpr std::size_t of_fragmentation = 2;
    reply.map(before.size() + count_databases() + behind.size() + percentages + allocator.size() + 2 * std::size(ratios) +
              of_fragmentation);
    reply_numbers(reply, before);
    reply_databases(reply);
    reply_numbers(reply, behind);
    reply.bulk("dataset.percentage");
    reply.real(figures_.dataset_percentage);
    reply.bulk("peak.percentage");
    reply.real(figures_.peak_percentage);
    reply_numbers(reply, allocator);
    for (std::size_t i = 0; i < std::size(ratios); ++i) {
      reply.bulk(std::string(ratios[i].first) + ".ratio");
      reply.real(ratios[i].second);
      reply.bulk(std::string(ratios[i].first) + ".bytes");
      reply.integer(differences[i]);
    }
    reply.bulk("fragmentation");
    reply.real(figures_.fragmentation);
    reply.bulk("fragmentation.bytes");
    return reply.integer(figures_.fragmentation_bytes);
  }

 private:
  using Numbers = std::vector<std::pair<std::string_view, std::uint64_t>>;

  static double ratio(std::uint64_t part, std::uint64_t of) { return of > 0 ? static_cast<double>(part) / static_cast<double>(of) : 0; }
  static std::int64_t difference(std::uint64_t a, std::uint64_t b) { return static_cast<std::int64_t>(a) - static_cast<std::int64_t>(b); }
  static void reply_numbers(resp::Reply& reply, const Numbers& numbers) {
    for (const auto& [name, value] : numbers) {
      reply.bulk(name);
      reply.integer(static_cast<std::int64_t>(value));
    }
  }
  std::size_t count_databases() const {
    return static_cast<std::size_t>(std::ranges::count_if(databases_, [](const store::DatabaseStats& db) { return db.keys != 0; }));
  }
  void reply_databases(resp::Reply& reply) const {
    for (unsigned db = 0; db < databases_.size(); ++db) {
      if (databases_[db].keys == 0) continue;
      reply.bulk("db." + std::to_string(db));
      reply.map(3);
      reply_numbers(reply, {{"overhead.hashtable.main", databases_[db].index_bytes},
                            {"overhead.hashtable.expires", 0},
                            {"overhead.hashtable.slot-to-keys", 0}});
    }
  }

  MemoryFigures figures_;
  std::array<store::DatabaseStats, store::database_count> databases_;
  std::uint64_t keys_ = 0;
};

Outcome memory_stats(Call& call) { return MemoryStats(call).reply(call.reply); }

// What an operator would want to be told about, in the order of urgency.
std::string diagnose(const MemoryFigures& figures) {
  constexpr std::uint64_t megabyte = 1024 * 1024;
  const std::uint64_t many_for_clients = figures.clients_share > 0 ? figures.clients_share / 2 : UINT64_MAX;
  std::string text;
  if (figures.limit > 0 && figures.evicts == 0 && figures.data > figures.data_limit / 10 * 9) {
    text += "* Memory is nearly full (" + human_size(figures.data) + " of " + human_size(figures.data_limit) +
            ") and nothing is evicted: writes are or will be refused. Raise maxmemory, or set "
            "maxmemory-policy to "
            "allkeys-lfu.\n";
  }
  if (figures.limit == 0) {
    text += "* There is no limit: memory grows until the kernel ends the process. Set maxmemory.\n";
  }
  if (figures.clients > 32 * megabyte && figures.clients > std::min(figures.used / 4, many_for_clients)) {
    text += "* Clients hold " + human_size(figures.clients) +
            " in unfinished requests and unread replies. CLIENT LIST shows who (tot-mem); see "
            "maxmemory-clients and client-output-buffer-limit.\n";
  }
  if (figures.fragmentation > 1.4 && figures.fragmentation_bytes > static_cast<std::int64_t>(100 * megabyte)) {
    text += "* The process is " + human_size(static_cast<std::uint64_t>(figures.fragmentation_bytes)) +
            " larger than the memory accounted for. If that stays so after MEMORY PURGE, the allocator holds "
            "on to "
            "blocks of odd sizes.\n";
  }
  if (figures.peak > figures.used + figures.used / 2 && figures.peak > 100 * megabyte) {
    text += "* In the past " + human_size(figures.peak) + " were used, now " + human_size(figures.used) +
            ": a part of the process may stay resident until it is needed again.\n";
  }
  return text.empty() ? "Nothing is wrong with the memory of this server.\n" : text;
}

Outcome memory_doctor(Call& call) { return call.reply.verbatim(diagnose(collect_memory_figures(call.engine, call.held))); }

// Most memory goes back to the system when it is freed; this has the little given back that is kept for the next allocation.
Outcome memory_purge(Call& call) {
  call.engine.keyspace.release_spare();
  ::malloc_trim(0);
  return call.reply.ok();
}

// The C library's allocator has no such report, and Redis says the same when it is built with it.
Outcome memory_malloc_stats(Call& call) { return call.reply.bulk("Stats not supported for the current allocator"); }

// clang-format off
constexpr Row kRows[] = {
    {.name = "memory", .arity = -2,
     .group = "server", .since = "4.0.0",
     .complexity = "Depends on the subcommand.",
     .summary = "Looks into the server's memory."},
    {.name = "memory|doctor", .handler = memory_doctor, .arity = 2,
     .flags = kBeyondNamed,
     .group = "server", .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Says in words what is wrong with the use of memory, if anything."},
    {.name = "memory|help", .handler = reply_help, .arity = 2,
     .flags = kLoading,
     .group = "server", .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Prints the subcommands."},
    {.name = "memory|malloc-stats", .handler = memory_malloc_stats, .arity = 2,
     .group = "server", .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Says that the allocator keeps no statistics."},
    {.name = "memory|purge", .handler = memory_purge, .arity = 2,
     .flags = kNoMulti | kLogged,
     .group = "server", .since = "4.0.0",
     .complexity = "O(N) for N free blocks of the C library's allocator.",
     .summary = "Has memory that the allocators keep for later given back to the system, most of it in the background."},
    {.name = "memory|stats", .handler = memory_stats, .arity = 2,
     .flags = kAllShards | kBeyondNamed, .touches = Touches::no_key,
     .group = "server", .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Tells in numbers what memory is used for."},
    {.name = "memory|usage", .handler = memory_usage, .arity = -3,
     .flags = kReadOnly,
     .keys = {KeySpec::one(KeyUse::peek, 2)},
     .group = "server", .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Tells how many bytes a key takes with its value, its share of the index included.",
     .syntax = "key [SAMPLES count]"},
};
// clang-format on

}  // namespace

std::span<const Row> memory_commands() { return kRows; }

}  // namespace pinfold::command
