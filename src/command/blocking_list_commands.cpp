// BLPOP and its like: commands of lists that wait until there is an element (take_or_wait.hpp).

#include "pinfold/command/command_table.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/list_family.hpp"
#include "pinfold/command/take_or_wait.hpp"

namespace pinfold::command {
namespace {

using store::Key;
using store::Type;
using types::End;
using Nothing = TakeOptions::Nothing;

Outcome pop_or_wait(Call& call, End end) {
  const auto timeout = parse_timeout(call, call.args.back());
  if (!timeout) return Outcome::done;
  return take_or_wait(call, {.keys = call.keys, .type = Type::list, .timeout_ms = *timeout},
                      [&](const Key& key) { return pop_one(call, key, end, true); });
}

Outcome blpop(Call& call) { return pop_or_wait(call, End::left); }
Outcome brpop(Call& call) { return pop_or_wait(call, End::right); }

Outcome blmpop(Call& call) {
  const auto pop = parse_multi_pop(call, 3 + call.keys.size());
  if (!pop) return Outcome::done;
  const auto timeout = parse_timeout(call, call.args[1]);
  if (!timeout) return Outcome::done;
  return take_or_wait(call, {.keys = call.keys, .type = Type::list, .timeout_ms = *timeout},
                      [&](const Key& key) { return pop_many(call, key, pop->end, pop->count, true); });
}

Outcome move_or_wait(Call& call, End from, End to) {
  const auto timeout = parse_timeout(call, call.args.back());
  if (!timeout) return Outcome::done;
  return take_or_wait(call, {.keys = call.keys.first(1), .type = Type::list, .timeout_ms = *timeout, .nothing = Nothing::null},
                      [&](const Key& source) { return move_element(call, source, call.key(1), from, to); });
}

Outcome blmove(Call& call) {
  const auto from = parse_end(call.args[3]);
  const auto to = parse_end(call.args[4]);
  return from && to ? move_or_wait(call, *from, *to) : call.syntax_error();
}

Outcome brpoplpush(Call& call) { return move_or_wait(call, End::right, End::left); }

// clang-format off
constexpr Row kRows[] = {
    {.name = "blmove", .handler = blmove, .arity = 6,
     .flags = kWrite | kDenyOom | kNoScript, .categories = kList | kBlocking,
     .keys = {KeySpec::one(KeyUse::take, 1), KeySpec::one(KeyUse::insert, 2)},
     .events = {.written = Event::lpush},
     .group = "list", .since = "6.2.0",
     .complexity = "O(log N) for a list of N elements.",
     .summary = "Takes an element from one end of a list and adds it at an end of another list. Waits until there is one.",
     .syntax = "source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout"},
    {.name = "blmpop", .handler = blmpop, .arity = -5,
     .flags = kWrite | kMovableKeys | kBeyondNamed, .categories = kList | kBlocking,
     .keys = {KeySpec::counted(KeyUse::take, 2, no_blocking_list_keys)},
     .events = {.written = Event::lpop},
     .group = "list", .since = "7.0.0",
     .complexity = "O(N + M) for N keys and M elements that are replied.",
     .summary = "Takes elements from one end of the first of several lists that has some. Waits until there is one.",
     .syntax = "timeout numkeys key [key ...] <LEFT | RIGHT> [COUNT count]"},
    {.name = "blpop", .handler = blpop, .arity = -3,
     .flags = kWrite | kNoScript, .categories = kList | kBlocking,
     .keys = {KeySpec::range(KeyUse::take, 1, -2)},
     .events = {.written = Event::lpop},
     .group = "list", .since = "2.0.0",
     .complexity = "O(N) for N keys.",
     .summary = "Takes the element at the left end of the first of several lists that has one. Waits until there is one.",
     .syntax = "key [key ...] timeout"},
    {.name = "brpop", .handler = brpop, .arity = -3,
     .flags = kWrite | kNoScript, .categories = kList | kBlocking,
     .keys = {KeySpec::range(KeyUse::take, 1, -2)},
     .events = {.written = Event::rpop},
     .group = "list", .since = "2.0.0",
     .complexity = "O(N) for N keys.",
     .summary = "Takes the element at the right end of the first of several lists that has one. Waits until there is one.",
     .syntax = "key [key ...] timeout"},
    {.name = "brpoplpush", .handler = brpoplpush, .arity = 4,
     .flags = kWrite | kDenyOom | kNoScript, .categories = kList | kBlocking,
     .keys = {KeySpec::one(KeyUse::take, 1), KeySpec::one(KeyUse::insert, 2)},
     .events = {.written = Event::lpush},
     .group = "list", .since = "2.2.0",
     .complexity = "O(log N) for a list of N elements.",
     .summary = "Takes the element at the right end of a list and adds it at the left end of another list. Waits until there is one.",
     .syntax = "source destination timeout"},
};
// clang-format on

}  // namespace

std::span<const Row> blocking_list_commands() { return kRows; }

}  // namespace pinfold::command
