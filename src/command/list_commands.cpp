// Lists, but for the commands that search them (list_search_commands.cpp), and those that wait for an element
// (blocking_list_commands.cpp).

#include <optional>
#include <string_view>

#include "pinfold/command/collection_reply.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/list_family.hpp"
#include "pinfold/command/many_elements.hpp"

namespace pinfold::command {
namespace {

using store::Element;
using store::Stored;
using types::End;
using types::List;
using types::ListEdit;

// --- pushing and popping ---

constexpr std::size_t first_pushed = 2;  // of the arguments

Outcome reply_size(Call& call, std::uint64_t size) { return call.reply.integer(static_cast<std::int64_t>(size)); }

template <End end, bool only_to_list>
Outcome push_all(Call& call) {
  store::Database db = call.db();
  ListEdit list = edit_list(call, db, call.key());
  if (only_to_list && !list.exists()) return call.reply.integer(0);
  const Args texts = call.args.subspan(first_pushed);
  const std::uint64_t size = list.size() + texts.size();
  const Stored stored = list.push(end, texts, [&](std::size_t index) { return call.take_blob(first_pushed + index); });
  return stored ? reply_size(call, size) : call.refused(stored);
}

// Counts the elements that were there as well.
template <End end, bool only_to_list>
Stored push_some(Call& call, const ElementSlice& slice, std::uint64_t& counted) {
  store::Database db = call.db();
  ListEdit list = edit_list(call, db, call.key(), &slice.draft);
  if (only_to_list && !list.exists()) return Stored::done;
  counted = slice.count + (slice.announced != 0 ? list.size() : 0);
  return list.push(end, call.args.subspan(slice.first, slice.count),
                   [&](std::size_t index) { return call.take_blob(slice.first + index); });
}

// An end is found in no time.
constexpr std::size_t most_pushed_at_once = 8 * most_written_at_once;

template <End end, bool only_to_list>
Outcome push(Call& call) {
  static constexpr ElementsWrite kPush{
      store::Type::list, 1, 0, most_pushed_at_once, push_all<end, only_to_list>, nullptr, push_some<end, only_to_list>, reply_size};
  return write_elements(call, kPush, first_pushed);
}

constexpr auto lpush = push<End::left, false>;
constexpr auto rpush = push<End::right, false>;
constexpr auto lpushx = push<End::left, true>;
constexpr auto rpushx = push<End::right, true>;

Outcome pop(Call& call, End end) {
  const bool several = call.args.size() > 2;
  if (call.args.size() > 3) return call.reply.error(wrong_arity(call.row));
  const auto count = several ? parse_i64(call.args[2]) : std::optional<std::int64_t>(1);
  if (!count || *count < 0) return call.reply.error("ERR value is out of range, must be positive");
  if (!several) return pop_one(call, call.key(), end);
  store::Database db = call.db();
  if (!List::find(db, call.key(), store::Access::write())) return call.reply.null_array();
  if (*count == 0) return call.reply.array(0);
  return pop_many(call, call.key(), end, static_cast<std::uint64_t>(*count), false);
}

Outcome lpop(Call& call) { return pop(call, End::left); }
Outcome rpop(Call& call) { return pop(call, End::right); }

Outcome lmpop(Call& call) {
  const auto pop = parse_multi_pop(call, 2 + call.keys.size());
  if (!pop) return Outcome::done;
  store::Database db = call.db();
  for (const store::Key& key : call.keys) {
    if (List::find(db, key, store::Access::write())) return pop_many(call, key, pop->end, pop->count, true);
  }
  return call.reply.null_array();
}

Outcome move(Call& call, End from, End to) {
  store::Database db = call.db();
  if (!List::find(db, call.key(0), store::Access::write())) return call.reply.null();
  return move_element(call, call.key(0), call.key(1), from, to);
}

Outcome lmove(Call& call) {
  const auto from = parse_end(call.args[3]);
  const auto to = parse_end(call.args[4]);
  return from && to ? move(call, *from, *to) : call.syntax_error();
}

Outcome rpoplpush(Call& call) { return move(call, End::right, End::left); }

// --- reading ---

void write_item(resp::Reply& reply, const char* item) { reply_element(reply, Element(item)); }

Outcome llen(Call& call) {
  store::Database db = call.db();
  const auto list = List::find(db, call.key(), store::Access::read());
  return call.reply.integer(list ? static_cast<std::int64_t>(list->size()) : 0);
}

Outcome lrange(Call& call) {
  const auto first = parse_i64(call.args[2]);
  const auto last = parse_i64(call.args[3]);
  if (!first || !last) return call.not_an_integer();
  store::Database db = call.db();
  const auto list = List::find(db, call.key());
  if (!list) return call.reply.array(0);
  const types::ListRange range = types::list_range(*first, *last, list->size());
  const ItemsReply what{.from = range.from, .count = range.size(), .headed = range.size(), .write = write_item};
  return list->packed() ? reply_items(call, list->run(), what) : reply_items(call, list->collection(), what);
}

Outcome lindex(Call& call) {
  store::Database db = call.db();
  const auto list = List::find(db, call.key());
  if (!list) return call.reply.null();
  const auto index = parse_i64(call.args[2]);
  if (!index) return call.not_an_integer();
  const auto position = types::list_position(*index, list->size());
  return position ? reply_element(call.reply, list->at(*position)) : call.reply.null();
}

// --- changing elements ---

Outcome lset(Call& call) {
  store::Database db = call.db();
  ListEdit list = edit_list(call, db, call.key());
  if (!list.exists()) return call.reply.error("ERR no such key");
  const auto index = parse_i64(call.args[2]);
  if (!index) return call.not_an_integer();
  const auto position = types::list_position(*index, list.size());
  if (!position) return call.reply.error("ERR index out of range");
  const Stored stored = list.set(*position, call.args[3], call.take_blob(3));
  return stored ? call.reply.ok() : call.refused(stored);
}

Outcome ltrim(Call& call) {
  const auto first = parse_i64(call.args[2]);
  const auto last = parse_i64(call.args[3]);
  if (!first || !last) return call.not_an_integer();
  store::Database db = call.db();
  ListEdit list = edit_list(call, db, call.key());
  if (!list.exists()) return call.reply.ok();
  const Stored stored = list.keep(types::list_range(*first, *last, list.size()));
  return stored ? call.reply.ok() : call.refused(stored);
}

constexpr std::string_view for_a_middle = "O(log N) for a list of N elements.";

// clang-format off
constexpr Row kRows[] = {
    {.name = "lindex", .handler = lindex, .arity = 3,
     .flags = kReadOnly, .categories = kList,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "list", .since = "1.0.0",
     .complexity = for_a_middle,
     .summary = "Reads the element of a list at an index.",
     .syntax = "key index"},
    {.name = "llen", .handler = llen, .arity = 2,
     .flags = kReadOnly | kFast, .categories = kList,
     .keys = {KeySpec::one(KeyUse::peek)},
     .group = "list", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Counts the elements of a list.",
     .syntax = "key"},
    {.name = "lmove", .handler = lmove, .arity = 5,
     .flags = kWrite | kDenyOom, .categories = kList,
     .keys = {KeySpec::one(KeyUse::take, 1), KeySpec::one(KeyUse::insert, 2)},
     .events = {.written = Event::lpush},
     .group = "list", .since = "6.2.0",
     .complexity = for_a_middle,
     .summary = "Takes an element from one end of a list, adds it at an end of another list, and replies it.",
     .syntax = "source destination <LEFT | RIGHT> <LEFT | RIGHT>"},
    {.name = "lmpop", .handler = lmpop, .arity = -4,
     .flags = kWrite | kMovableKeys | kBeyondNamed, .categories = kList,
     .keys = {KeySpec::counted(KeyUse::take, 1, no_list_keys)},
     .events = {.written = Event::lpop},
     .group = "list", .since = "7.0.0",
     .complexity = "O(N + M) for N keys and M elements that are replied.",
     .summary = "Takes elements from one end of the first of several lists that has some.",
     .syntax = "numkeys key [key ...] <LEFT | RIGHT> [COUNT count]"},
    {.name = "lpop", .handler = lpop, .arity = -2,
     .flags = kWrite | kFast | kBeyondNamed, .categories = kList,
     .keys = {KeySpec::one(KeyUse::take)},
     .events = {.written = Event::lpop},
     .group = "list", .since = "1.0.0",
     .complexity = "O(N) for N elements that are replied.",
     .summary = "Takes one or more elements from the left end of a list.",
     .syntax = "key [count]"},
    {.name = "lpush", .handler = lpush, .arity = -3,
     .flags = kWrite | kDenyOom | kFast, .categories = kList,
     .keys = {KeySpec::one(KeyUse::insert)},
     .events = {.written = Event::lpush},
     .group = "list", .since = "1.0.0",
     .complexity = "O(N) for N elements.",
     .summary = "Adds elements at the left end of a list, which is made if there is none.",
     .syntax = "key element [element ...]"},
    {.name = "lpushx", .handler = lpushx, .arity = -3,
     .flags = kWrite | kDenyOom | kFast, .categories = kList,
     .keys = {KeySpec::one(KeyUse::insert)},
     .events = {.written = Event::lpush},
     .group = "list", .since = "2.2.0",
     .complexity = "O(N) for N elements.",
     .summary = "Adds elements at the left end of a list, if there is one.",
     .syntax = "key element [element ...]"},
    {.name = "lrange", .handler = lrange, .arity = 4,
     .flags = kReadOnly | kBeyondNamed, .categories = kList,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "list", .since = "1.0.0",
     .complexity = "O(log N + M) for a list of N elements, of which M are replied.",
     .summary = "Reads the elements of a list from one index to another.",
     .syntax = "key start stop"},
    {.name = "lset", .handler = lset, .arity = 4,
     .flags = kWrite | kDenyOom, .categories = kList,
     .keys = {KeySpec::one(KeyUse::update)},
     .events = {.written = Event::lset},
     .group = "list", .since = "1.0.0",
     .complexity = for_a_middle,
     .summary = "Replaces the element of a list at an index.",
     .syntax = "key index element"},
    {.name = "ltrim", .handler = ltrim, .arity = 4,
     .flags = kWrite, .categories = kList,
     .keys = {KeySpec::one(KeyUse::shrink)},
     .events = {.written = Event::ltrim},
     .group = "list", .since = "1.0.0",
     .complexity = "O(log N) for a list of N elements; what is removed is freed in the background.",
     .summary = "Removes all elements of a list outside of a range.",
     .syntax = "key start stop"},
    {.name = "rpop", .handler = rpop, .arity = -2,
     .flags = kWrite | kFast | kBeyondNamed, .categories = kList,
     .keys = {KeySpec::one(KeyUse::take)},
     .events = {.written = Event::rpop},
     .group = "list", .since = "1.0.0",
     .complexity = "O(N) for N elements that are replied.",
     .summary = "Takes one or more elements from the right end of a list.",
     .syntax = "key [count]"},
    {.name = "rpoplpush", .handler = rpoplpush, .arity = 3,
     .flags = kWrite | kDenyOom, .categories = kList,
     .keys = {KeySpec::one(KeyUse::take, 1), KeySpec::one(KeyUse::insert, 2)},
     .events = {.written = Event::lpush},
     .group = "list", .since = "1.2.0",
     .complexity = for_a_middle,
     .summary = "Takes the element at the right end of a list, adds it at the left end of another list, and replies it.",
     .syntax = "source destination"},
    {.name = "rpush", .handler = rpush, .arity = -3,
     .flags = kWrite | kDenyOom | kFast, .categories = kList,
     .keys = {KeySpec::one(KeyUse::insert)},
     .events = {.written = Event::rpush},
     .group = "list", .since = "1.0.0",
     .complexity = "O(N) for N elements.",
     .summary = "Adds elements at the right end of a list, which is made if there is none.",
     .syntax = "key element [element ...]"},
    {.name = "rpushx", .handler = rpushx, .arity = -3,
     .flags = kWrite | kDenyOom | kFast, .categories = kList,
     .keys = {KeySpec::one(KeyUse::insert)},
     .events = {.written = Event::rpush},
     .group = "list", .since = "2.2.0",
     .complexity = "O(N) for N elements.",
     .summary = "Adds elements at the right end of a list, if there is one.",
     .syntax = "key element [element ...]"},
};
// clang-format on

}  // namespace

std::span<const Row> list_commands() { return kRows; }

}  // namespace pinfold::command
