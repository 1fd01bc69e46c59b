// BZPOPMIN and its like: commands of sorted sets that wait until there is a member (take_or_wait.hpp).

#include "pinfold/command/command_table.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/sorted_set_family.hpp"
#include "pinfold/command/take_or_wait.hpp"

namespace pinfold::command {
namespace {

Outcome take_scored(Call& call, std::int64_t timeout_ms, const ScoredPop& pop) {
  return take_or_wait(call, {.keys = call.keys, .type = store::Type::zset, .timeout_ms = timeout_ms},
                      [&](const store::Key& key) -> Outcome {
                        const auto popped = pop_scored(call, key, pop);
                        return popped ? *popped : call.reply.null_array();
                      });
}

Outcome pop_or_wait(Call& call, bool highest) {
  const auto timeout = parse_timeout(call, call.args.back());
  if (!timeout) return Outcome::done;
  return take_scored(call, *timeout, {.highest = highest, .count = 1, .how = ScoredReply::flat, .with_key = true});
}

Outcome bzpopmin(Call& call) { return pop_or_wait(call, false); }
Outcome bzpopmax(Call& call) { return pop_or_wait(call, true); }

Outcome bzmpop(Call& call) {
  const auto pop = parse_scored_pop(call, 3 + call.keys.size());
  if (!pop) return Outcome::done;
  const auto timeout = parse_timeout(call, call.args[1]);
  if (!timeout) return Outcome::done;
  return take_scored(call, *timeout, *pop);
}

std::string wrong_pop_keys(const Row& /*row*/, Args args) { return key_count_error(args, 2, "ERR syntax error"); }

// clang-format off
constexpr Row kRows[] = {
    {.name = "bzmpop", .handler = bzmpop, .arity = -5,
     .flags = kWrite | kMovableKeys | kBeyondNamed, .categories = kSortedSet | kBlocking,
     .keys = {KeySpec::counted(KeyUse::take, 2, wrong_pop_keys)},
     .events = {.written = Event::zpopmin},
     .group = "sorted-set", .since = "7.0.0",
     .complexity = "O(K + M*log(N)) for K keys and M members that are removed from N.",
     .summary = "Removes the members with the lowest or highest scores from the first of several sorted sets that has any. Waits until "
                "there is one.",
     .syntax = "timeout numkeys key [key ...] <MIN | MAX> [COUNT count]"},
    {.name = "bzpopmax", .handler = bzpopmax, .arity = -3,
     .flags = kWrite | kNoScript | kFast, .categories = kSortedSet | kBlocking,
     .keys = {KeySpec::range(KeyUse::take, 1, -2)},
     .events = {.written = Event::zpopmax},
     .group = "sorted-set", .since = "5.0.0",
     .complexity = "O(K + log(N)) for K keys and N members.",
     .summary = "Removes the member with the highest score from the first of several sorted sets that has any. Waits until there is one.",
     .syntax = "key [key ...] timeout"},
    {.name = "bzpopmin", .handler = bzpopmin, .arity = -3,
     .flags = kWrite | kNoScript | kFast, .categories = kSortedSet | kBlocking,
     .keys = {KeySpec::range(KeyUse::take, 1, -2)},
     .events = {.written = Event::zpopmin},
     .group = "sorted-set", .since = "5.0.0",
     .complexity = "O(K + log(N)) for K keys and N members.",
     .summary = "Removes the member with the lowest score from the first of several sorted sets that has any. Waits until there is one.",
     .syntax = "key [key ...] timeout"},
};
// clang-format on

}  // namespace

std::span<const Row> blocking_sorted_set_commands() { return kRows; }

}  // namespace pinfold::command
