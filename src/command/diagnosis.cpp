#include "pinfold/command/diagnosis.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "pinfold/config/settings.hpp"

namespace pinfold::command {

std::string_view severity_name(Severity severity) {
  constexpr std::string_view names[] = {"critical", "warning", "info"};
  return names[static_cast<std::size_t>(severity)];
}

std::vector<RecentCalls> recent_calls(const Figures& now, const Figures& before) {
  std::vector<RecentCalls> recent;
  histogram::Counts all;
  auto former = before.commands.begin();  // both are in the order of the command table
  for (const CommandFigures& command : now.commands) {
    if (!command.durations) continue;
    former = std::ranges::find(former, before.commands.end(), command.name, &CommandFigures::name);
    RecentCalls one{command.name, *command.durations};
    if (former == before.commands.end()) {
      former = before.commands.begin();
    } else if (former->durations && former->durations->total <= one.durations.total) {
      one.durations -= *former->durations;
    }
    if (one.durations.total == 0) continue;
    all += one.durations;
    recent.push_back(one);
  }
  std::ranges::stable_sort(recent, std::greater(), [](const RecentCalls& one) { return one.durations.total; });
  if (!recent.empty()) recent.push_back({"all", all});
  return recent;
}

Sections sections_of_diagnosis() {
  Sections wanted;
  for (const Section section :
       {Section::memory, Section::stats, Section::cache, Section::tls, Section::commands, Section::errors, Section::policies,
        Section::threads, Section::keys, Section::working_set, Section::users, Section::scripts}) {
    wanted.set(static_cast<std::size_t>(section));
  }
  return wanted;
}

std::shared_ptr<const Figures> collect_for_diagnosis(Engine& engine) {
  const store::Keyspace::Locks none(engine.keyspace);
  return std::make_shared<const Figures>(collect_figures(engine, none, unix_ms(), sections_of_diagnosis()));
}

Past past_of(const Engine& engine) {
  constexpr std::int64_t least_us = 15'000'000;
  const std::int64_t now_us = monotonic_us();
  FigureHistory::Point point = engine.history.oldest();
  if (point.figures && now_us - point.at_us >= least_us) return {std::move(point.figures), static_cast<double>(now_us - point.at_us) / 1e6};
  auto start = std::make_shared<Figures>();
  start->cache.max_leases = static_cast<std::uint64_t>(engine.settings.integer(config::Id::max_leases));  // no count
  return {std::move(start), static_cast<double>(now_us - engine.started_us) / 1e6};
}

std::vector<Finding> diagnose(const Engine& engine, const Figures& now, const Past& past) {
  using config::Id;
  const auto setting = [&engine](Id id) { return static_cast<std::uint64_t>(engine.settings.integer(id)); };
  return findings({
      .now = now,
      .before = *past.figures,
      .seconds = past.seconds,
      .clients = engine.clients.count(),
      .most_clients = setting(Id::maxclients),
      .most_waiters = setting(Id::max_lease_waiters),
      .monitors = engine.monitors.count(),
      .up_seconds = static_cast<std::uint64_t>((monotonic_us() - engine.started_us) / 1'000'000),
  });
}

}  // namespace pinfold::command
