// How INFO shows each section of the figures.

#include <array>
#include <cstdio>
#include <string>

#include "pinfold/command/info.hpp"

namespace pinfold::command {

std::string InfoText::shown(Unit unit, double number) {
  const int digits = unit == Unit::seconds ? 6 : 2;
  std::array<char, 64> text{};
  const int size = std::snprintf(text.data(), text.size(), "%.*f", digits, number);
  return std::string(text.data(), static_cast<std::size_t>(size)).append(unit == Unit::percent ? "%" : "");
}

namespace {

void server(const Figures& figures, InfoText& info) { info.lines(figures.server, server_figures()); }
void clients(const Figures& figures, InfoText& info) { info.lines(figures.clients, client_figures()); }
void memory(const Figures& figures, InfoText& info) { info.lines(figures.memory, memory_figures()); }
void persistence(const Figures& figures, InfoText& info) { info.lines(figures.server, persistence_figures()); }
void stats(const Figures& figures, InfoText& info) { info.lines(figures.stats, stats_figures()); }
void replication(const Figures& figures, InfoText& info) { info.lines(figures.server, replication_figures()); }
void cpu(const Figures& figures, InfoText& info) { info.lines(figures.cpu, cpu_figures()); }
void cache(const Figures& figures, InfoText& info) { info.lines(figures.cache, cache_figures()); }
void tls(const Figures& figures, InfoText& info) { info.lines(figures.tls, tls_figures()); }
void cluster(const Figures& figures, InfoText& info) { info.lines(figures.server, cluster_figures()); }

// There are no modules. Redis shows such an empty section as well.
void nothing(const Figures&, InfoText&) {}

void commandstats(const Figures& figures, InfoText& info) {
  for (const CommandFigures& one : figures.commands) info.row(std::string("cmdstat_").append(one.name), one, command_figures());
}

// Durations are shown in microseconds, as Redis does.
void latencystats(const Figures& figures, InfoText& info) {
  for (const CommandFigures& one : figures.commands) {
    if (one.durations == nullptr || one.durations->total == 0) continue;
    std::string values;
    for (const double percent : figures.percentiles) {
      char text[64];
      const Span64 span = one.durations->percentile(percent);
      std::snprintf(text, sizeof text, "%sp%.15g=%.3f", values.empty() ? "" : ",", percent,
                    static_cast<double>(span.units) / Span64::per_us);
      values += text;
    }
    info.line(std::string("latency_percentiles_usec_").append(one.name), values);
  }
}

void policies(const Figures& figures, InfoText& info) {
  for (std::size_t i = 0; i < figures.policies.size(); ++i) info.row("policy" + std::to_string(i), figures.policies[i], policy_figures());
}

void threads(const Figures& figures, InfoText& info) {
  for (const ThreadFigures& one : figures.threads) info.row("thread" + std::to_string(one.number), one, thread_figures());
}

void locks(const Figures& figures, InfoText& info) {
  for (const HoldFigures& one : figures.holds) info.row(std::string("lock_work_").append(one.cause), one, hold_figures());
}

void errorstats(const Figures& figures, InfoText& info) {
  for (const ErrorFigures& one : figures.errors) info.row("errorstat_" + one.code, one, error_figures());
}

void keyspace(const Figures& figures, InfoText& info) {
  for (const DatabaseFigures& one : figures.databases) info.row("db" + std::to_string(one.number), one, database_figures());
}

void users(const Figures& figures, InfoText& info) {
  for (std::size_t i = 0; i < figures.users.size(); ++i) info.row("user" + std::to_string(i), figures.users[i], user_figures());
}

void working_set(const Figures& figures, InfoText& info) { info.lines(figures.working_set, working_set_figures()); }
void keys(const Figures& figures, InfoText& info) { info.lines(figures.keys, key_figures()); }
void scripts(const Figures& figures, InfoText& info) { info.lines(figures.scripts, script_figures()); }

constexpr InfoSection kSections[] = {
    {Section::server, "server", "Server", true, server},
    {Section::clients, "clients", "Clients", true, clients},
    {Section::memory, "memory", "Memory", true, memory},
    {Section::persistence, "persistence", "Persistence", true, persistence},
    {Section::stats, "stats", "Stats", true, stats},
    {Section::replication, "replication", "Replication", true, replication},
    {Section::cpu, "cpu", "CPU", true, cpu},
    {Section::cache, "cache", "Cache", true, cache},
    {Section::modules, "modules", "Modules", true, nothing},
    {Section::tls, "tls", "TLS", true, tls},
    {Section::commands, "commandstats", "Commandstats", false, commandstats},
    {Section::locks, "locks", "Locks", false, locks},
    {Section::errors, "errorstats", "Errorstats", true, errorstats},
    {Section::latencies, "latencystats", "Latencystats", false, latencystats},
    {Section::cluster, "cluster", "Cluster", true, cluster},
    {Section::keyspace, "keyspace", "Keyspace", true, keyspace},
    {Section::users, "users", "Users", false, users},
    {Section::policies, "policies", "Policies", false, policies},
    {Section::threads, "threads", "Threads", false, threads},
    {Section::working_set, "workingset", "Workingset", false, working_set},
    {Section::keys, "keys", "Keys", false, keys},
    {Section::scripts, "scripts", "Scripts", false, scripts},
};

}  // namespace

std::span<const InfoSection> info_sections() { return kSections; }

}  // namespace pinfold::command
