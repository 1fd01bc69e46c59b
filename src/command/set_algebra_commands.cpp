// What is made of several sets: SINTER, SUNION, SDIFF, and their forms that store or count.
//
// Small sets are combined at once. Of large ones a snapshot is taken while their keys are locked, which is O(1) for each, and a task
// combines the snapshots piece by piece with nothing locked. So the result is that of one moment. What is to be replied is gone
// through twice, first to count it, and so takes no memory. What is to be stored is made as a set of its own, and takes the place of the
// key's value in the end.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pinfold/base/clock.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/set_replies.hpp"
#include "pinfold/command/thresholds.hpp"
#include "pinfold/store/gradual_room.hpp"
#include "pinfold/types/set_algebra.hpp"

namespace pinfold::command {
namespace {

using store::PackedElement;
using types::Member;
using types::Set;
using types::SetCombination;
using types::SetDraft;
using types::SetOperation;

enum class Wanted : std::uint8_t { members, stored, count };

struct Request {
  SetOperation operation;
  Wanted wanted;
  std::uint64_t limit = UINT64_MAX;  // of the count
};

resp::Written reply_nothing(Call& call, Wanted wanted) { return wanted == Wanted::members ? call.reply.set(0) : call.reply.integer(0); }

// Stores the result under a key, whose shard is locked.
Outcome store_result(Call& call, const store::Key& target, SetDraft& result) {
  store::Database db = call.db();
  const std::uint64_t size = result.size();
  if (size == 0) {
    db.remove(target);
    return call.reply.integer(0);
  }
  const store::Stored stored = result.put(db, target);
  return stored ? call.reply.integer(static_cast<std::int64_t>(size)) : call.refused(stored);
}

// --- at once ---

Outcome reply_at_once(Call& call, SetCombination& combination) {
  resp::Output found;
  resp::Reply members(found, call.reply.protocol());
  std::uint64_t count = 0;
  combination.advance(UINT64_MAX, [&](const Member& member, PackedElement&) {
    reply_member(members, member);
    ++count;
    return true;
  });
  call.reply.set(count);
  call.reply.output().move_from(found);
  return Outcome::done;
}

Outcome store_at_once(Call& call, SetCombination& combination) {
  store::Database db = call.db();
  if (const store::Stored refused = db.has_room(2 * combination.bytes()); !refused) return call.refused(refused);
  SetDraft result(call.engine.keyspace.memory().heap(), thresholds(call.engine));
  bool failed = false;
  combination.advance(UINT64_MAX, [&](const Member&, PackedElement& member) {
    failed = result.add(member) == SetDraft::Added::no_memory;
    return !failed;
  });
  return failed ? call.out_of_memory() : store_result(call, call.key(0), result);
}

Outcome count_at_once(Call& call, SetCombination& combination, std::uint64_t limit) {
  std::uint64_t count = 0;
  combination.advance(UINT64_MAX, [&](const Member&, PackedElement&) { return ++count < limit; });
  return call.reply.integer(static_cast<std::int64_t>(count));
}

Outcome do_at_once(Call& call, const Request& request, SetCombination& combination) {
  switch (request.wanted) {
    case Wanted::members:
      return reply_at_once(call, combination);
    case Wanted::stored:
      return store_at_once(call, combination);
    default:
      return count_at_once(call, combination, request.limit);
  }
}

bool is_short(const Call& call, const SetCombination& combination) {
  const std::uint64_t most = most_locked_items_of(call);
  return combination.visits() <= most && combination.look_ups() <= most && combination.bytes() <= most_read_bytes_of(call);
}

// --- in pieces ---

// A set as it was when the command began. Stays where it is.
struct KeptSet {
  KeptSet(Call& call, const Set& set)
      : form(set.layout() == Set::Layout::numbers ? store::Form::packed_numbers : store::Form::packed_small),
        bytes(set.bytes()),
        pin(set.layout() == Set::Layout::tree ? set.collection().pin(call.engine.keyspace.memory().leftovers()) : store::OwnedHandle()) {}
  Set view() const { return {form, bytes, pin ? &store::Collection::of(pin.get()) : nullptr}; }

