// What INFO says. Names are Redis' where the meaning is Redis'; a field is here only if its value is true, so
// what Redis has and Pinfold has not (fork times, Lua memory ...) is left out, or is a constant that says so
// (loading:0).

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>

#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/version.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/info.hpp"
#include "pinfold/command/memory_report.hpp"

namespace pinfold::command {

void InfoText::bytes(std::string_view name, std::uint64_t value) {
  field(name, value);
  field(std::string(name) + "_human", human_size(value));
}

void InfoText::real(std::string_view name, double value, int digits, std::string_view unit) {
  std::array<char, 64> text{};
  const int size = std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  field(name, std::string(text.data(), static_cast<std::size_t>(size)).append(unit));
}

namespace {

using config::Id;

std::string system_name() {
  utsname name{};
  if (::uname(&name) != 0) return "unknown";
  return std::string(name.sysname) + " " + name.release + " " + name.machine;
}

void server(Call& call, InfoText& info) {
  work::system_call();
  const Engine& engine = call.engine;
  const auto uptime = static_cast<std::uint64_t>((monotonic_us() - engine.started_us) / 1'000'000);
  std::error_code ignored;
  info.field("redis_version", redis_version);
  info.field("pinfold_version", version);
  info.field("redis_mode", "standalone");
  info.field("os", system_name());
  info.field("arch_bits", sizeof(void*) * 8);
  info.field("monotonic_clock", "POSIX clock_gettime");
  info.field("multiplexing_api", "epoll");
  info.field("process_id", static_cast<std::uint64_t>(::getpid()));
  info.field("run_id", engine.run_id);
  info.field("tcp_port", engine.settings.show(Id::port));
  info.field("server_time_usec", static_cast<std::uint64_t>(unix_us()));
  info.field("uptime_in_seconds", uptime);
  info.field("uptime_in_days", uptime / (24 * 60 * 60));
  info.field("hz", engine.settings.show(Id::hz));
  info.field("configured_hz", engine.settings.show(Id::hz));
  // The clock by which entries say when they were used.
  info.field("lru_clock", std::uint64_t{unix_seconds() & 0xFF'FFFF});
  info.field("threads", engine.stats.thread_count());
  info.field("executable", std::filesystem::read_symlink("/proc/self/exe", ignored).string());
  info.field("config_file", engine.settings.file());
}

void clients(Call& call, InfoText& info) {
  std::uint64_t largest_input = 0;
  std::uint64_t largest_output = 0;
  call.engine.clients.for_each([&](const SharedClient& client) {
    const std::uint64_t large = client.large_bytes.load(std::memory_order_relaxed);
    largest_input = std::max(largest_input, client.input_bytes.load(std::memory_order_relaxed) + large);
    largest_output = std::max(largest_output, client.output_bytes.load(std::memory_order_relaxed));
  });
  info.field("connected_clients", call.engine.clients.count());
  info.field("cluster_connections", 0);
  info.field("maxclients", call.engine.settings.show(Id::maxclients));
  info.field("client_recent_max_input_buffer", largest_input);
  info.field("client_recent_max_output_buffer", largest_output);
  const auto paused = static_cast<std::uint64_t>(std::max<std::int64_t>(call.engine.clients.held_by_pause.load(), 0));
  info.field("blocked_clients", call.engine.cache.waiters() + paused);
  info.field("tracking_clients", 0);
  info.field("clients_in_timeout_table", call.engine.cache.waiters());  // each of their waits has an end
}

void memory(Call& call, InfoText& info) {
  const store::Memory& memory = call.engine.keyspace.memory();
  const MemoryReport report = memory_report(call.engine);
  info.bytes("used_memory", report.used);
  info.bytes("used_memory_rss", report.resident);
  info.bytes("used_memory_peak", report.peak);
  info.real("used_memory_peak_perc", report.peak_percentage(), 2, "%");
  info.field("used_memory_overhead", report.overhead);
  info.field("used_memory_startup", report.startup);
  info.field("used_memory_dataset", report.dataset);
  info.real("used_memory_dataset_perc", report.dataset_percentage(), 2, "%");
  info.field("used_memory_segments", report.segments);
  info.field("used_memory_blobs", report.blobs);
  info.field("used_memory_index", report.index);
  info.field("used_memory_ghosts", report.ghosts);
  info.field("used_memory_herd", report.herd);
  info.field("used_memory_clients", report.clients);
  info.field("used_memory_unaccounted", memory.unaccounted());
  const auto pages = static_cast<std::uint64_t>(std::max(::sysconf(_SC_PHYS_PAGES), 0L));
  info.bytes("total_system_memory", pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
  info.bytes("maxmemory", memory.limit());
  info.field("maxmemory_policy", call.engine.settings.show(Id::maxmemory_policy));
  const std::uint64_t share = call.engine.clients_share();
  info.field("maxmemory_clients", share == UINT64_MAX ? 0 : share);
  info.field("mem_not_counted_for_evict", report.clients);
  info.real("mem_fragmentation_ratio", report.fragmentation(), 2);
  info.field("mem_fragmentation_bytes", std::to_string(report.fragmentation_bytes()));
  info.field("mem_clients_normal", report.clients);
  info.field("mem_clients_slaves", 0);
  info.field("mem_allocator", "libc");
}

// There is no persistence, so nothing is loading, saving or unsaved; exporters and clients ask all the same.
void persistence(Call& call, InfoText& info) {
  info.field("loading", 0);
  info.field("async_loading", 0);
  info.field("rdb_changes_since_last_save", 0);
  info.field("rdb_bgsave_in_progress", 0);
  info.field("rdb_last_save_time", static_cast<std::uint64_t>(call.engine.started_at / 1000));
  info.field("rdb_last_bgsave_status", "ok");
  info.field("rdb_last_bgsave_time_sec", "-1");
  info.field("rdb_current_bgsave_time_sec", "-1");
  info.field("rdb_saves", 0);
  info.field("aof_enabled", 0);
  info.field("aof_rewrite_in_progress", 0);
  info.field("aof_rewrite_scheduled", 0);
  info.field("aof_last_rewrite_time_sec", "-1");
  info.field("aof_current_rewrite_time_sec", "-1");
  info.field("aof_last_bgrewrite_status", "ok");
  info.field("aof_last_write_status", "ok");
}

void stats(Call& call, InfoText& info) {
  const Stats& totals = call.engine.stats;
  const Rates& rates = call.engine.rates;
  const store::KeyspaceStats keys = call.engine.keyspace.stats(call.held);
  info.field("total_connections_received", totals.total(&ThreadStats::connections_received));
  info.field("total_commands_processed", totals.total(&ThreadStats::commands_processed));
  info.field("instantaneous_ops_per_sec", rates.per_second(Rates::kCommands));
  info.field("total_net_input_bytes", totals.total(&ThreadStats::net_input));
  info.field("total_net_output_bytes", totals.total(&ThreadStats::net_output));
  info.real("instantaneous_input_kbps", static_cast<double>(rates.per_second(Rates::kNetInput)) / 1024, 2);
  info.real("instantaneous_output_kbps", static_cast<double>(rates.per_second(Rates::kNetOutput)) / 1024, 2);
  info.field("rejected_connections", call.engine.clients.rejected());
  info.field("sync_full", 0);
  info.field("sync_partial_ok", 0);
  info.field("sync_partial_err", 0);
  info.field("expired_keys", keys.expired);
  info.field("evicted_keys", keys.evicted);
  info.field("evicted_clients", call.engine.clients.evicted());
  info.field("keyspace_hits", keys.hits);
  info.field("keyspace_misses", keys.misses);
  info.field("pubsub_channels", 0);
  info.field("pubsub_patterns", 0);
  info.field("latest_fork_usec", 0);
  info.field("total_forks", 0);
  info.field("total_error_replies", totals.error_total());
  info.field("client_query_buffer_limit_disconnections", totals.total(&ThreadStats::query_limit_disconnections));
  info.field("client_output_buffer_limit_disconnections", totals.total(&ThreadStats::output_limit_disconnections));
  info.field("idle_disconnections", totals.total(&ThreadStats::idle_disconnections));
  info.field("protocol_errors", totals.total(&ThreadStats::protocol_errors));
  info.field("total_reads_processed", totals.total(&ThreadStats::reads));
  info.field("total_writes_processed", totals.total(&ThreadStats::writes));
  info.field("eventloop_cycles", totals.total(&ThreadStats::cycles));
  const store::LockTiming& locks = call.engine.keyspace.lock_watch().timing;
  constexpr std::int64_t ns_per_us = 1000;
  info.field("shard_lock_longest_us", static_cast<std::uint64_t>(locks.longest_ns.load() / ns_per_us));
  info.field("shard_lock_holds", locks.holds.load());
  info.field("shard_lock_holds_over_1ms", locks.long_holds.load());
  info.field("shard_lock_longest_cpu_us", static_cast<std::uint64_t>(locks.longest_cpu_ns.load() / ns_per_us));
  info.field("shard_lock_waits", locks.waits.load());
  info.field("shard_lock_waits_slept", locks.waits_slept.load());
  info.field("shard_lock_longest_wait_us", static_cast<std::uint64_t>(locks.longest_wait_ns.load() / ns_per_us));
}

void replication(Call& call, InfoText& info) {
  info.field("role", "master");
  info.field("connected_slaves", 0);
  info.field("master_failover_state", "no-failover");
  info.field("master_replid", call.engine.run_id);
  info.field("master_replid2", std::string(40, '0'));
  info.field("master_repl_offset", 0);
  info.field("second_repl_offset", "-1");
  info.field("repl_backlog_active", 0);
  info.field("repl_backlog_size", 0);
  info.field("repl_backlog_first_byte_offset", 0);
  info.field("repl_backlog_histlen", 0);
}

double seconds(const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; }

void cpu(Call&, InfoText& info) {
  work::system_call();
  rusage self{};
  rusage children{};
  ::getrusage(RUSAGE_SELF, &self);
  ::getrusage(RUSAGE_CHILDREN, &children);
  info.real("used_cpu_sys", seconds(self.ru_stime), 6);
  info.real("used_cpu_user", seconds(self.ru_utime), 6);
  info.real("used_cpu_sys_children", seconds(children.ru_stime), 6);
  info.real("used_cpu_user_children", seconds(children.ru_utime), 6);
}

void cache(Call& call, InfoText& info) {
  cache::Cache& cache = call.engine.cache;
  const cache::CacheCounters& counters = cache.counters;
  info.field("leases", cache.leases_alive());
  info.field("lease_waiters", cache.waiters());
  info.field("lease_granted", counters.granted.load());
  info.field("lease_filled", counters.filled.load());
  info.field("lease_voided", counters.voided.load());
  info.field("lease_expired", counters.expired.load());
  info.field("lease_released", counters.released.load());
  info.field("lease_refused", counters.used_up.load());
  info.field("lease_waits_refused", counters.waits_refused.load());
  info.field("fill_refused", counters.fill_refused.load());
  info.field("early_refreshes", counters.early_refreshes.load());
  info.field("stale_hits", counters.stale_hits.load());
  info.field("negative_hits", counters.negative_hits.load() + call.engine.keyspace.stats(call.held).negative_hits);
  const store::EntryUse negatives = call.engine.keyspace.negative_use(call.held);
  info.field("negative_entries", negatives.keys);
  info.field("negative_bytes", negatives.bytes);
  info.field("purges_tags", counters.purges_tags.load());
  info.field("purges_prefix", counters.purges_prefix.load());
  info.field("purges_pending", cache.purges_pending());
  info.field("serve_stale", call.engine.keyspace.serves_stale() ? 1 : 0);
}

void modules(Call&, InfoText&) {}

// Times are estimates from the calls that were timed, one in a few.
void commandstats(Call& call, InfoText& info) {
  for (const Row* row : commands()) {
    const Stats::CommandTotal total = call.engine.stats.command(command_index(*row));
    if (total.calls == 0 && total.rejected == 0 && total.failed == 0) continue;
    std::array<char, 160> text{};
    std::snprintf(text.data(), text.size(), "calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,failed_calls=%llu",
                  static_cast<unsigned long long>(total.calls), static_cast<unsigned long long>(total.usec), total.usec_per_call,
                  static_cast<unsigned long long>(total.rejected), static_cast<unsigned long long>(total.failed));
    info.field(std::string("cmdstat_").append(row->name), text.data());
  }
}

// The most that was done in one hold, beyond what its request names: see store/lock_account.hpp.
void locks(Call& call, InfoText& info) {
  for (const auto& [name, cause] : call.engine.keyspace.lock_watch().account.causes()) {
    std::string text;
    const auto add = [&](std::string_view what, std::uint64_t count) {
      if (!text.empty()) text += ',';
      text.append(what).append("=").append(std::to_string(count));
    };
    add("holds", cause.holds);
    add("over_budget", cause.over);
    add("entries", cause.most.entries);
    add("bytes", cause.most.bytes);
    add("nodes", cause.most.nodes);
    add("allocations", cause.most.allocations);
    add("system_calls", cause.most.system_calls);
    info.field(std::string("lock_work_").append(name), text);
  }
}

void errorstats(Call& call, InfoText& info) {
  for (const auto& [code, count] : call.engine.stats.errors()) {
    info.field("errorstat_" + code, "count=" + std::to_string(count));
  }
}

// Latencies are not kept by percentile; Redis shows the empty section as well when it does not track them.
void latencystats(Call&, InfoText&) {}

void cluster(Call&, InfoText& info) { info.field("cluster_enabled", 0); }

void keyspace(Call& call, InfoText& info) {
  for (unsigned db = 0; db < store::database_count; ++db) {
    const store::DatabaseStats stats = call.engine.keyspace.database_stats(db, call.now, call.held);
    if (stats.keys == 0) continue;
    info.field("db" + std::to_string(db), "keys=" + std::to_string(stats.keys) + ",expires=" + std::to_string(stats.expires) +
                                              ",avg_ttl=" + std::to_string(stats.average_ttl));
  }
}

constexpr InfoSection kSections[] = {
    {"server", "Server", true, server},
    {"clients", "Clients", true, clients},
    {"memory", "Memory", true, memory},
    {"persistence", "Persistence", true, persistence},
    {"stats", "Stats", true, stats},
    {"replication", "Replication", true, replication},
    {"cpu", "CPU", true, cpu},
    {"cache", "Cache", true, cache},
    {"modules", "Modules", true, modules},
    {"commandstats", "Commandstats", false, commandstats},
    {"locks", "Locks", false, locks},
    {"errorstats", "Errorstats", true, errorstats},
    {"latencystats", "Latencystats", false, latencystats},
    {"cluster", "Cluster", true, cluster},
    {"keyspace", "Keyspace", true, keyspace},
};

}  // namespace

std::span<const InfoSection> info_sections() { return kSections; }

}  // namespace pinfold::command
