// Where the figures come from. What they are called is in figures.cpp.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "pinfold/base/thread_clock.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/figures.hpp"
#include "pinfold/config/machine.hpp"

namespace pinfold::command {

std::uint64_t resident_memory() {
  work::system_call();
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/proc/self/statm", "r"), std::fclose);
  unsigned long long pages = 0;  // the second field; the first is the address space
  if (!file || std::fscanf(file.get(), "%*u %llu", &pages) != 1) return 0;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

namespace {

using config::Id;
using Locks = store::Keyspace::Locks;

std::string system_name() {
  utsname name{};
  if (::uname(&name) != 0) return "unknown";
  return std::string(name.sysname) + " " + name.release + " " + name.machine;
}

void collect_server(const Engine& engine, ServerFigures& server) {
  work::system_call();
  constexpr std::int64_t us_per_second = 1'000'000;
  constexpr std::uint64_t seconds_per_day = 24 * 60 * 60;
  std::error_code ignored;
  server.system = system_name();
  server.pointer_bits = sizeof(void*) * 8;
  server.process = static_cast<std::uint64_t>(::getpid());
  server.port = engine.settings.show(engine.settings.integer(Id::port) != 0 ? Id::port : Id::tls_port);
  server.time_us = static_cast<std::uint64_t>(unix_us());
  server.uptime_seconds = static_cast<std::uint64_t>((monotonic_us() - engine.started_us) / us_per_second);
  server.uptime_days = server.uptime_seconds / seconds_per_day;
  server.hz = engine.settings.show(Id::hz);
  server.access_clock = unix_seconds() & 0xFF'FFFF;  // the clock by which entries say when they were used
  server.threads = engine.stats.thread_count();
  server.executable = std::filesystem::read_symlink("/proc/self/exe", ignored).string();
  server.file = engine.settings.file();
}

void collect_clients(Engine& engine, ClientFigures& clients) {
  engine.clients.for_each([&clients](const SharedClient& client) {
    const std::uint64_t large = client.large_bytes.load(std::memory_order_relaxed);
    clients.largest_input = std::max(clients.largest_input, client.input_bytes.load(std::memory_order_relaxed) + large);
    clients.largest_output = std::max(clients.largest_output, client.output_bytes.load(std::memory_order_relaxed));
  });
  clients.connected = engine.clients.count();
  clients.most = engine.settings.show(Id::maxclients);
  clients.limit = static_cast<std::uint64_t>(engine.settings.integer(Id::maxclients));
  clients.waiting_for_leases = engine.cache.waiters();
  clients.monitors = engine.monitors.count();
  clients.tracking = engine.cache.tracking.figures().clients;
  clients.subscribers = engine.pubsub.clients();
  const auto paused = static_cast<std::uint64_t>(std::max<std::int64_t>(engine.clients.blocked_by_pause.load(), 0));
  clients.blocked_pops = engine.blocked_pops.clients();
  clients.blocking_keys = engine.blocked_pops.keys();
  clients.blocked = clients.waiting_for_leases + clients.blocked_pops + paused;
}

void collect_stats(const Engine& engine, const store::KeyspaceStats& keys, StatsFigures& stats) {
  const Stats& totals = engine.stats;
  stats.connections = totals.total(&ThreadStats::connections_received);
  stats.commands = totals.calls();
  stats.commands_per_second = engine.rates.per_second(Rates::kCommands);
  stats.input_bytes = totals.total(&ThreadStats::net_input);
  stats.output_bytes = totals.total(&ThreadStats::net_output);
  stats.input_rate = static_cast<double>(engine.rates.per_second(Rates::kNetInput)) / 1024;
  stats.output_rate = static_cast<double>(engine.rates.per_second(Rates::kNetOutput)) / 1024;
  stats.rejected_connections = engine.clients.rejected();
  stats.expired_keys = keys.expired;
  stats.evicted_keys = keys.evicted;
  stats.evicted_clients = engine.clients.evicted();
  stats.clients_closed_for_users = engine.clients.closed_for_user();
  stats.hits = keys.hits;
  stats.misses = keys.misses;
  const cache::TrackingTable::Figures tracking = engine.cache.tracking.figures();
  stats.tracking_keys = tracking.keys;
  stats.tracking_items = tracking.items;
  stats.tracking_prefixes = engine.tracking.prefixes();
  stats.tracking_evicted = tracking.evicted;
  stats.tracking_aged = tracking.aged;
  stats.tracking_refused = tracking.refused;
  stats.tracking_messages = engine.tracking.messages.load(std::memory_order_relaxed);
  stats.error_replies = totals.error_total();
  stats.query_limit_disconnections = totals.total(&ThreadStats::query_limit_disconnections);
  stats.output_limit_disconnections = totals.total(&ThreadStats::output_limit_disconnections);
  stats.abandoned_disconnections = totals.total(&ThreadStats::abandoned_disconnections);
  stats.idle_disconnections = totals.total(&ThreadStats::idle_disconnections);
  stats.protocol_errors = totals.total(&ThreadStats::protocol_errors);
  stats.auth_failures = totals.total(&ThreadStats::auth_failures);
  stats.auth_limited = totals.total(&ThreadStats::auth_limited);
  stats.protected_connections = totals.total(&ThreadStats::protected_connections);
  stats.denied_auth = totals.total(&ThreadStats::denied_auth);
  stats.denied_command = totals.total(&ThreadStats::denied_command);
  stats.denied_key = totals.total(&ThreadStats::denied_key);
  stats.denied_channel = totals.total(&ThreadStats::denied_channel);
  stats.denied_database = totals.total(&ThreadStats::denied_database);
  stats.rate_limited = totals.total(&ThreadStats::rate_limited);
  stats.channels = engine.pubsub.topics(TopicKind::channel);
  stats.channel_patterns = engine.pubsub.topics(TopicKind::pattern);
  stats.shard_channels = engine.pubsub.topics(TopicKind::shard_channel);
  stats.messages_published = engine.pubsub.published();
  stats.messages_delivered = totals.total(&ThreadStats::messages_delivered);
  stats.messages_per_second = engine.rates.per_second(Rates::kMessages);
  stats.keyspace_events = engine.keyspace_events.told();
  stats.keyspace_events_dropped = engine.keyspace_events.dropped();
  stats.slow_commands = totals.total(&ThreadStats::slow_commands);
  stats.large_requests = totals.total(&ThreadStats::large_requests);
  stats.large_replies = totals.total(&ThreadStats::large_replies);
  stats.spans_exported = engine.tracing.exported();
  stats.spans_dropped = engine.tracing.dropped();
  stats.spans_failed = engine.tracing.failed();
  stats.audit_written = engine.audit.lines_written();
  stats.audit_lost = engine.audit.lines_lost();
  stats.audit_left_out = engine.audit.lines_left_out();
  stats.audit_failing = engine.audit.failing() ? 1 : 0;
  stats.log_written = engine.log_counts.written.load(std::memory_order_relaxed);
  stats.log_lost = engine.log_counts.lost.load(std::memory_order_relaxed);
  stats.log_failing = engine.log_counts.failing() ? 1 : 0;
  stats.reads = totals.total(&ThreadStats::reads);
  stats.writes = totals.total(&ThreadStats::writes);
  stats.cycles = totals.total(&ThreadStats::cycles);
  const store::LockTiming& locks = engine.keyspace.lock_watch().timing;
  constexpr std::int64_t ns_per_us = 1000;
  stats.lock_longest_us = static_cast<std::uint64_t>(locks.longest_ns.load() / ns_per_us);
  stats.lock_holds = locks.holds.load();
  stats.lock_long_holds = locks.long_holds.load();
  stats.lock_longest_cpu_us = static_cast<std::uint64_t>(locks.longest_cpu_ns.load() / ns_per_us);
  const auto us_of = [](std::uint64_t ticks) { return ThreadClock::ns_of(ticks) / 1000; };
  stats.admin_requests = totals.total(&ThreadStats::admin_requests);
  stats.admin_without_token = totals.total(&ThreadStats::admin_without_token);
  stats.admin_protected = totals.total(&ThreadStats::admin_protected);
  stats.admin_wrong_host = totals.total(&ThreadStats::admin_wrong_host);
  stats.admin_rejected = totals.total(&ThreadStats::admin_rejected);
  stats.lock_waits = keys.lock_waits.waits;
  stats.lock_waits_slept = keys.lock_waits.slept;
  stats.lock_longest_wait_us = us_of(keys.lock_waits.most_ticks);
  stats.lock_wait_us = us_of(keys.lock_waits.ticks);
  stats.room_waits = engine.keyspace.room_waits().waits.load();
  stats.room_wait_us = us_of(engine.keyspace.room_waits().ticks.load());
  const auto evicted = [&keys](store::EvictionCause cause) { return keys.departures.by_cause[static_cast<std::size_t>(cause)]; };
  stats.evicted_for_quota = evicted(store::EvictionCause::quota);
  stats.evicted_first_out = evicted(store::EvictionCause::first_out);
  stats.evicted_negative = evicted(store::EvictionCause::negative);
  stats.evicted_for_memory = keys.evicted - stats.evicted_for_quota - stats.evicted_first_out - stats.evicted_negative;
  const double mean = static_cast<double>(keys.occupied_bytes) / engine.keyspace.shard_count();
  if (mean > 0) stats.shard_imbalance = static_cast<double>(keys.fullest_bytes) / mean;
}

DurationFigures durations_in(const SharedHistogram& histogram) {
  DurationFigures figures;
  figures.seconds = histogram.sum().seconds();
  histogram.add_to(figures.counts);
  return figures;
}

void collect_distributions(const Engine& engine, const store::KeyspaceStats& keys, DistributionFigures& figures) {
  figures.loads = durations_in(engine.cache.load_durations);
  figures.waits = durations_in(engine.cache.wait_durations);
  figures.stale_ages = durations_in(engine.cache.stale_ages);
  figures.stale_ages.seconds *= 1000;
  figures.eviction_ages = keys.departures.ages;
  figures.eviction_idle_times = keys.departures.idle_times;
  figures.written_ttls = keys.written_ttls;
}

std::vector<PolicyFigures> collect_policies(Engine& engine, const Locks& held, const store::KeyspaceStats& keys) {
  // A thread that has a shard locked must not wait for the mutex. It need not: the set stays while it has.
  std::unique_lock lock(engine.cache.policies_mutex(), std::defer_lock);
  if (held.empty()) lock.lock();
  std::vector<PolicyFigures> all;
  const cache::PolicySet* const set = engine.cache.policies();
  if (set == nullptr) return all;
  for (const cache::Policy& policy : set->all()) {
    const cache::PolicyReadTotals reads = engine.cache.reads_of(policy.slot);
    const cache::PolicyCounters& counters = engine.cache.counters_of(policy.slot);
    all.push_back({.name = policy.name,
                   .bytes = engine.keyspace.memory().used_by_policy(policy.slot),
                   .hits = reads.hits,
                   .stale_hits = reads.stale_hits,
                   .negative_hits = reads.negative_hits,
                   .misses = reads.misses,
                   .granted = counters.leases.load(),
                   .leases = static_cast<std::uint64_t>(std::max<std::int64_t>(counters.leases_alive.load(), 0)),
                   .loads = counters.loads.load(),
                   .load_ms = counters.load_ms.load(),
                   .evicted = keys.departures.by_policy[policy.slot],
                   .match = excerpt(policy.match)});
  }
  return all;
}

std::vector<ThreadFigures> collect_threads(const Engine& engine) {
  std::vector<ThreadFigures> all;
  for (unsigned i = 0; i < engine.stats.thread_count(); ++i) {
    const histogram::Counts rounds = engine.stats.rounds(i);
    const auto us = [&rounds](double percent) { return rounds.percentile(percent).units / Span64::per_us; };
    all.push_back({i, static_cast<double>(engine.stats.busy_ns(i)) / 1e9, us(50), us(99), us(100)});
  }
  return all;
}

double seconds(const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; }

void collect_cpu(CpuFigures& cpu) {
  work::system_call();
  rusage self{};
  rusage children{};
  ::getrusage(RUSAGE_SELF, &self);
  ::getrusage(RUSAGE_CHILDREN, &children);
  cpu = {seconds(self.ru_stime), seconds(self.ru_utime), seconds(children.ru_stime), seconds(children.ru_utime)};
}

void collect_cache(Engine& engine, const store::KeyspaceStats& keys, const Locks& held, CacheFigures& figures) {
  cache::Cache& cache = engine.cache;
  const cache::CacheCounters& counters = cache.counters;
  figures.leases = cache.leases_alive();
  figures.waiters = cache.waiters();
  figures.granted = counters.granted.load();
  figures.filled = counters.filled.load();
  figures.voided = counters.voided.load();
  figures.expired = counters.expired.load();
  figures.released = counters.released.load();
  using cache::FillRefusal;
  using cache::LeaseRefusal;
  using cache::WaitRefusal;
  figures.refused_max_leases = counters.no_lease[LeaseRefusal::max_leases];
  figures.refused_by_policy = counters.no_lease[LeaseRefusal::policy];
  figures.refused_for_memory = counters.no_lease[LeaseRefusal::memory];
  figures.waits_refused_max_waiters = counters.no_wait[WaitRefusal::max_waiters];
  figures.waits_refused_no_lease = counters.no_wait[WaitRefusal::no_lease];
  figures.waits_refused_for_memory = counters.no_wait[WaitRefusal::memory];
  figures.fills_refused_token = counters.no_fill[FillRefusal::token];
  figures.fills_refused_tag = counters.no_fill[FillRefusal::tag];
  figures.fills_refused_version = counters.no_fill[FillRefusal::version];
  figures.fills_refused_dependency = counters.no_fill[FillRefusal::dependency];
  figures.refused = figures.refused_max_leases + figures.refused_by_policy + figures.refused_for_memory;
  figures.waits_refused = figures.waits_refused_max_waiters + figures.waits_refused_no_lease + figures.waits_refused_for_memory;
  figures.fills_refused =
      figures.fills_refused_token + figures.fills_refused_tag + figures.fills_refused_version + figures.fills_refused_dependency;
  figures.early_refreshes = counters.early_refreshes.load();
  figures.stale_hits = counters.stale_hits.load();
  figures.negative_hits = counters.negative_hits.load() + keys.negative_hits;
  const store::EntryUse negatives = engine.keyspace.negative_use(held);
  figures.negative_entries = negatives.keys;
  figures.negative_bytes = negatives.bytes;
  figures.purges_of_tags = counters.purges_tags.load();
  figures.purges_of_prefixes = counters.purges_prefix.load();
  figures.purges_cascading = counters.cascades.load();
  figures.entries_of_cascades = counters.cascade_entries.load();
  figures.purges_pending = cache.purges_pending();
  figures.serves_stale = engine.keyspace.serves_stale() ? 1 : 0;
  figures.admit_percent = static_cast<std::uint64_t>(engine.settings.integer(Id::admit));
  figures.bypass = engine.settings.flag(Id::bypass) ? 1 : 0;
  figures.max_leases = cache.max_leases.load();
  figures.policies_admitting_part = cache.policies_switched.admit.load();
  figures.policies_bypassed = cache.policies_switched.bypass.load();
  figures.policies_serving_stale = cache.policies_switched.serve_stale.load();
  figures.policies_without_leases = cache.policies_switched.no_leases.load();
  figures.writes_not_admitted = cache.switch_counts.all.writes_not_admitted.load();
  figures.reads_bypassed = cache.switch_counts.all.reads_bypassed.load();
  figures.writes_bypassed = cache.switch_counts.all.writes_bypassed.load();
}

void collect_scripts(const Engine& engine, ScriptFigures& figures) {
  const Stats& totals = engine.stats;
  figures.executed = totals.total(&ThreadStats::scripts);
  figures.locked_all = totals.total(&ThreadStats::scripts_locked_all);
  figures.locked_declared = totals.total(&ThreadStats::scripts_locked_declared);
  figures.locked_more = totals.total(&ThreadStats::scripts_locked_more);
  figures.run_again = totals.total(&ThreadStats::scripts_run_again);
  figures.refused_undeclared = totals.total(&ThreadStats::scripts_refused_undeclared);
  figures.killed = totals.total(&ThreadStats::scripts_killed);
  figures.out_of_time = totals.total(&ThreadStats::scripts_out_of_time);
  figures.evicted = engine.scripting.cache.evicted();
  figures.running = engine.scripting.running_count();
  figures.longest_us = ThreadClock::ns_of(engine.scripting.longest_hold.load(std::memory_order_relaxed)) / 1000;
}

void collect_tls(const Engine& engine, TlsFigures& tls) {
  const Stats& totals = engine.stats;
  tls.port = engine.settings.show(Id::tls_port);
  tls.clients = engine.tls.clients.load();
  tls.handshakes = totals.total(&ThreadStats::tls_handshakes);
  tls.resumed = totals.total(&ThreadStats::tls_resumed);
  tls.failed = totals.total(&ThreadStats::tls_failed);
  tls.timed_out = totals.total(&ThreadStats::tls_timed_out);
  tls.under_way = engine.tls.under_way.load();
  tls.waiting = engine.tls.waiting.load();
  tls.users_refused = totals.total(&ThreadStats::tls_users_refused);
  const TlsCertificateState state = engine.tls.certificates();
  const auto left = [](std::int64_t expires) { return expires == 0 ? 0 : expires - static_cast<std::int64_t>(unix_seconds()); };
  tls.server_serial = state.server.serial;
  tls.server_expires = state.server.expires_at;
  tls.server_left = left(state.server.expires_at);
  tls.ca_serial = state.authority.serial;
  tls.ca_expires = state.authority.expires_at;
  tls.ca_left = left(state.authority.expires_at);
  tls.loads = state.loads;
  tls.failed_loads = state.failed_loads;
  tls.loaded_at = state.loaded_at;
  tls.last_load = state.last_error.empty() ? "ok" : state.last_error;
}

std::vector<CommandFigures> collect_commands(const Engine& engine) {
  std::vector<CommandFigures> all;
  for (const Row* row : commands()) {
    const Stats::CommandTotal total = engine.stats.command(command_index(*row));
    if (total.calls == 0 && total.rejected == 0 && total.failed == 0) continue;
    auto durations = std::make_shared<const histogram::Counts>(engine.stats.durations(command_index(*row)));
    all.push_back({row->name, total.calls, total.usec, total.usec_per_call, total.rejected, total.failed, std::move(durations),
                   total.measured_seconds});
  }
  return all;
}

std::vector<double> collect_percentiles(const config::Settings& settings) {
  std::vector<double> all;
  if (!settings.flag(Id::latency_tracking)) return all;
  std::istringstream text(settings.text(Id::latency_tracking_info_percentiles));
  for (double percent = 0; text >> percent;) all.push_back(percent);
  return all;
}

std::vector<HoldFigures> collect_holds(const Engine& engine) {
  std::vector<HoldFigures> all;
  for (const auto& [name, cause] : engine.keyspace.lock_watch().account.causes()) {
    const work::Counts& most = cause.most;
    all.push_back({name, cause.holds, cause.over, cause.waits, ThreadClock::ns_of(cause.wait_ticks) / 1000, most.entries, most.bytes,
                   most.nodes, most.allocations, most.system_calls});
  }
  return all;
}

std::vector<ErrorFigures> collect_errors(const Engine& engine) {
  std::vector<ErrorFigures> all;
  for (const auto& [code, count] : engine.stats.errors()) all.push_back({code, count});
  return all;
}

std::vector<DatabaseFigures> collect_databases(const Engine& engine, const Locks& held, UnixMs now) {
  std::vector<DatabaseFigures> all;
  for (unsigned db = 0; db < store::database_count; ++db) {
    const store::DatabaseStats stats = engine.keyspace.database_stats(db, now, held);
    if (stats.keys != 0) all.push_back({db, stats.keys, stats.expires, stats.average_ttl});
  }
  return all;
}

void collect_keys(Engine& engine, const Locks& held, KeyFigures& keys) {
  const store::SizeClasses sizes = engine.keyspace.size_classes(held);
  std::uint64_t* const classes[] = {&keys.of_64b, &keys.of_1kb, &keys.of_16kb, &keys.of_256kb, &keys.of_1mb, &keys.of_16mb, &keys.larger};
  static_assert(std::size(classes) == std::tuple_size_v<decltype(sizes.keys)>);
  std::uint64_t stored = 0;
  for (std::size_t i = 0; i < std::size(classes); ++i) {
    *classes[i] = sizes.keys[i];
    stored += sizes.keys[i];
  }
  keys.sampled = engine.accesses.sampled();
  const Accesses::Report report = engine.accesses.report(monotonic_ms());
  keys.accesses_per_second = static_cast<double>(report.all) / report.seconds;
  if (!report.keys.empty()) keys.hottest = 100 * report.share(report.keys[0]);
  const auto top = [&](double part) { return 100 * report.concentration.share_of_top(part * static_cast<double>(stored)); };
  keys.top_1 = top(0.01);
  keys.top_5 = top(0.05);
  keys.top_10 = top(0.1);
}

std::vector<UserFigures> collect_users(const Engine& engine) {
  constexpr std::size_t most = 256;
  constexpr auto relaxed = std::memory_order_relaxed;
  const std::vector<security::Users::Pointer> users = engine.users.all();
  work::entries(users.size());
  // Read once, because it changes while it is sorted. The users come by name: those that take the same stay in this order.
  std::vector<std::pair<std::int64_t, std::size_t>> by_memory;
  by_memory.reserve(users.size());
  for (std::size_t i = 0; i < users.size(); ++i) {
    by_memory.emplace_back(std::max<std::int64_t>(users[i]->usage()->bytes.load(relaxed), 0), i);
  }
  const std::size_t shown = std::min(most, by_memory.size());
  std::partial_sort(by_memory.begin(), by_memory.begin() + static_cast<std::ptrdiff_t>(shown), by_memory.end(),
                    [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
  std::vector<UserFigures> all;
  for (std::size_t i = 0; i < shown; ++i) {
    const auto& [memory, index] = by_memory[i];
    const security::Users::Pointer& user = users[index];
    const security::UserUsage& usage = *user->usage();
    const auto clients = static_cast<std::uint64_t>(std::max<std::int64_t>(usage.clients.load(relaxed), 0));
    const std::string name = excerpt(user->name());
    const auto hash = static_cast<std::uint32_t>(std::hash<std::string_view>()(user->name()));
    all.push_back({name, name != user->name(), hash, clients, static_cast<std::uint64_t>(memory), usage.requests.load(relaxed),
                   usage.refused.load(relaxed), usage.closed.load(relaxed), usage.hits.load(relaxed), usage.misses.load(relaxed),
                   usage.stale_hits.load(relaxed), usage.negative_hits.load(relaxed)});
  }
  return all;
}

void collect_working_set(const Engine& engine, WorkingSetFigures& figures) {
  using State = WorkingSetEstimate::State;
  constexpr double percent = 100;
  const WorkingSetEstimate estimate = engine.working_set.estimate();
  constexpr std::array<std::string_view, 5> states = {"off", "noeviction", "small", "warming", "known"};  // in the order of State
  figures.state = states[static_cast<unsigned>(estimate.state)];
  if (estimate.state == State::known) {
    double* const ratios[] = {&figures.quarter, &figures.half, &figures.present, &figures.twice, &figures.four_times};
    for (std::size_t i = 0; i < std::size(ratios); ++i) *ratios[i] = percent * estimate.hit_ratios[i];
    figures.uncertainty = estimate.uncertainty();
  }
  figures.reads = static_cast<std::uint64_t>(estimate.reads);
  figures.entries = estimate.entries;
  figures.keys_each = estimate.sampling_bytes == 0 ? 0 : std::uint64_t{1} << estimate.halvings;
  figures.dropped = estimate.dropped;
  figures.unread_keys = percent * estimate.unread.keys;
  figures.unread_bytes = percent * estimate.unread.bytes;
  figures.changes = static_cast<std::uint64_t>(estimate.changes.changes);
  figures.change_age_ms = static_cast<std::uint64_t>(estimate.changes.age_ms);
  figures.change_ttl_ms = static_cast<std::uint64_t>(estimate.changes.ttl_ms);
}

// These two are asked for once: they stay, and to ask is a system call.
std::uint64_t physical_memory() {
  static const auto pages = static_cast<std::uint64_t>(std::max(::sysconf(_SC_PHYS_PAGES), 0L));
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t memory_of_machine_or_container() {
  static const std::uint64_t bytes = config::available_memory();
  return bytes;
}

double percentage(std::uint64_t part, std::uint64_t whole) { return 100.0 * static_cast<double>(part) / static_cast<double>(whole); }

// Whether maxmemory-policy could evict anything.
bool may_evict(const Engine& engine, const Locks& held) {
  const eviction::Kind policy = engine.keyspace.policy();
  if (!eviction::is_volatile(policy)) return policy != eviction::Kind::noeviction;
  for (unsigned db = 0; db < store::database_count; ++db) {
    if (engine.keyspace.database_stats(db, unix_ms(), held).expires != 0) return true;
  }
  return false;
}

}  // namespace

MemoryFigures collect_memory_figures(const Engine& engine, const Locks& held) {
  using store::Use;
  const store::Memory& memory = engine.keyspace.memory();
  MemoryFigures figures;
  figures.segments = memory.used(Use::segments);
  figures.blobs = memory.used(Use::blobs);
  figures.index = memory.used(Use::index);
  figures.ghosts = memory.used(Use::ghosts);
  figures.coalescing = memory.used(Use::coalescing);
  figures.clients = memory.used(Use::clients);
  figures.messages = engine.pubsub.pending();
  figures.pinned = static_cast<std::uint64_t>(engine.abandoned());
  figures.sampling = memory.used(Use::sampling);
  figures.tracking = memory.used(Use::tracking);
  figures.scripts = memory.used(Use::scripts);
  figures.used = figures.segments + figures.blobs + figures.index + figures.ghosts + figures.coalescing + figures.clients +
                 figures.sampling + figures.tracking + figures.scripts;
  const std::shared_ptr<const LibrarySet> libraries = engine.scripting.libraries.get();
  figures.interpreters = engine.scripting.interpreter_bytes.load(std::memory_order_relaxed);
  figures.cached_scripts = engine.scripting.cache.bytes();
  figures.libraries = libraries->memory();
  figures.script_texts = figures.cached_scripts + figures.libraries;
  figures.script_count = engine.scripting.cache.size();
  figures.library_count = libraries->libraries().size();
  figures.function_count = libraries->function_count();
  figures.peak = std::max(memory.peak(), figures.used);
  figures.startup = engine.memory_at_start;
  figures.dataset = figures.segments + figures.blobs;
  figures.overhead = figures.used - figures.dataset;
  figures.resident = resident_memory();
  figures.unaccounted = memory.unaccounted();
  figures.data = memory.data();
  figures.system = physical_memory();
  figures.available = memory_of_machine_or_container();
  figures.limit = memory.limit();
  figures.data_limit = memory.for_data();
  const std::uint64_t share = engine.clients_share();
  figures.clients_share = share == UINT64_MAX ? 0 : share;
  figures.policy = engine.settings.show(Id::maxmemory_policy);
  figures.evicts = may_evict(engine, held) ? 1 : 0;
  if (figures.peak > 0) figures.peak_percentage = percentage(figures.used, figures.peak);
  const std::uint64_t added = figures.used > figures.startup ? figures.used - figures.startup : 1;
  figures.dataset_percentage = std::min(100.0, percentage(figures.dataset, added));
  if (figures.used > 0) figures.fragmentation = static_cast<double>(figures.resident) / static_cast<double>(figures.used);
  figures.fragmentation_bytes = static_cast<std::int64_t>(figures.resident) - static_cast<std::int64_t>(figures.used);
  return figures;
}

Figures collect_figures(Engine& engine, const Locks& held, UnixMs now, const Sections& wanted) {
  const auto wants = [&wanted](Section section) { return wanted.test(static_cast<std::size_t>(section)); };
  Figures figures;
  figures.server.run_id = engine.run_id;
  figures.server.started_at = static_cast<std::uint64_t>(engine.started_at / 1000);
  const std::int64_t changed_at = engine.settings.changed_at();
  figures.server.config_changed_at = static_cast<std::uint64_t>((changed_at != 0 ? changed_at : engine.started_at) / 1000);
  if (wants(Section::server)) collect_server(engine, figures.server);
  if (wants(Section::clients)) collect_clients(engine, figures.clients);
  if (wants(Section::memory)) figures.memory = collect_memory_figures(engine, held);
  store::KeyspaceStats keys;
  if (wants(Section::stats) || wants(Section::cache) || wants(Section::policies)) keys = engine.keyspace.stats(held);
  if (wants(Section::stats)) {
    collect_stats(engine, keys, figures.stats);
    collect_distributions(engine, keys, figures.distributions);
  }
  if (wants(Section::cpu)) collect_cpu(figures.cpu);
  if (wants(Section::cache)) collect_cache(engine, keys, held, figures.cache);
  if (wants(Section::tls)) collect_tls(engine, figures.tls);
  if (wants(Section::scripts)) collect_scripts(engine, figures.scripts);
  if (wants(Section::commands) || wants(Section::latencies)) figures.commands = collect_commands(engine);
  if (wants(Section::locks)) figures.holds = collect_holds(engine);
  if (wants(Section::latencies)) figures.percentiles = collect_percentiles(engine.settings);
  if (wants(Section::errors)) figures.errors = collect_errors(engine);
  if (wants(Section::users)) figures.users = collect_users(engine);
  if (wants(Section::policies)) figures.policies = collect_policies(engine, held, keys);
  if (wants(Section::threads)) figures.threads = collect_threads(engine);
  if (wants(Section::working_set)) collect_working_set(engine, figures.working_set);
  if (wants(Section::keys)) collect_keys(engine, held, figures.keys);
  if (wants(Section::keyspace)) figures.databases = collect_databases(engine, held, now);
  return figures;
}

}  // namespace pinfold::command
