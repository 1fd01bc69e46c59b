// Ranges of sorted sets: by position, by score, and by member. All three are ranges of positions in the end.

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/range.hpp"
#include "pinfold/command/sorted_set_family.hpp"
#include "pinfold/command/sorted_set_store.hpp"
#include "pinfold/command/thresholds.hpp"

namespace pinfold::command {
namespace {

using types::Positions;

enum class RangeBy : std::uint8_t { rank, score, member };

// The two ends of a range, as they stand in the arguments.
struct RangeEnds {
  RangeBy by = RangeBy::rank;
  std::int64_t first = 0;  // by rank
  std::int64_t last = 0;
  types::ScoreBound least_score = {};
  types::ScoreBound most_score = {};
  types::LexBound least_member = {};
  types::LexBound most_member = {};
};

// Reads the ends; `least` and `most` are arguments. Nothing after an error reply.
std::optional<RangeEnds> read_ends(Call& call, RangeBy by, std::string_view least, std::string_view most) {
  RangeEnds ends{.by = by};
  if (by == RangeBy::rank) {
    const auto first = parse_i64(least);
    const auto last = parse_i64(most);
    if (!first || !last) return call.not_an_integer(), std::nullopt;
    ends.first = *first;
    ends.last = *last;
  } else if (by == RangeBy::score) {
    const auto from = parse_score_bound(least);
    const auto to = parse_score_bound(most);
    if (!from || !to) return call.reply.error(bad_score_bound), std::nullopt;
    ends.least_score = *from;
    ends.most_score = *to;
  } else {
    const auto from = parse_lex_bound(least);
    const auto to = parse_lex_bound(most);
    if (!from || !to) return call.reply.error(bad_lex_bound), std::nullopt;
    ends.least_member = *from;
    ends.most_member = *to;
  }
  return ends;
}

// The positions that a range means. With `reverse`, ranks count from the highest member.
Positions resolve(const types::SortedSet& set, const RangeEnds& ends, bool reverse = false) {
  if (ends.by == RangeBy::score) return set.between(ends.least_score, ends.most_score);
  if (ends.by == RangeBy::member) return set.between(ends.least_member, ends.most_member);
  const std::uint64_t size = set.size();
  // Unlike in a range of a string, a last position before the start is nothing.
  const auto count = static_cast<std::int64_t>(size);
  if (ends.last < 0 && ends.last < -count) return {};
  const auto range = resolve_range(ends.first, ends.last, count);
  if (!range) return {};
  if (reverse) return {size - 1 - range->last, size - range->first};
  return {range->first, range->last + 1};
}

// --- ZCOUNT, ZLEXCOUNT ---

Outcome count_between(Call& call, RangeBy by) {
  const auto ends = read_ends(call, by, call.args[2], call.args[3]);
  if (!ends) return Outcome::done;
  return call.reply.integer(static_cast<std::int64_t>(resolve(read_sorted_set(call, call.key()), *ends).size()));
}

Outcome zcount(Call& call) { return count_between(call, RangeBy::score); }
Outcome zlexcount(Call& call) { return count_between(call, RangeBy::member); }

// --- ZRANGE and its like ---

// What a command of this family takes for granted, and what its options add.
struct RangeOptions {
  std::optional<RangeBy> by;    // not given: BYSCORE and BYLEX may say so
  std::optional<bool> reverse;  // not given: REV may say so
  bool with_scores = false;
  std::int64_t offset = 0;
  std::int64_t limit = -1;  // of members; negative: no limit
};

// Reads the options from an argument on. Returns false after an error reply.
bool take_range_options(Call& call, std::size_t first, bool stores, RangeOptions& options) {
  for (Cursor cursor(call.args, first); !cursor.done();) {
    if (!stores && cursor.take("WITHSCORES")) {
      options.with_scores = true;
    } else if (cursor.left() > 2 && cursor.take("LIMIT")) {
      const auto offset = cursor.take_integer();
      const auto limit = cursor.take_integer();
      if (!offset || !limit) return call.not_an_integer(), false;
      options.offset = *offset;
      options.limit = *limit;
    } else if (!options.reverse && cursor.take("REV")) {
      options.reverse = true;
    } else if (!options.by && cursor.take("BYLEX")) {
      options.by = RangeBy::member;
    } else if (!options.by && cursor.take("BYSCORE")) {
      options.by = RangeBy::score;
    } else {
      return call.syntax_error(), false;
    }
  }
  const RangeBy by = options.by.value_or(RangeBy::rank);
  if (options.limit != -1 && by == RangeBy::rank) {
    call.reply.error("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX");
    return false;
  }
  if (options.with_scores && by == RangeBy::member) {
    call.reply.error("ERR syntax error, WITHSCORES not supported in combination with BYLEX");
    return false;
  }
  return true;
}

// A range that was asked for, with all options.
struct AskedRange {
  RangeEnds ends;
  RangeOptions options;
  bool reverse = false;

