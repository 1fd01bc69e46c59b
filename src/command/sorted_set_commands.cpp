// Sorted sets: members with scores. Ranges are in sorted_set_range_commands.cpp, unions and the like in sorted_set_algebra_commands.cpp.

#include <algorithm>
#include <array>
#include <compare>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pinfold/base/random.hpp"
#include "pinfold/base/real_text.hpp"
#include "pinfold/command/collection_reply.hpp"
#include "pinfold/command/collection_scan.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/gathered_list.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/keyspace_events.hpp"
#include "pinfold/command/many_elements.hpp"
#include "pinfold/command/random_items.hpp"
#include "pinfold/command/sorted_set_family.hpp"
#include "pinfold/command/thresholds.hpp"

namespace pinfold::command {
namespace {

// --- ZADD and ZINCRBY ---

struct AddOptions {
  types::AddRules rules;
  bool count_changed = false;  // CH
  std::size_t first = 2;       // the argument behind the options
};

// As in Redis, the options end at the first word that is none.
AddOptions take_add_options(Args args) {
  AddOptions options;
  Cursor cursor(args, 2);
  while (!cursor.done()) {
    if (cursor.take("NX")) {
      options.rules.only_new = true;
    } else if (cursor.take("XX")) {
      options.rules.only_existing = true;
    } else if (cursor.take("GT")) {
      options.rules.only_higher = true;
    } else if (cursor.take("LT")) {
      options.rules.only_lower = true;
    } else if (cursor.take("CH")) {
      options.count_changed = true;
    } else if (cursor.take("INCR")) {
      options.rules.increment = true;
    } else {
      break;
    }
  }
  options.first = cursor.position();
  return options;
}

// What is wrong with the options; empty if nothing is.
std::string_view fault_of(const AddOptions& options, std::size_t words_behind) {
  const types::AddRules& rules = options.rules;
  if (words_behind == 0 || words_behind % 2 != 0) return "ERR syntax error";
  if (rules.only_new && rules.only_existing) return "ERR XX and NX options at the same time are not compatible";
  if ((rules.only_higher && rules.only_new) || (rules.only_lower && rules.only_new) || (rules.only_higher && rules.only_lower)) {
    return "ERR GT, LT, and/or NX options at the same time are not compatible";
  }
  if (rules.increment && words_behind > 2) return "ERR INCR option supports a single increment-element pair";
  return {};
}

// The pairs of score and member that a request adds. A few of them take no memory.
class Additions {
 public:
  explicit Additions(std::size_t count) {
    if (count > few_.size()) many_.resize(count);
    all_ = count > few_.size() ? std::span(many_) : std::span(few_).first(count);
  }
  // Reads the pairs from an argument on. Returns false if a score is none.
  bool read(Call& call, std::size_t first) {
    for (std::size_t i = 0; i < all_.size(); ++i) {
      const std::size_t at = first + 2 * i;
      const auto score = parse_score(call.args[at]);
      if (!score) return false;
      all_[i].score = *score;
      all_[i].member = call.args[at + 1];
      if (call.large != nullptr) all_[i].block = call.take_blob(at + 1);
    }
    return true;
  }
  std::span<types::Addition> all() { return all_; }

