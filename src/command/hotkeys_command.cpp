// HOTKEYS: which keys are asked for most (docs/hot-keys.md).

#include <cmath>
#include <cstdint>
#include <vector>

#include "pinfold/command/cursor.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/option_errors.hpp"
#include "pinfold/command/rights.hpp"

namespace pinfold::command {
namespace {

constexpr std::int64_t usual_count = 10;
constexpr std::int64_t most_keys = 100;

double with_two_decimals(double value) { return std::round(value * 100) / 100; }

// Whether the call's client may know of the key. A client whose user may not read everything sees keys of the selected database only,
// because its rights were checked for that one. A key that was cut could have an end that its patterns do not allow.
bool shows(const Call& call, const Listing& listing, const CountedKey& key, security::MatchBudget& budget) {
  if (listing.shows_all()) return true;
  return key.db == call.session.db && !key.cut && listing.shows(key.name, budget);
}

void reply_key(Call& call, const Accesses::Report& report, const CountedKey& key) {
  constexpr double percent = 100;
  call.reply.map(5);
  call.reply.bulk("db");
  call.reply.integer(key.db);
  call.reply.bulk("key");
  call.reply.bulk(key.name);
  call.reply.bulk("cut");
  call.reply.integer(key.cut ? 1 : 0);
  call.reply.bulk("rate");
  call.reply.real(with_two_decimals(report.rate(key)));
  call.reply.bulk("share");
  call.reply.real(with_two_decimals(percent * report.share(key)));
}

Outcome hotkeys(Call& call) {
  std::int64_t count = usual_count;
  Cursor options(call.args, 1);
  while (!options.done()) {
    // What Redis 8.6 takes here would start and stop a measurement, and means another reply.
    if (!options.take_with_value("COUNT")) return wrong_option(call, options);
    const auto given = take_number(call, options, {"COUNT", "a number of keys", 1, most_keys});
    if (!given) return Outcome::done;
    count = *given;
  }
  if (!call.engine.settings.flag(config::Id::metrics)) {
    return call.reply.error("ERR hot keys are not looked for while the setting metrics is no");
  }
  const Accesses::Report report = call.engine.accesses.report(call.mono);
  const Listing listing(call);
  security::MatchBudget budget;  // one for all names: the next client waits meanwhile
  std::vector<const CountedKey*> shown;
  for (const CountedKey& key : report.keys) {
    if (static_cast<std::int64_t>(shown.size()) == count) break;
    if (shows(call, listing, key, budget)) shown.push_back(&key);
  }
  call.reply.array(shown.size());
  for (const CountedKey* key : shown) reply_key(call, report, *key);
  return Outcome::done;
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "hotkeys", .handler = hotkeys, .arity = -1,
     .flags = kAdmin | kNoScript | kLoading | kNoMulti, .touches = Touches::listing,
     .group = "server", .since = "0.1.0",
     .complexity = "O(N) for N I/O threads, each of which knows its 256 hottest keys.",
     .summary = "The keys that were asked for most in the last five seconds, 10 of them or as many as COUNT says, at most 100. For each "
                "it tells its database, its name (the first 128 bytes, and cut is 1 if it is longer), its rate in requests per second, "
                "and its share of all accesses to keys in percent. Commands of any kind count, each key as often as it is named.",
     .syntax = "[COUNT count]"},
};
// clang-format on

}  // namespace

std::span<const Row> hot_key_commands() { return kRows; }

}  // namespace pinfold::command