  store::Form form;
  std::string bytes;
  store::OwnedHandle pin;
};

class CombineTask : public Task {
 public:
  CombineTask(Call& call, const Request& request, const std::vector<Set>& sets)
      : request_(request), memory_(call.engine, call.session.shared), room_(call.engine.keyspace) {
    std::uint64_t bytes = sizeof(CombineTask) + (stores() ? call.key(0).text.size() : 0);
    for (const Set& set : sets) bytes += sizeof(KeptSet) + sizeof(Set) + set.bytes().size();
    kept_ = memory_.ask(bytes);
    if (!kept_) return;
    if (stores()) target_ = call.key(0).text;
    for (const Set& set : sets) {
      sets_.emplace_back(call, set);
      pinned_ += store::memory_of_pin(sets_.back().pin);
    }
  }

  Outcome step(Call& call) override {
    if (!kept_) return call.reply.error(beyond_clients_memory);
    const std::int64_t end = monotonic_us() + step_us;
    if (stage_ == Stage::beginning && !begin(call)) return call.out_of_memory();
    while (stage_ != Stage::releasing) {
      const Progress progress = stage_ == Stage::writing ? write(call, end) : (adds_to() ? add(*adds_to(), end) : count(end));
      if (progress == Progress::failed) return call.out_of_memory();
      if (progress == Progress::more) return Outcome::waits;
      const Outcome outcome = end_stage(call);
      if (outcome != Outcome::waits) answered_ = outcome;
      if (monotonic_us() >= end) return Outcome::waits;
    }
    return released(end) ? answered_ : Outcome::waits;
  }

  std::uint64_t pinned() const override { return pinned_ + merged_memory(); }
  std::uint64_t loose() const override {
    std::uint64_t bytes = merged_memory();
    for (const KeptSet& set : sets_) bytes += store::loose_memory_of_pin(set.pin);
    return bytes;
  }

 private:
  enum class Stage : std::uint8_t { beginning, merging, combining, writing, releasing };
  enum class Progress : std::uint8_t { more, done, failed };

  // Members that are visited between two looks at the clock. Each may be looked for in all sets.
  std::uint64_t between_looks() const { return std::clamp<std::uint64_t>(1024 / std::max<std::size_t>(sets_.size(), 1), 1, 128); }

  bool stores() const { return request_.wanted == Wanted::stored; }
  // The set to which members are added at present.
  SetDraft* adds_to() {
    if (stage_ == Stage::merging) return &*merged_;
    return stores() ? &*result_ : nullptr;
  }
  std::uint64_t merged_memory() const { return merged_ ? merged_->collection().memory() : 0; }
  // Of a difference all sets but the first are merged.
  std::size_t first_merged() const { return request_.operation == SetOperation::difference ? 1 : 0; }

  bool begin(Call& call) {
    // If there are more sets, those in which each member would be looked for are merged first.
    constexpr std::size_t few = 8;
    const bool is_union = request_.operation == SetOperation::union_of_all;
    const bool merges = sets_.size() > few && ((is_union && !stores()) || request_.operation == SetOperation::difference);
    if ((merges && !make(call, merged_)) || (stores() && !make(call, result_))) return false;
    if (!merges) {
      combine();
      return true;
    }
    stage_ = Stage::merging;
    combination_.emplace(SetOperation::concatenation, views(first_merged()));
    return true;
  }

  static bool make(Call& call, std::optional<SetDraft>& draft) {
    draft.emplace(call.engine.keyspace.memory().heap(), thresholds(call.engine));
    if (!draft->become_tree()) return false;
    draft->free_in(call.engine.keyspace.memory().leftovers());
    return true;
  }

  std::vector<Set> views(std::size_t first) const {
    std::vector<Set> views;
    for (std::size_t i = first; i < sets_.size(); ++i) views.push_back(sets_[i].view());
    return views;
  }

  void combine() {
    stage_ = Stage::combining;
    std::vector<Set> sets;
    if (!merged_) {
      sets = views(0);
    } else {
      if (first_merged() == 1) sets.push_back(sets_[0].view());
      sets.emplace_back(store::Form::tree_large, std::string_view(), &merged_->collection());
    }
    const bool adds_all = request_.operation == SetOperation::union_of_all && stores();
    combination_.emplace(adds_all ? SetOperation::concatenation : request_.operation, std::move(sets));
  }

  Progress add(SetDraft& draft, std::int64_t end) {
    // More than what one step makes.
    constexpr std::uint64_t for_a_step = 1024 * 1024;
    store::Room room;
    const auto made = room_.make(for_a_step, end);
    if (made == store::GradualRoom::Result::none) return Progress::failed;
    if (made == store::GradualRoom::Result::more || !room_.hand_over(room)) return Progress::more;
    bool failed = false;
    while (combination_->advance(between_looks(), [&](const Member&, PackedElement& member) {
      failed = draft.add(member) == SetDraft::Added::no_memory;
      return !failed;
    })) {
      if (monotonic_us() >= end) return Progress::more;
    }
    return failed ? Progress::failed : Progress::done;
  }

