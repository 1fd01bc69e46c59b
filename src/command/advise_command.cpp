// PINFOLD.ADVISE: what the traffic of the recent past says about the memory, the deadlines and what is stored, in words.
//
// Each line names the numbers that it rests on, and how far they can be trusted. Without enough traffic there is no advice.

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/advice.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/option_errors.hpp"

namespace pinfold::command {
namespace {

using State = WorkingSetEstimate::State;

// Fewer sampled entries or changes are no ground for advice.
constexpr double few = 100;

std::string percent(double ratio) {
  char text[32];
  const int size = std::snprintf(text, sizeof text, "%.2f %%", ratio * 100);
  return {text, static_cast<std::size_t>(size)};
}

std::string points(double number) {
  char text[32];
  const int size = std::snprintf(text, sizeof text, "%.1f", number);
  return {text, static_cast<std::size_t>(size)};
}

std::string count_of(double number) { return std::to_string(static_cast<std::uint64_t>(number)); }

std::string duration(std::int64_t ms) {
  if (ms < 1000) return std::to_string(ms) + " ms";
  const std::int64_t seconds = ms / 1000;
  if (seconds < 120) return std::to_string(seconds) + " s";
  if (seconds < 7200) return std::to_string(seconds / 60) + " min";
  if (seconds < 172800) return std::to_string(seconds / 3600) + " h";
  return std::to_string(seconds / 86400) + " d";
}

std::string certainty(const WorkingSetEstimate& known) {
  const std::string_view word = known.uncertainty() <= 1 ? "certain" : known.uncertainty() <= 3 ? "fairly certain" : "a rough estimate";
  return std::string(word) + ": +-" + points(known.uncertainty()) + " points, from " + count_of(known.reads) + " reads of 1 key in " +
         std::to_string(1U << known.halvings) + ", " + std::to_string(known.entries) + " keys simulated";
}

std::string hit_ratio_now(const WorkingSetEstimate& known) {
  return "The hit ratio of the recent past is " + percent(known.hit_ratios[WorkingSetEstimate::present]) + " with " +
         binary_size(known.memory) + " of memory (certain: all reads are counted).";
}

std::string hit_ratios_elsewhere(const WorkingSetEstimate& known) {
  constexpr std::size_t half = WorkingSetEstimate::present - 1;
  constexpr std::size_t twice = WorkingSetEstimate::present + 1;
  std::string line = "With half the memory (" + binary_size(known.memory / 2) + ") it would be " + percent(known.hit_ratios[half]);
  if (!known.limited) return line + "; more changes nothing, because there is no maxmemory (" + certainty(known) + ").";
  line += ", with twice (" + binary_size(known.memory * 2) + ") " + percent(known.hit_ratios[twice]);
  if (!known.full[twice]) line += ", or more, because so much has not been asked for yet";
  return line + " (" + certainty(known) + ").";
}

std::string memory_for(const WorkingSetEstimate& known, double wanted) {
  const std::string what = "A hit ratio of " + percent(wanted);
  const auto bytes = known.memory_for(wanted);
  if (!bytes) {
    return what + " is not reached with four times the memory: it would be " + percent(known.hit_ratios.back()) +
           ". The rest are keys that were not asked for before, or not before they expired (" + certainty(known) + ").";
  }
  if (*bytes <= known.memory / 4) return what + " needs " + binary_size(*bytes) + " or less (" + certainty(known) + ").";
  return what + " needs about " + binary_size(*bytes) + " (" + certainty(known) + ").";
}

void advise_on_memory(const WorkingSetEstimate& estimate, std::optional<double> wanted, std::vector<std::string>& lines) {
  if (estimate.state == State::off) {
    lines.emplace_back("Nothing is known about the hit ratio with other amounts of memory: the setting metrics is off.");
  } else if (estimate.state == State::no_policy) {
    lines.emplace_back("maxmemory-policy is noeviction: memory decides which writes are refused, not which reads hit.");
  } else if (estimate.state == State::small) {
    lines.push_back("Nothing is known about the hit ratio with other amounts of memory: with a maxmemory below " +
                    binary_size(WorkingSet::least_memory) + " there is no room to simulate it.");
  } else if (estimate.state == State::warming) {
    lines.push_back("Not enough traffic yet to say what more or less memory would give: " + count_of(estimate.reads) +
                    " reads of sampled keys.");
  } else {
    lines.push_back(hit_ratio_now(estimate));
    if (estimate.entries < few) {
      lines.push_back("Too few keys are stored to say what more or less memory would give: " + std::to_string(estimate.entries) +
                      " sampled entries.");
      return;
    }
    lines.push_back(hit_ratios_elsewhere(estimate));
    if (wanted) lines.push_back(memory_for(estimate, *wanted));
  }
}

void advise_on_unread(const WorkingSetEstimate& estimate, std::vector<std::string>& lines) {
  constexpr double much = 0.1;
  // What was written a moment ago may still be read, and what is overwritten again and again is never old.
  constexpr std::int64_t least_age_ms = 60'000;
  const bool changes_known = estimate.changes.changes >= few;
  const std::int64_t least = std::max(least_age_ms, changes_known ? 2 * estimate.changes.age_ms : 0);
  if (estimate.entries < few || estimate.unread.bytes < much || estimate.unread.age_ms < least) return;
  lines.push_back("Entries that were never read since they were written take " + percent(estimate.unread.bytes) + " of the bytes (" +
                  percent(estimate.unread.keys) + " of the keys), and were written " + duration(estimate.unread.age_ms) +
                  " ago on average. Do not store them, or give them shorter TTLs or a policy with priority first-out (from " +
                  std::to_string(estimate.entries) + " sampled entries).");
}

void advise_on_ttls(const WorkingSetEstimate& estimate, std::vector<std::string>& lines) {
  const eviction::ChangeAges& changes = estimate.changes;
  constexpr std::int64_t much_longer = 4;
  if (changes.changes < few || changes.ttl_ms < changes.age_ms * much_longer) return;
  lines.push_back(
      "Values change long before their TTLs: half of those that were overwritten or deleted were at most " + duration(changes.age_ms) +
      " old, and had a TTL of about " + duration(changes.ttl_ms) +
      ". Unless every change of the origin also invalidates the key, readers see old values: shorten the TTLs, or invalidate (from " +
      count_of(changes.changes) + " changes of sampled keys; the times are known to a factor of two).");
}

void advise_on_deadlines(Call& call, std::vector<std::string>& lines) {
  std::uint64_t keys = 0;
  std::uint64_t expiring = 0;
  for (unsigned db = 0; db < store::database_count; ++db) {
    const store::DatabaseStats stats = call.engine.keyspace.database_stats(db, call.now, call.held);
    keys += stats.keys;
    expiring += stats.expires;
  }
  constexpr double much = 0.1;
  const double without = keys > 0 ? static_cast<double>(keys - expiring) / static_cast<double>(keys) : 0;
  if (static_cast<double>(keys) < few || without < much) return;
  std::string line = percent(without) + " of the keys (" + std::to_string(keys - expiring) + " of " + std::to_string(keys) +
                     ") have no TTL: a value that is not invalidated stays until it is evicted";
  if (eviction::is_volatile(call.engine.keyspace.policy())) line += ", and maxmemory-policy never evicts these";
  lines.push_back(line + " (certain: all keys are counted).");
}

}  // namespace

std::vector<std::string> advice_from(const WorkingSetEstimate& estimate, std::optional<double> wanted) {
  std::vector<std::string> lines;
  advise_on_memory(estimate, wanted, lines);
  advise_on_unread(estimate, lines);
  advise_on_ttls(estimate, lines);
  return lines;
}

namespace {

Outcome advise(Call& call) {
  std::optional<double> wanted;
  Cursor options(call.args, 1);
  while (!options.done()) {
    if (!options.take_with_value("HITRATIO")) return wrong_option(call, options);
    const std::string_view text = options.take();
    const auto number = parse_real(text);
    if (!number || !(*number > 0) || !(*number < 1)) {
      return call.reply.error("ERR HITRATIO takes a number between 0 and 1, such as 0.9, not '" + excerpt(text) + "'");
    }
    wanted = static_cast<double>(*number);
  }
  std::vector<std::string> lines = advice_from(call.engine.working_set.estimate(), wanted);
  advise_on_deadlines(call, lines);
  call.reply.array(lines.size());
  for (const std::string& line : lines) call.reply.bulk(line);
  return Outcome::done;
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "pinfold.advise", .handler = advise, .arity = -1,
     .flags = kAdmin | kNoMulti | kBeyondNamed, .touches = Touches::no_key,
     .group = "server", .since = "0.1.0",
     .complexity = "O(1)",
     .summary = "Says in words what the traffic of the recent past tells about the memory and the TTLs: the hit ratio with half and twice "
                "the memory, the memory for a wanted hit ratio (between 0 and 1), entries that nobody reads, values that change long "
                "before their TTLs, keys without a TTL. Each line names the numbers it rests on, and how certain they are.",
     .syntax = "[HITRATIO ratio]"},
};
// clang-format on

}  // namespace

std::span<const Row> advise_commands() { return kRows; }

}  // namespace pinfold::command