  Positions positions(const types::SortedSet& set) const {
    Positions found = resolve(set, ends, reverse);
    if (ends.by == RangeBy::rank || found.size() == 0) return found;
    const std::uint64_t size = found.size();
    if (options.offset < 0 || static_cast<std::uint64_t>(options.offset) >= size) return {};
    const auto skipped = static_cast<std::uint64_t>(options.offset);
    const std::uint64_t most = options.limit < 0 ? size : static_cast<std::uint64_t>(options.limit);
    const std::uint64_t count = std::min(size - skipped, most);
    if (reverse) return {found.last - skipped - count, found.last - skipped};
    return {found.first + skipped, found.first + skipped + count};
  }
};

// Reads a request whose ends are the arguments at `first` and behind it. Nothing after an error reply.
std::optional<AskedRange> read_range(Call& call, std::size_t first, bool stores, const RangeOptions& given) {
  AskedRange asked{.ends = {}, .options = given};
  if (!take_range_options(call, first + 2, stores, asked.options)) return std::nullopt;
  const RangeBy by = asked.options.by.value_or(RangeBy::rank);
  asked.reverse = asked.options.reverse.value_or(false);
  // From the highest to the lowest, the higher end comes first.
  const bool swapped = asked.reverse && by != RangeBy::rank;
  const auto ends = read_ends(call, by, call.args[first + (swapped ? 1 : 0)], call.args[first + (swapped ? 0 : 1)]);
  if (!ends) return std::nullopt;
  asked.ends = *ends;
  return asked;
}

Outcome reply_range(Call& call, const RangeOptions& given) {
  const auto asked = read_range(call, 2, false, given);
  if (!asked) return Outcome::done;
  const types::SortedSet set = read_sorted_set(call, call.key());
  return reply_members(call, set, asked->positions(set), asked->reverse, scored_reply(call, asked->options.with_scores));
}

Outcome zrange(Call& call) { return reply_range(call, {}); }
Outcome zrevrange(Call& call) { return reply_range(call, {.by = RangeBy::rank, .reverse = true}); }
Outcome zrangebyscore(Call& call) { return reply_range(call, {.by = RangeBy::score, .reverse = false}); }
Outcome zrevrangebyscore(Call& call) { return reply_range(call, {.by = RangeBy::score, .reverse = true}); }
Outcome zrangebylex(Call& call) { return reply_range(call, {.by = RangeBy::member, .reverse = false}); }
Outcome zrevrangebylex(Call& call) { return reply_range(call, {.by = RangeBy::member, .reverse = true}); }

// --- ZRANGESTORE ---

class StoreRange : public StoringTask {
 public:
  StoreRange(Call& call, const types::SortedSet& set, Positions positions)
      : StoringTask(call, call.key(0)), kept_(set, call.engine.keyspace.memory()), set_(kept_.set().collection()), at_(positions) {
    path_ = set_.items.at(at_.first);
  }

  Outcome step(Call& call) override { return build(call, monotonic_us() + step_us); }

 private:
  bool next(Member& member) override {
    if (at_.first == at_.last) return false;
    const store::ScoredItem item(path_.item());
    member = {item.member().data(), item.score(), item.member().hash()};
    ++at_.first;
    set_.items.next(path_);
    return true;
  }