  Progress count(std::int64_t end) {
    while (combination_->advance(between_looks(), [&](const Member&, PackedElement&) { return ++count_ < request_.limit; })) {
      if (monotonic_us() >= end) return Progress::more;
    }
    return Progress::done;
  }

  Progress write(Call& call, std::int64_t end) {
    if (!std::exchange(replying, true)) call.reply.set(count_);
    const std::size_t full = call.reply.output().size() + reply_piece;
    while (combination_->advance(between_looks(), [&](const Member& member, PackedElement&) {
      reply_member(call.reply, member);
      return true;
    })) {
      if (monotonic_us() >= end || call.reply.output().size() >= full) return Progress::more;
    }
    return Progress::done;
  }

  // Returns Outcome::waits until the reply is complete.
  Outcome end_stage(Call& call) {
    if (stage_ == Stage::merging) {
      combine();
      return Outcome::waits;
    }
    if (stage_ == Stage::combining && request_.wanted == Wanted::members) {
      stage_ = Stage::writing;
      combination_->begin_anew();
      return Outcome::waits;
    }
    const bool written = stage_ == Stage::writing;
    stage_ = Stage::releasing;
    if (written) return Outcome::done;
    if (!stores()) return call.reply.integer(static_cast<std::int64_t>(count_));
    const store::Key target = call.engine.keyspace.key(target_);
    result_->finish();
    call.held.acquire(target);
    call.read_clock();
    const Outcome outcome = store_result(call, target, *result_);
    call.held.release();
    return outcome;
  }

  // Gives up the snapshots.
  bool released(std::int64_t end) {
    while (!sets_.empty()) {
      sets_.pop_front();
      if (monotonic_us() >= end) return sets_.empty();
    }
    return true;
  }

