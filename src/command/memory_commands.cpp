// MEMORY: what memory is used for.

#include <algorithm>
#include <string>

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

std::uint64_t count_keys(Call& call) {
  std::uint64_t keys = 0;
  for (unsigned db = 0; db < store::database_count; ++db) keys += call.engine.keyspace.size(db, call.held);
  return keys;
}

Outcome memory_stats(Call& call) {
  const MemoryFigures figures = collect_memory_figures(call.engine, call.held);
  const std::uint64_t keys = count_keys(call);
  const std::uint64_t added = figures.used > figures.startup ? figures.used - figures.startup : 0;
  const std::pair<std::string_view, std::uint64_t> numbers[] = {
      {"peak.allocated", figures.peak},
      {"total.allocated", figures.used},
      {"startup.allocated", figures.startup},
      {"replication.backlog", 0},
      {"clients.slaves", 0},
      {"clients.normal", figures.clients},
      {"cluster.links", 0},
      {"aof.buffer", 0},
      {"lua.caches", figures.cached_scripts},
      {"functions.caches", figures.libraries},
      {"segments.bytes", figures.segments},
      {"blobs.bytes", figures.blobs},
      {"index.bytes", figures.index},
      {"ghosts.bytes", figures.ghosts},
      {"herd.bytes", figures.coalescing},
      {"sampling.bytes", figures.sampling},
      {"scripting.bytes", figures.scripts},
      {"overhead.total", figures.overhead},
      {"keys.count", keys},
      {"keys.bytes-per-key", keys > 0 ? added / keys : 0},
      {"dataset.bytes", figures.dataset},
  };
  constexpr std::size_t after_numbers = 4;
  call.reply.map(std::size(numbers) + after_numbers);
  for (const auto& [name, value] : numbers) {
    call.reply.bulk(name);
    call.reply.integer(static_cast<std::int64_t>(value));
  }
  call.reply.bulk("dataset.percentage");
  call.reply.real(figures.dataset_percentage);
  call.reply.bulk("peak.percentage");
  call.reply.real(figures.peak_percentage);
  call.reply.bulk("fragmentation");
  call.reply.real(figures.fragmentation);
  call.reply.bulk("fragmentation.bytes");
  return call.reply.integer(figures.fragmentation_bytes);
}

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
