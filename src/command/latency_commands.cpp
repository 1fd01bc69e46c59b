// LATENCY: the events that took longer than latency-monitor-threshold (latency_monitor.hpp), as lists, as a picture and in words.

#include <algorithm>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pinfold/base/histogram.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/help.hpp"

namespace pinfold::command {
namespace {

using Event = LatencyMonitor::Event;
using Sample = LatencyMonitor::Sample;
using Series = LatencyMonitor::Series;

constexpr auto by_ms = [](const Sample& left, const Sample& right) { return left.ms < right.ms; };

Event event_at(std::size_t index) { return static_cast<Event>(index); }

// Calls `visit` for each event that has samples.
template <class Visit>
void for_each_series(const Engine& engine, Visit&& visit) {
  for (std::size_t i = 0; i < LatencyMonitor::events; ++i) {
    const Series series = engine.latency.series(event_at(i));
    if (!series.samples.empty()) visit(event_at(i), series);
  }
}

Outcome latest(Call& call) {
  std::vector<std::pair<Event, Series>> all;
  for_each_series(call.engine, [&](Event event, const Series& series) { all.emplace_back(event, series); });
  call.reply.array(all.size());
  for (const auto& [event, series] : all) {
    call.reply.array(4);
    call.reply.bulk(event_name(event));
    call.reply.integer(series.samples.back().unix_s);
    call.reply.integer(static_cast<std::int64_t>(series.samples.back().ms));
    call.reply.integer(static_cast<std::int64_t>(series.most_ms));
  }
  return Outcome::done;
}

Outcome history(Call& call) {
  const std::optional<Event> event = find_event(call.args[2]);
  if (!event) return call.reply.array(0);
  const Series series = call.engine.latency.series(*event);
  call.reply.array(series.samples.size());
  for (const Sample& sample : series.samples) {
    call.reply.array(2);
    call.reply.integer(sample.unix_s);
    call.reply.integer(static_cast<std::int64_t>(sample.ms));
  }
  return Outcome::done;
}

constexpr std::size_t most_names = 1024;

// Whether a request has more names than it may; then the error has been replied.
bool has_too_many_names(Call& call, std::string_view what) {
  if (call.args.size() - 2 <= most_names) return false;
  call.reply.error("ERR " + shown_command(call.row.name) + " takes " + std::to_string(most_names) + " " + std::string(what) + " at most");
  return true;
}

// Replies how many of the events had samples.
Outcome reset(Call& call) {
  if (has_too_many_names(call, "events")) return Outcome::done;
  std::int64_t count = 0;
  if (call.args.size() == 2) {
    for (std::size_t i = 0; i < LatencyMonitor::events; ++i) count += call.engine.latency.reset(event_at(i)) ? 1 : 0;
  }
  for (const std::string_view name : call.args.subspan(2)) {
    const std::optional<Event> event = find_event(name);
    if (event && call.engine.latency.reset(*event)) ++count;
  }
  return call.reply.integer(count);
}

// --- a picture ---

// How long ago something was, in its largest unit: "12s", "3m".
std::string age(std::int64_t seconds) {
  struct Unit {
    std::int64_t seconds;
    char name;
  };
  constexpr Unit units[] = {{86'400, 'd'}, {3'600, 'h'}, {60, 'm'}, {1, 's'}};
  seconds = std::max<std::int64_t>(seconds, 0);
  const auto* const unit = std::ranges::find_if(units, [&](const Unit& one) { return seconds >= one.seconds || one.seconds == 1; });
  return std::to_string(seconds / unit->seconds) + unit->name;
}

// A column for each sample, of four characters with three heights each, and below it the age of the sample from top to bottom.
std::string draw(std::string_view name, const Series& series, std::int64_t now_s) {
  constexpr std::size_t most_columns = 80;
  constexpr std::size_t rows = 4;
  constexpr std::string_view heights = "_o#";
  const std::span<const Sample> all = series.samples;
  const std::span<const Sample> shown = all.last(std::min(all.size(), most_columns));
  const std::uint64_t low = std::ranges::min_element(shown, by_ms)->ms;
  const std::uint64_t high = std::ranges::max_element(shown, by_ms)->ms;
  std::string text(name);
  text.append(" - high ").append(std::to_string(high)).append(" ms, low ").append(std::to_string(low));
  text.append(" ms (all time high ").append(std::to_string(series.most_ms)).append(" ms)\n");
  text.append(most_columns, '-').append("\n");
  const std::uint64_t range = std::max<std::uint64_t>(high - low, 1);
  for (std::size_t row = rows; row-- > 0;) {
    for (const Sample& sample : shown) {
      const std::size_t height = (sample.ms - low) * (rows * heights.size() - 1) / range;
      const std::size_t top = height / heights.size();
      text += top > row ? '|' : top == row ? heights[height % heights.size()] : ' ';
    }
    text += '\n';
  }
  text += '\n';
  std::vector<std::string> ages;
  std::size_t longest = 0;
  for (const Sample& sample : shown) longest = std::max(longest, ages.emplace_back(age(now_s - sample.unix_s)).size());
  for (std::size_t i = 0; i < longest; ++i) {
    for (const std::string& one : ages) text += i < one.size() ? one[i] : ' ';
    text += '\n';
  }
  return text;
}

Outcome graph(Call& call) {
  const std::optional<Event> event = find_event(call.args[2]);
  const Series series = event ? call.engine.latency.series(*event) : Series();
  if (series.samples.empty()) return call.reply.error("ERR No samples available for event '" + excerpt(call.args[2]) + "'");
  return call.reply.verbatim(draw(event_name(*event), series, call.now / 1000));
}

// --- in words ---

// What an event means, and what to do about it. In the order of Event.
constexpr std::string_view kAdvice[] = {
    "Commands took long to execute. SLOWLOG GET shows which, and INFO commandstats what they cost in all. Ask for less at a time: MGET of "
    "fewer keys, SCAN with a smaller COUNT, smaller values.",
    "Commands that are fast as a rule took long: their values are large, or the machine did not give the server its cores. Compare "
    "used_cpu_sys and used_cpu_user of INFO cpu with the number of cores, and look for other processes and for limits of the container.",
    "Commands waited for others that work on keys of the same shard. INFO locks shows, while lock-accounting is on, which commands hold "
    "locks for long. A few hot keys, or transactions with many keys, are the usual cause.",
    "Commands waited while entries were evicted for them. Raise maxmemory, write smaller values, or give entries shorter times to live, so "
    "that less has to be evicted.",
    "An I/O thread was busy for so long in one round, and its other clients waited. The other events of the same second tell with what. If "
    "there are none, too many clients share a thread (threads), or the machine did not give it a core.",
    "The background worker went through expired or purged entries for so long. It works in short pieces, so its core was taken away "
    "meanwhile. Look at the load of the machine.",
    "The background worker evicted for so long. It works in short pieces, so its core was taken away meanwhile, or maxmemory was lowered "
    "by much. Look at the load of the machine.",
};
static_assert(std::size(kAdvice) == LatencyMonitor::events);

std::string diagnosis(Event event, const Series& series, std::int64_t now_s) {
  const std::vector<Sample>& samples = series.samples;
  const std::uint64_t sum =
      std::accumulate(samples.begin(), samples.end(), std::uint64_t{0}, [](std::uint64_t all, const Sample& one) { return all + one.ms; });
  std::string text = "\n";
  text.append(event_name(event)).append(": in ").append(std::to_string(samples.size()));
  text.append(samples.size() == LatencyMonitor::most_samples ? " seconds or more" : samples.size() == 1 ? " second" : " seconds");
  text.append(", up to ").append(std::to_string(std::ranges::max_element(samples, by_ms)->ms));
  text.append(" ms, on average ").append(std::to_string(sum / samples.size()));
  text.append(" ms, most of all time ").append(std::to_string(series.most_ms));
  text.append(" ms. The last was ").append(age(now_s - samples.back().unix_s)).append(" ago");
  if (samples.size() > 1) {
    const std::int64_t seconds = samples.back().unix_s - samples.front().unix_s;
    text.append(", one every ").append(age(seconds / static_cast<std::int64_t>(samples.size() - 1)));
  }
  return text.append(".\n  ").append(kAdvice[static_cast<std::size_t>(event)]).append("\n");
}

Outcome doctor(Call& call) {
  const std::int64_t threshold = call.engine.settings.integer(config::Id::latency_monitor_threshold);
  std::string text;
  for_each_series(call.engine, [&](Event event, const Series& series) { text += diagnosis(event, series, call.now / 1000); });
  std::string begin;
  if (threshold == 0) {
    begin =
        "Nothing is being recorded, because latency-monitor-threshold is 0. Record what takes 100 ms or more with: CONFIG SET "
        "latency-monitor-threshold 100\n";
  } else if (text.empty()) {
    begin = "Nothing has taken " + std::to_string(threshold) + " ms (latency-monitor-threshold) or more.\n";
  } else {
    begin = "What has taken " + std::to_string(threshold) + " ms (latency-monitor-threshold) or more:\n";
  }
  return call.reply.verbatim(begin + text);
}

// --- durations of commands ---

// How many calls took up to each power of two of a microsecond, as Redis tells them: a bound that no call lies below is left out, as is one
// that adds no call to the one before it.
void reply_histogram(Call& call, const histogram::Counts& counts) {
  constexpr std::uint64_t longest_us = 1ULL << 24;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> steps;
  std::uint64_t before = 0;
  for (std::uint64_t us = 1; us <= longest_us; us *= 2) {
    const std::uint64_t calls = us == longest_us ? counts.total : counts.below(Span64::us(us));
    if (calls != before) steps.emplace_back(us, calls);
    before = calls;
  }
  call.reply.map(2);
  call.reply.bulk("calls");
  call.reply.integer(static_cast<std::int64_t>(counts.total));
  call.reply.bulk("histogram_usec");
  call.reply.map(steps.size());
  for (const auto& [us, calls] : steps) {
    call.reply.integer(static_cast<std::int64_t>(us));
    call.reply.integer(static_cast<std::int64_t>(calls));
  }
}

// Which commands are named, by their indices: all if there are no names. A container means its subcommands too.
std::vector<bool> named_commands(Args names) {
  std::vector<bool> named(commands().size(), names.empty());
  for (const std::string_view name : names) {
    const Row* const row = find_command_by_name(name);
    if (row == nullptr) continue;
    named[command_index(*row)] = true;
    for (const Row* const subcommand : subcommands(*row)) named[command_index(*subcommand)] = true;
  }
  return named;
}

Outcome histogram_of_commands(Call& call) {
  if (has_too_many_names(call, "commands")) return Outcome::done;
  const std::vector<bool> named = named_commands(call.args.subspan(2));
  std::vector<std::pair<std::string_view, histogram::Counts>> all;
  for (const Row* row : commands()) {
    if (!call.engine.settings.flag(config::Id::latency_tracking)) break;
    if (!named[command_index(*row)]) continue;
    const histogram::Counts counts = call.engine.stats.durations(command_index(*row));
    if (counts.total > 0) all.emplace_back(row->name, counts);
  }
  call.reply.map(all.size());
  for (const auto& [name, counts] : all) {
    call.reply.bulk(name);
    reply_histogram(call, counts);
  }
  return Outcome::done;
}

constexpr std::uint32_t kForAdmins = kAdmin | kNoScript | kLoading;

// clang-format off
constexpr Row kRows[] = {
    {.name = "latency", .arity = -2,
     .group = "server", .since = "2.8.13",
     .complexity = "Depends on subcommand.",
     .summary = "A container for commands about latency."},
    {.name = "latency|doctor", .handler = doctor, .arity = 2,
     .flags = kForAdmins,
     .group = "server", .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Tells in words which events took long, and what to do."},
    {.name = "latency|graph", .handler = graph, .arity = 3,
     .flags = kForAdmins,
     .group = "server", .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Draws how long an event took, over time.",
     .syntax = "event"},
    {.name = "latency|help", .handler = reply_help, .arity = 2,
     .flags = kLoading,
     .group = "server", .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Describes the subcommands."},
    {.name = "latency|histogram", .handler = histogram_of_commands, .arity = -2,
     .flags = kForAdmins, .shown = shown_command_names,
     .group = "server", .since = "7.0.0",
     .complexity = "O(N + M) for N commands, and M names of them: at most 1,024.",
     .summary = "Tells how many calls of commands took how long; of all if none is named.",
     .syntax = "[command [command ...]]"},
    {.name = "latency|history", .handler = history, .arity = 3,
     .flags = kForAdmins,
     .group = "server", .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Lists the seconds in which an event took long: at most 160.",
     .syntax = "event"},
    {.name = "latency|latest", .handler = latest, .arity = 2,
     .flags = kForAdmins,
     .group = "server", .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Tells for each event when it last took long, and how long it took then and at most."},
    {.name = "latency|reset", .handler = reset, .arity = -2,
     .flags = kForAdmins,
     .group = "server", .since = "2.8.13",
     .complexity = "O(N) for N names, at most 1,024.",
     .summary = "Forgets what was recorded of the events; of all if none is named.",
     .syntax = "[event [event ...]]"},
};
// clang-format on

}  // namespace

std::span<const Row> latency_commands() { return kRows; }

}  // namespace pinfold::command