  const Request request_;
  ClientMemory memory_;
  store::GradualRoom room_;
  bool kept_ = false;  // whether there was memory for what follows
  std::string target_;
  std::deque<KeptSet> sets_;
  std::uint64_t pinned_ = 0;  // bytes of the collections among them
  std::optional<SetDraft> merged_;
  std::optional<SetDraft> result_;
  std::optional<SetCombination> combination_;
  Stage stage_ = Stage::beginning;
  std::uint64_t count_ = 0;
  Outcome answered_ = Outcome::done;
};

// --- the commands ---

// `sources`: the keys of the sets, of which an intersection needs all.
Outcome combine(Call& call, const Request& request, std::span<const store::Key> sources) {
  std::vector<Set> sets;
  sets.reserve(sources.size());
  bool empty = false;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const auto set = find_set(call, sources[i]);
    if (set) sets.push_back(*set);
    const bool needed = request.operation == SetOperation::intersection || (request.operation == SetOperation::difference && i == 0);
    empty = empty || (needed && !set);
  }
  if (empty || sets.empty()) {
    if (request.wanted != Wanted::stored) return reply_nothing(call, request.wanted);
    store::Database db = call.db();
    db.remove(call.key(0));
    return call.reply.integer(0);
  }
  SetCombination combination(request.operation, sets);
  if (is_short(call, combination)) return do_at_once(call, request, combination);
  if (refuse_many_inside_exec(call, std::max(combination.visits(), combination.look_ups()))) return Outcome::done;
  return call.begin(std::make_unique<CombineTask>(call, request, sets));
}

Outcome reply_combined(Call& call, SetOperation operation) { return combine(call, {operation, Wanted::members}, call.keys); }
Outcome store_combined(Call& call, SetOperation operation) { return combine(call, {operation, Wanted::stored}, call.keys.subspan(1)); }

Outcome sinter(Call& call) { return reply_combined(call, SetOperation::intersection); }
Outcome sunion(Call& call) { return reply_combined(call, SetOperation::union_of_all); }
Outcome sdiff(Call& call) { return reply_combined(call, SetOperation::difference); }
Outcome sinterstore(Call& call) { return store_combined(call, SetOperation::intersection); }
Outcome sunionstore(Call& call) { return store_combined(call, SetOperation::union_of_all); }
Outcome sdiffstore(Call& call) { return store_combined(call, SetOperation::difference); }

std::string wrong_key_count(const Row& /*row*/, Args args) {
  const auto count = parse_i64(args[1]);
  return !count || *count <= 0 ? "ERR numkeys should be greater than 0" : "ERR Number of keys can't be greater than number of args";
}

Outcome sintercard(Call& call) {
  Request request{SetOperation::intersection, Wanted::count};
  for (Cursor options(call.args, 2 + call.keys.size()); !options.done();) {
    if (!options.take_with_value("LIMIT")) return call.syntax_error();
    const auto limit = options.take_integer();
    if (!limit || *limit < 0) return call.reply.error("ERR LIMIT can't be negative");
    request.limit = *limit == 0 ? UINT64_MAX : static_cast<std::uint64_t>(*limit);
  }
  return combine(call, request, call.keys);
}

constexpr std::uint32_t kStore = kWrite | kDenyOom | kBeyondNamed;

// clang-format off
constexpr Row kRows[] = {
    {.name = "sdiff", .handler = sdiff, .arity = -2,
     .flags = kReadOnly | kBeyondNamed, .categories = kSet,
     .keys = {KeySpec::range(KeyUse::read, 1, -1)},
     .group = "set", .since = "1.0.0",
     .complexity = "O(N) for N members of all sets; other clients are served meanwhile.",
     .summary = "Lists the members of the first set that are in none of the others.",
     .syntax = "key [key ...]"},
    {.name = "sdiffstore", .handler = sdiffstore, .arity = -3,
     .flags = kStore, .categories = kSet,
     .keys = {KeySpec::one(KeyUse::write), KeySpec::range(KeyUse::read, 2, -1)},
     .events = {.written = Event::sdiffstore},
     .group = "set", .since = "1.0.0",
     .complexity = "O(N) for N members of all sets; other clients are served meanwhile.",
     .summary = "Stores the members of the first set that are in none of the others as a set.",
     .syntax = "destination key [key ...]"},
    {.name = "sinter", .handler = sinter, .arity = -2,
     .flags = kReadOnly | kBeyondNamed, .categories = kSet,
     .keys = {KeySpec::range(KeyUse::read, 1, -1)},
     .group = "set", .since = "1.0.0",
     .complexity = "O(N*M) for N members of the smallest set and M sets; other clients are served meanwhile.",
     .summary = "Lists the members that several sets have in common.",
     .syntax = "key [key ...]"},
    {.name = "sintercard", .handler = sintercard, .arity = -3,
     .flags = kReadOnly | kBeyondNamed, .categories = kSet,
     .keys = {KeySpec::counted(KeyUse::read, 1, wrong_key_count)},
     .group = "set", .since = "7.0.0",
     .complexity = "O(N*M) for N members of the smallest set and M sets; other clients are served meanwhile.",
     .summary = "Counts the members that several sets have in common, up to a limit.",
     .syntax = "numkeys key [key ...] [LIMIT limit]"},
    {.name = "sinterstore", .handler = sinterstore, .arity = -3,
     .flags = kStore, .categories = kSet,
     .keys = {KeySpec::one(KeyUse::update), KeySpec::range(KeyUse::read, 2, -1)},
     .events = {.written = Event::sinterstore},
     .group = "set", .since = "1.0.0",
     .complexity = "O(N*M) for N members of the smallest set and M sets; other clients are served meanwhile.",
     .summary = "Stores the members that several sets have in common as a set.",
     .syntax = "destination key [key ...]"},
    {.name = "sunion", .handler = sunion, .arity = -2,
     .flags = kReadOnly | kBeyondNamed, .categories = kSet,
     .keys = {KeySpec::range(KeyUse::read, 1, -1)},
     .group = "set", .since = "1.0.0",
     .complexity = "O(N) for N members of all sets; other clients are served meanwhile.",
     .summary = "Lists the members of several sets.",
     .syntax = "key [key ...]"},
    {.name = "sunionstore", .handler = sunionstore, .arity = -3,
     .flags = kStore, .categories = kSet,
     .keys = {KeySpec::one(KeyUse::write), KeySpec::range(KeyUse::read, 2, -1)},
     .events = {.written = Event::sunionstore},
     .group = "set", .since = "1.0.0",
     .complexity = "O(N) for N members of all sets; other clients are served meanwhile.",
     .summary = "Stores the members of several sets as a set.",
     .syntax = "destination key [key ...]"},
};
// clang-format on

}  // namespace

std::span<const Row> set_algebra_commands() { return kRows; }

}  // namespace pinfold::command