 private:
  std::array<types::Addition, 8> few_;
  std::vector<types::Addition> many_;
  std::span<types::Addition> all_;
};

std::uint64_t count_of(const types::Added& added, const AddOptions& options) {
  return added.added + (options.count_changed ? added.changed : 0);
}

Outcome reply_count(Call& call, std::uint64_t count) { return call.reply.integer(static_cast<std::int64_t>(count)); }

Outcome add_members(Call& call, const AddOptions& options) {
  Additions additions((call.args.size() - options.first) / 2);
  if (!additions.read(call, options.first)) return call.reply.error(bad_score);
  store::Database db = call.db();
  types::Edit edit(db, call.key(), store::Type::zset);
  if (options.rules.increment) note_written_as(Event::zincr);
  types::Added added;
  const store::Stored stored =
      types::add(edit, call.engine.keyspace.memory().heap(), thresholds(call.engine), additions.all(), options.rules, added);
  if (!stored) return call.refused(stored);
  if (added.not_a_number) return call.reply.error("ERR resulting score is not a number (NaN)");
  if (options.rules.increment) return added.score ? call.reply.real(*added.score) : call.reply.null();
  return reply_count(call, count_of(added, options));
}

Outcome add_all(Call& call) { return add_members(call, take_add_options(call.args)); }

bool check_scores(Call& call, std::size_t first, std::size_t count) {
  for (std::size_t at = first; at < first + count; at += 2) {
    if (!parse_score(call.args[at])) return call.reply.error(bad_score), false;
  }
  return true;
}

store::Stored add_some(Call& call, const ElementSlice& slice, std::uint64_t& counted) {
  const AddOptions options = take_add_options(call.args);
  Additions additions(slice.count / 2);
  additions.read(call, slice.first);  // the scores have been checked
  store::Database db = call.db();
  types::Edit edit(db, call.key(), store::Type::zset, &slice.draft);
  types::Added added;
  const store::Stored stored =
      types::add(edit, call.engine.keyspace.memory().heap(), thresholds(call.engine), additions.all(), options.rules, added);
  counted = count_of(added, options);
  return stored;
}

constexpr ElementsWrite kAdd{store::Type::zset, 2, 1, most_written_at_once, add_all, check_scores, add_some, reply_count};

Outcome zadd(Call& call) {
  const AddOptions options = take_add_options(call.args);
  if (const std::string_view fault = fault_of(options, call.args.size() - options.first); !fault.empty()) return call.reply.error(fault);
  return write_elements(call, kAdd, options.first);
}

Outcome zincrby(Call& call) {
  AddOptions options;
  options.rules.increment = true;
  return add_members(call, options);
}

// --- one member, and few ---

Outcome remove_all(Call& call) {
  store::Database db = call.db();
  types::Edit edit(db, call.key(), store::Type::zset);
  std::uint64_t removed = 0;
  const store::Stored stored = types::remove(edit, call.args.subspan(2), removed);
  return stored ? reply_count(call, removed) : call.refused(stored);
}

store::Stored remove_some(Call& call, const ElementSlice& slice, std::uint64_t& counted) {
  store::Database db = call.db();
  types::Edit edit(db, call.key(), store::Type::zset, &slice.draft);
  return types::remove(edit, call.args.subspan(slice.first, slice.count), counted);
}

constexpr ElementsWrite kRemove{store::Type::zset, 1, 0, most_written_at_once, remove_all, nullptr, remove_some, reply_count};

Outcome zrem(Call& call) { return write_elements(call, kRemove, 2); }

Outcome zcard(Call& call) { return call.reply.integer(static_cast<std::int64_t>(read_sorted_set(call, call.key()).size())); }

resp::Written reply_score(Call& call, std::optional<double> score) { return score ? call.reply.real(*score) : call.reply.null(); }

Outcome zscore(Call& call) { return reply_score(call, read_sorted_set(call, call.key()).score(call.args[2])); }

void write_score(resp::Reply& reply, std::optional<double> score) {
  if (score) {
    reply.real(*score);
  } else {
    reply.null();
  }
}

Outcome zmscore(Call& call) { return reply_scores(call, write_score); }

Outcome reply_rank(Call& call, bool from_highest) {
  if (call.args.size() > 4) return call.reply.error(wrong_arity(call.row));
  const bool with_score = call.args.size() == 4;
  if (with_score && !Cursor(call.args, 3).take("WITHSCORE")) return call.syntax_error();
  const types::SortedSet set = read_sorted_set(call, call.key());
  const auto place = set.place(call.args[2]);
  if (!place) return with_score ? call.reply.null_array() : call.reply.null();
  const auto rank = static_cast<std::int64_t>(from_highest ? set.size() - 1 - place->rank : place->rank);
  if (!with_score) return call.reply.integer(rank);
  call.reply.array(2);
  call.reply.integer(rank);
  return call.reply.real(place->score);
}

Outcome zrank(Call& call) { return reply_rank(call, false); }
Outcome zrevrank(Call& call) { return reply_rank(call, true); }

// --- ZPOPMIN, ZPOPMAX, ZMPOP ---

Outcome pop_from_end(Call& call, bool highest) {
  if (call.args.size() > 3) return call.syntax_error();
  const bool counted = call.args.size() == 3;
  std::int64_t count = 1;
  if (counted) {
    const auto given = parse_i64(call.args[2]);
    if (!given || *given < 0) return call.reply.error("ERR value is out of range, must be positive");
    count = *given;
  }
  if (count == 0) {
    read_sorted_set(call, call.key());  // for the error if it is of another type
    return call.reply.array(0);
  }
  ScoredPop pop{.highest = highest, .count = static_cast<std::uint64_t>(count)};
  if (counted) pop.how = scored_reply(call, true);
  const auto popped = pop_scored(call, call.key(), pop);
  return popped ? *popped : call.reply.array(0);
}

Outcome zpopmin(Call& call) { return pop_from_end(call, false); }
Outcome zpopmax(Call& call) { return pop_from_end(call, true); }

Outcome zmpop(Call& call) {
  const auto pop = parse_scored_pop(call, 2 + call.keys.size());
  if (!pop) return Outcome::done;
  for (const store::Key& key : call.keys) {
    if (const auto popped = pop_scored(call, key, *pop)) return *popped;
  }
  return call.reply.null_array();
}

// --- ZRANDMEMBER ---

Outcome reply_random(Call& call, const types::SortedSet& set, std::int64_t count, ScoredReply how) {
  if (set.size() == 0) return call.reply.array(0);
  RandomPicks picks = picks_of(count);
  picks.words = how == ScoredReply::flat ? 2 : 1;
  picks.write = scored_writer(how);
  return set.packed() ? reply_random_items(call, set.run(), picks) : reply_random_items(call, set.collection(), picks);
}

Outcome zrandmember(Call& call) {
  const std::size_t words = call.args.size();
  if (words == 2) {
    const types::SortedSet set = read_sorted_set(call, call.key());
    if (set.size() == 0) return call.reply.null();
    return reply_element(call.reply, set.at(random_below(set.size())).member());
  }
  const auto count = parse_i64(call.args[2]);
  if (!count) return call.not_an_integer();
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  if (*count < -most) return call.reply.error("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
  const bool with_scores = words > 3;
  if (words > 4 || (with_scores && !Cursor(call.args, 3).take("WITHSCORES"))) return call.syntax_error();
  if (with_scores && (*count < -most / 2 || *count > most / 2)) return call.reply.error("ERR value is out of range");
  return reply_random(call, read_sorted_set(call, call.key()), *count, scored_reply(call, with_scores));
}

// --- ZSCAN ---
//
// A packed set is replied as a whole. A scan of a large one must return each member that is there from its start to its end, also if its
// score changes meanwhile, so it cannot go by the order of scores. It goes by the hashes of members: the cursor is a hash, and a call
// returns the members with hashes from the cursor up to and without the next one, which depends on nothing but the member.
//
// The index tells which scores members with these hashes have, in order of hashes, but not the members. So a call takes a leaf of the
// index, and looks through the members with these scores. If many members have one score, that is much work for few: then a call goes once
// through all members, and returns as many of them as COUNT says, but a 32nd at least. So a scan looks at each member 32 times at most,
// whatever the scores are, and never holds a lock while it does: it works on a snapshot.

constexpr unsigned index_hash_bits = 32;
// How often a scan goes through all members at most.
constexpr unsigned passes = 32;

std::uint64_t index_key(std::uint64_t hash) { return hash >> (store::element_hash_bits - index_hash_bits); }

class ScanMembers : public Task {
 public:
  ScanMembers(Call& call, const types::SortedSet& set, CollectionScan scan)
      : kept_(set, call.engine.keyspace.memory()), set_(kept_.set().collection()), scan_(std::move(scan)), found_(call) {}

  Outcome step(Call& call) override {
    const std::int64_t end = monotonic_us() + step_us;
    while (!replying) {
      const Progress progress = passing_ ? pass(call) : take_leaf(call);
      if (progress == Progress::failed) return Outcome::done;
      if (progress == Progress::done) break;
      if (!call.in_transaction && monotonic_us() >= end) return Outcome::waits;
    }
    return send(call);
  }
  std::uint64_t pinned() const override { return store::memory_of_pin(kept_.pin()); }
  std::uint64_t loose() const override { return store::loose_memory_of_pin(kept_.pin()); }

 private:
  enum class Progress : std::uint8_t { more, done, failed };
  struct Pair {
    double score;
    std::uint32_t key;
    bool operator==(const Pair&) const = default;
    auto operator<=>(const Pair&) const = default;
  };
  static constexpr std::uint64_t most_returned = 10'000;

  // The members of the next leaf of the index.
  Progress take_leaf(Call& call) {
    std::uint64_t next = 0;
    read_leaf(next);
    const std::uint64_t cost = cost_of_pairs();
    // What a call may look at for each member that it returns, but for few.
    constexpr std::uint64_t cheap = 2048;
    const bool costly = cost > passes * pairs_.size() + cheap;
    if (costly && 2 * looked_at_ >= std::min(scan_.count, most_returned)) return Progress::done;
    if (call.in_transaction && cost + pairs_.size() > most_locked_items_of(call)) {
      if (found_.count() > 0) return Progress::done;
      refuse_many_inside_exec(call, costly ? set_.size() : cost + pairs_.size());
      return Progress::failed;
    }
    if (costly) return begin_pass();
    if (!take_members_of_pairs(call)) return Progress::failed;
    scan_.cursor = next;
    looked_at_ += pairs_.size();
    return next == 0 || looked_at_ >= std::min(scan_.count, most_returned) ? Progress::done : Progress::more;
  }

  void read_leaf(std::uint64_t& next) {
    pairs_.clear();
    store::Tree::Path path = set_.index.from_hash(scan_.cursor << (store::element_hash_bits - index_hash_bits));
    next = set_.index.next_hash(path);
    set_.index.visit(path, set_.index.size(), [&](const char* item) {
      Pair pair{};
      std::memcpy(&pair.key, item, sizeof pair.key);
      std::memcpy(&pair.score, item + sizeof pair.key, sizeof pair.score);
      if (next != 0 && pair.key >= next) return false;
      if (pair.key >= scan_.cursor) pairs_.push_back(pair);
      return true;
    });
    std::ranges::sort(pairs_);
    pairs_.erase(std::unique(pairs_.begin(), pairs_.end()), pairs_.end());
  }

  types::Positions members_with(double score) const {
    return {set_.items.position_of(set_.items.lower_bound(score)), set_.items.position_of(set_.items.lower_bound(score, true))};
  }
  // Where the pairs with the score of the pair at `at` end.
  std::size_t end_of_score(std::size_t at) const {
    std::size_t end = at;
    while (end < pairs_.size() && pairs_[end].score == pairs_[at].score) ++end;
    return end;
  }
  // How many members have the scores of the pairs.
  std::uint64_t cost_of_pairs() const {
    std::uint64_t cost = 0;
    for (std::size_t at = 0; at < pairs_.size(); at = end_of_score(at)) cost += members_with(pairs_[at].score).size();
    return cost;
  }

  bool take_members_of_pairs(Call& call) {
    bool fits = true;
    for (std::size_t at = 0; at < pairs_.size() && fits;) {
      const std::size_t end = end_of_score(at);
      const types::Positions positions = members_with(pairs_[at].score);
      store::Tree::Path path = set_.items.at(positions.first);
      set_.items.visit(path, positions.size(), [&](const char* item) {
        const std::uint64_t key = index_key(store::ScoredItem(item).member().hash());
        if (std::binary_search(pairs_.begin() + static_cast<std::ptrdiff_t>(at), pairs_.begin() + static_cast<std::ptrdiff_t>(end),
                               Pair{pairs_[at].score, static_cast<std::uint32_t>(key)})) {
          fits = add(item);
        }
        return fits;
      });
      at = end;
    }
    return fits || refuse(call);
  }

  Progress begin_pass() {
    passing_ = true;
    constexpr std::uint64_t all_hashes = 1ULL << index_hash_bits;
    const std::uint64_t asked = std::min({scan_.count, most_returned, set_.size()});
    const std::uint64_t end = scan_.cursor + std::max(all_hashes / passes, all_hashes * asked / set_.size());
    next_ = end >> index_hash_bits == 0 ? end : 0;
    return Progress::more;
  }

  // Goes on through all members.
  Progress pass(Call& call) {
    constexpr std::uint64_t at_once = 2048;
    bool fits = true;
    store::Tree::Path path = set_.items.at(position_);
    position_ += set_.items.visit(path, at_once, [&](const char* item) {
      const std::uint64_t key = index_key(store::ScoredItem(item).member().hash());
      if (key >= scan_.cursor && (next_ == 0 || key < next_)) fits = add(item);
      return fits;
    });
    if (!fits) return refuse(call), Progress::failed;
    if (position_ < set_.size()) return Progress::more;
    scan_.cursor = next_;
    return Progress::done;
  }

  // Returns false if clients may not take more memory.
  bool add(const char* item) {
    const store::ScoredItem scored(item);
    store::Element::Digits digits;
    const std::string_view text = scored.member().text(digits);
    if (scan_.pattern != nullptr && !scan_.pattern->matches(text)) return true;
    char score[most_real_text];
    const auto size = static_cast<std::size_t>(write_real(score, scored.score()) - score);
    return found_.add(text, scored.member().is_block() ? scored.member().share() : Blob()) && found_.add({score, size});
  }

  bool refuse(Call& call) {
    found_.clear();
    call.reply.error(beyond_clients_memory);
    return false;
  }

  Outcome send(Call& call) {
    if (!std::exchange(replying, true)) {
      call.reply.array(2);
      call.reply.bulk_integer(static_cast<std::int64_t>(scan_.cursor));
      call.reply.array(found_.count());
    }
    for (std::size_t sent = 0; !found_.empty() && (sent < reply_piece || call.in_transaction);) {
      const std::size_t before = call.reply.output().size();
      found_.move_part(call.reply.output());
      sent += call.reply.output().size() - before;
    }
    return found_.empty() ? Outcome::done : Outcome::waits;
  }

  const types::SortedSetSnapshot kept_;
  const store::Collection& set_;
  CollectionScan scan_;
  GatheredList found_;
  std::vector<Pair> pairs_;  // of a leaf of the index, by score and hash
  std::uint64_t looked_at_ = 0;
  bool passing_ = false;  // it goes through all members
  std::uint64_t next_ = 0;
  std::uint64_t position_ = 0;
};

// The elements of a reply.
std::uint64_t write_scanned(resp::Reply& reply, const char* item, bool /*no_values*/) {
  const store::ScoredItem scored(item);
  char score[most_real_text];
  reply_element(reply, scored.member());
  reply.bulk({score, static_cast<std::size_t>(write_real(score, scored.score()) - score)});
  return 2;
}

Outcome zscan(Call& call) {
  const auto start = parse_cursor(call.args[2]);
  if (!start) return call.reply.error("ERR invalid cursor");
  const types::SortedSet set = read_sorted_set(call, call.key());
  if (set.size() == 0) return reply_empty_scan(call);
  auto scan = take_collection_scan(call, *start, false);
  if (!scan) return Outcome::done;
  if (set.packed()) {
    const types::Run& run = set.run();
    return reply_scan(call, std::move(*scan), {store::TreeKind::scored, run.bytes().substr(types::Run::header)}, write_scanned);
  }
  if (*start >> index_hash_bits != 0) scan->cursor = (1ULL << index_hash_bits) - 1;
  auto task = std::make_unique<ScanMembers>(call, set, std::move(*scan));
  return call.in_transaction ? call.run_whole(*task) : call.begin(std::move(task));
}

std::string wrong_pop_keys(const Row& /*row*/, Args args) { return key_count_error(args, 1, "ERR syntax error"); }

// clang-format off
constexpr Row kRows[] = {
    {.name = "zadd", .handler = zadd, .arity = -4,
     .flags = kWrite | kDenyOom | kFast, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::update)},
     .events = {.written = Event::zadd},
     .group = "sorted-set", .since = "1.2.0",
     .complexity = "O(log(N)) for each member added, where N is the number of members.",
     .summary = "Adds members to a sorted set, or changes their scores.",
     .syntax = "key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]"},
    {.name = "zcard", .handler = zcard, .arity = 2,
     .flags = kReadOnly | kFast, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::peek)},
     .group = "sorted-set", .since = "1.2.0",
     .complexity = "O(1)",
     .summary = "Counts the members of a sorted set.",
     .syntax = "key"},
    {.name = "zincrby", .handler = zincrby, .arity = 4,
     .flags = kWrite | kDenyOom | kFast, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::modify)},
     .events = {.written = Event::zincr},
     .group = "sorted-set", .since = "1.2.0",
     .complexity = "O(log(N)) for N members.",
     .summary = "Adds a number to the score of a member, which is added if it is missing.",
     .syntax = "key increment member"},
    {.name = "zmpop", .handler = zmpop, .arity = -4,
     .flags = kWrite | kMovableKeys | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::counted(KeyUse::take, 1, wrong_pop_keys)},
     .events = {.written = Event::zpopmin},
     .group = "sorted-set", .since = "7.0.0",
     .complexity = "O(K + M*log(N)) for K keys and M members that are removed from N.",
     .summary = "Removes the members with the lowest or highest scores from the first of several sorted sets that has any.",
     .syntax = "numkeys key [key ...] <MIN | MAX> [COUNT count]"},
    {.name = "zmscore", .handler = zmscore, .arity = -3,
     .flags = kReadOnly | kFast, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "sorted-set", .since = "6.2.0",
     .complexity = "O(M*log(N)) for M members asked for of N.",
     .summary = "Returns the scores of members.",
     .syntax = "key member [member ...]"},
    {.name = "zpopmax", .handler = zpopmax, .arity = -2,
     .flags = kWrite | kFast | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::take)},
     .events = {.written = Event::zpopmax},
     .group = "sorted-set", .since = "5.0.0",
     .complexity = "O(M*log(N)) for M members that are removed from N.",
     .summary = "Removes the members with the highest scores and returns them.",
     .syntax = "key [count]"},
    {.name = "zpopmin", .handler = zpopmin, .arity = -2,
     .flags = kWrite | kFast | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::take)},
     .events = {.written = Event::zpopmin},
     .group = "sorted-set", .since = "5.0.0",
     .complexity = "O(M*log(N)) for M members that are removed from N.",
     .summary = "Removes the members with the lowest scores and returns them.",
     .syntax = "key [count]"},
    {.name = "zrandmember", .handler = zrandmember, .arity = -2,
     .flags = kReadOnly | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "sorted-set", .since = "6.2.0",
     .complexity = "O(M*log(N)) for M members returned of N.",
     .summary = "Returns random members of a sorted set.",
     .syntax = "key [count [WITHSCORES]]"},
    {.name = "zrank", .handler = zrank, .arity = -3,
     .flags = kReadOnly | kFast, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "sorted-set", .since = "2.0.0",
     .complexity = "O(log(N)) for N members.",
     .summary = "Tells how many members have a lower score than a member.",
     .syntax = "key member [WITHSCORE]"},
    {.name = "zrem", .handler = zrem, .arity = -3,
     .flags = kWrite | kFast, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::shrink)},
     .events = {.written = Event::zrem},
     .group = "sorted-set", .since = "1.2.0",
     .complexity = "O(M*log(N)) for M members to be removed from N.",
     .summary = "Removes members from a sorted set.",
     .syntax = "key member [member ...]"},
    {.name = "zrevrank", .handler = zrevrank, .arity = -3,
     .flags = kReadOnly | kFast, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "sorted-set", .since = "2.0.0",
     .complexity = "O(log(N)) for N members.",
     .summary = "Tells how many members have a higher score than a member.",
     .syntax = "key member [WITHSCORE]"},
    {.name = "zscan", .handler = zscan, .arity = -3,
     .flags = kReadOnly | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "sorted-set", .since = "2.8.0",
     .complexity = "O(M*log(N)) for M members returned of N. O(N) if many members have the same score; then a 32nd of all is returned.",
     .summary = "Returns some members of a sorted set with their scores, and a cursor to go on with.",
     .syntax = "key cursor [MATCH pattern] [COUNT count]"},
    {.name = "zscore", .handler = zscore, .arity = 3,
     .flags = kReadOnly | kFast, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "sorted-set", .since = "1.2.0",
     .complexity = "O(log(N)) for N members.",
     .summary = "Returns the score of a member.",
     .syntax = "key member"},
};
// clang-format on

}  // namespace

std::span<const Row> sorted_set_commands() { return kRows; }

}  // namespace pinfold::command