  const types::SortedSetSnapshot kept_;
  const store::Collection& set_;
  Positions at_;
  store::Tree::Path path_;
};

Outcome zrangestore(Call& call) {
  const auto asked = read_range(call, 3, true, {});
  if (!asked) return Outcome::done;
  const types::SortedSet set = read_sorted_set(call, call.key(1));
  const Positions positions = asked->positions(set);
  if (positions.size() > most_locked_items_of(call) && !set.packed()) {
    if (refuse_many_inside_exec(call, positions.size())) return Outcome::done;
    return call.begin(std::make_unique<StoreRange>(call, set, positions));
  }
  types::SortedSetBuilder built(call.engine.keyspace.memory(), thresholds(call.engine));
  constexpr std::uint64_t bytes_of_member = 64;  // with its item of the index; but for the member itself, which need not be short
  const std::uint64_t share = set.packed() ? set.run().bytes().size() : set.collection().items.memory() / set.size() * positions.size();
  store::Database db = call.db();
  if (const store::Stored room = db.has_room(positions.size() * bytes_of_member + share); !room) return call.refused(room);
  bool had_memory = true;
  set.visit(positions.first, positions.size(), [&](const char* item) {
    const store::Element member = store::ScoredItem(item).member();
    return had_memory = built.add(member, store::ScoredItem(item).score(), member.hash());
  });
  return had_memory ? store_built(call, db, call.key(0), built) : call.out_of_memory();
}

// --- ZREMRANGEBYRANK and its like ---

Outcome remove_range(Call& call, RangeBy by) {
  const auto ends = read_ends(call, by, call.args[2], call.args[3]);
  if (!ends) return Outcome::done;
  store::Database db = call.db();
  types::Edit edit(db, call.key(), store::Type::zset);
  const types::SortedSet set = edit.packed() ? types::SortedSet(edit.bytes()) : types::SortedSet(edit.collection());
  const Positions positions = resolve(set, *ends);
  if (positions.size() == 0) return call.reply.integer(0);
  types::Removal removal;
  if (const store::Stored stored = remove(edit, positions, false, removal); !stored) return call.refused(stored);
  if (removal.owes && !call.in_transaction) return pay_and_reply(call, call.key(), removal.removed);
  return call.reply.integer(static_cast<std::int64_t>(removal.removed));
}

Outcome zremrangebyrank(Call& call) { return remove_range(call, RangeBy::rank); }
Outcome zremrangebyscore(Call& call) { return remove_range(call, RangeBy::score); }
Outcome zremrangebylex(Call& call) { return remove_range(call, RangeBy::member); }

// clang-format off
constexpr Row kRows[] = {
    {.name = "zcount", .handler = zcount, .arity = 4,
     .flags = kReadOnly | kFast, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "sorted-set", .since = "2.0.0",
     .complexity = "O(log(N)) for N members.",
     .summary = "Counts the members with scores in a range.",
     .syntax = "key min max"},
    {.name = "zlexcount", .handler = zlexcount, .arity = 4,
     .flags = kReadOnly | kFast, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "sorted-set", .since = "2.8.9",
     .complexity = "O(log(N)) for N members.",
     .summary = "Counts the members between two members, if all have the same score.",
     .syntax = "key min max"},
    {.name = "zrange", .handler = zrange, .arity = -4,
     .flags = kReadOnly | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "sorted-set", .since = "1.2.0",
     .complexity = "O(log(N)+M) for M members returned of N.",
     .summary = "Returns the members in a range of positions, scores or members.",
     .syntax = "key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]"},
    {.name = "zrangebylex", .handler = zrangebylex, .arity = -4,
     .flags = kReadOnly | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "sorted-set", .since = "2.8.9",
     .complexity = "O(log(N)+M) for M members returned of N.",
     .summary = "Returns the members between two members, if all have the same score.",
     .syntax = "key min max [LIMIT offset count]"},
    {.name = "zrangebyscore", .handler = zrangebyscore, .arity = -4,
     .flags = kReadOnly | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "sorted-set", .since = "1.0.5",
     .complexity = "O(log(N)+M) for M members returned of N.",
     .summary = "Returns the members with scores in a range.",
     .syntax = "key min max [WITHSCORES] [LIMIT offset count]"},
    {.name = "zrangestore", .handler = zrangestore, .arity = -5,
     .flags = kWrite | kDenyOom | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::write, 1), KeySpec::one(KeyUse::read, 2)},
     .events = {.written = Event::zrangestore},
     .group = "sorted-set", .since = "6.2.0",
     .complexity = "O(log(N)+M*log(M)) for M members stored of N.",
     .summary = "Stores the members in a range of positions, scores or members under another key.",
     .syntax = "dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]"},
    {.name = "zremrangebylex", .handler = zremrangebylex, .arity = 4,
     .flags = kWrite | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::shrink)},
     .events = {.written = Event::zremrangebylex},
     .group = "sorted-set", .since = "2.8.9",
     .complexity = "O(log(N)+M) for M members removed from N.",
     .summary = "Removes the members between two members, if all have the same score.",
     .syntax = "key min max"},
    {.name = "zremrangebyrank", .handler = zremrangebyrank, .arity = 4,
     .flags = kWrite | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::shrink)},
     .events = {.written = Event::zremrangebyrank},
     .group = "sorted-set", .since = "2.0.0",
     .complexity = "O(log(N)+M) for M members removed from N.",
     .summary = "Removes the members in a range of positions.",
     .syntax = "key start stop"},
    {.name = "zremrangebyscore", .handler = zremrangebyscore, .arity = 4,
     .flags = kWrite | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::shrink)},
     .events = {.written = Event::zremrangebyscore},
     .group = "sorted-set", .since = "1.2.0",
     .complexity = "O(log(N)+M) for M members removed from N.",
     .summary = "Removes the members with scores in a range.",
     .syntax = "key min max"},
    {.name = "zrevrange", .handler = zrevrange, .arity = -4,
     .flags = kReadOnly | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "sorted-set", .since = "1.2.0",
     .complexity = "O(log(N)+M) for M members returned of N.",
     .summary = "Returns the members in a range of positions, from the highest score to the lowest.",
     .syntax = "key start stop [WITHSCORES]"},
    {.name = "zrevrangebylex", .handler = zrevrangebylex, .arity = -4,
     .flags = kReadOnly | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "sorted-set", .since = "2.8.9",
     .complexity = "O(log(N)+M) for M members returned of N.",
     .summary = "Returns the members between two members, the last one first, if all have the same score.",
     .syntax = "key max min [LIMIT offset count]"},
    {.name = "zrevrangebyscore", .handler = zrevrangebyscore, .arity = -4,
     .flags = kReadOnly | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "sorted-set", .since = "2.2.0",
     .complexity = "O(log(N)+M) for M members returned of N.",
     .summary = "Returns the members with scores in a range, from the highest score to the lowest.",
     .syntax = "key max min [WITHSCORES] [LIMIT offset count]"},
};
// clang-format on

}  // namespace

std::span<const Row> sorted_set_range_commands() { return kRows; }

}  // namespace pinfold::command
