// Sets: members under one key. types/set.hpp has their structure; set_algebra_commands.cpp has what is made of several sets.

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/random.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/command/argument_texts.hpp"
#include "pinfold/command/collection_reply.hpp"
#include "pinfold/command/collection_scan.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/keyspace_events.hpp"
#include "pinfold/command/many_arguments.hpp"
#include "pinfold/command/many_elements.hpp"
#include "pinfold/command/random_items.hpp"
#include "pinfold/command/set_replies.hpp"
#include "pinfold/command/thresholds.hpp"
#include "pinfold/store/budget.hpp"

namespace pinfold::command {
namespace {

using store::PackedElement;
using types::Set;
using types::SetEdit;

BlockHeap& heap_of(Call& call) { return call.engine.keyspace.memory().heap(); }

// --- adding and removing ---

Outcome reply_count(Call& call, std::uint64_t count) { return call.reply.integer(static_cast<std::int64_t>(count)); }

Outcome add_all(Call& call) {
  store::Database db = call.db();
  const types::Thresholds limits = thresholds(call.engine);
  SetEdit set(db, call.key(), heap_of(call), limits);
  std::uint64_t added = 0;
  const store::Stored stored = set.add(ArgumentTexts(call, 2), added);
  return stored ? reply_count(call, added) : call.refused(stored);
}

store::Stored add_some(Call& call, const ElementSlice& slice, std::uint64_t& counted) {
  store::Database db = call.db();
  const types::Thresholds limits = thresholds(call.engine);
  SetEdit set(db, call.key(), heap_of(call), limits, &slice.draft);
  return set.add(ArgumentTexts(call, slice), counted);
}

Outcome remove_all(Call& call) {
  store::Database db = call.db();
  const types::Thresholds limits = thresholds(call.engine);
  SetEdit set(db, call.key(), heap_of(call), limits);
  std::uint64_t removed = 0;
  const store::Stored stored = set.remove(ArgumentTexts(call, 2), removed);
  return stored ? reply_count(call, removed) : call.refused(stored);
}

store::Stored remove_some(Call& call, const ElementSlice& slice, std::uint64_t& counted) {
  store::Database db = call.db();
  const types::Thresholds limits = thresholds(call.engine);
  SetEdit set(db, call.key(), heap_of(call), limits, &slice.draft);
  return set.remove(ArgumentTexts(call, slice), counted);
}

constexpr ElementsWrite kAdd{store::Type::set, 1, 0, most_written_at_once, add_all, nullptr, add_some, reply_count};
constexpr ElementsWrite kRemove{store::Type::set, 1, 0, most_written_at_once, remove_all, nullptr, remove_some, reply_count};

Outcome sadd(Call& call) { return write_elements(call, kAdd, 2); }
Outcome srem(Call& call) { return write_elements(call, kRemove, 2); }

// Room for the member is asked for before anything is changed. If the system then refuses memory all the same, the member goes back.
Outcome smove(Call& call) {
  constexpr std::size_t member_at = 3;
  const types::Thresholds limits = thresholds(call.engine);
  const store::Key& from = call.key(0);
  const store::Key& to = call.key(1);
  const ArgumentTexts member(call, member_at);
  store::Database db = call.db();
  SetEdit source(db, from, heap_of(call), limits);
  if (!source.exists()) return call.reply.integer(0);
  SetEdit target(db, to, heap_of(call), limits);
  const bool there = source.set().contains(PackedElement(call.args[member_at]));
  if (!there || from.text == to.text) return call.reply.integer(there ? 1 : 0);
  // The target takes its memory first, so that the member is not lost if there is none.
  if (const store::Stored refused = target.prepare(member); !refused) return call.refused(refused);
  std::uint64_t moved = 0;
  note_written_as(Event::srem);
  if (const store::Stored refused = source.remove(member, moved); !refused) {
    target.take_back(member);
    return call.refused(refused);
  }
  note_written_as(Event::sadd);
  const store::Stored stored = target.prepared() ? target.finish() : SetEdit(db, to, heap_of(call), limits).add(member, moved);
  if (stored) return call.reply.integer(1);
  std::ignore = SetEdit(db, from, heap_of(call), limits).add(member, moved);
  return call.refused(stored);
}

// --- reading ---

Outcome sismember(Call& call) {
  const auto set = find_set(call, call.key());
  return call.reply.integer(set && set->contains(PackedElement(call.args[2])) ? 1 : 0);
}

// SMISMEMBER of many members. Has a copy of a small set.
class ManyMembersTask final : public ManyArgumentsTask {
 public:
  ManyMembersTask(Call& call, const Set& set) : ManyArgumentsTask(call, set.bytes().size()) {
    if (!kept()) return;
    if (set.layout() == Set::Layout::tree) {
      pin_ = set.collection().pin(call.engine.keyspace.memory().leftovers());
      set_.emplace(store::Form::tree_small, std::string_view(), &store::Collection::of(pin_.get()));
    } else {
      bytes_ = set.bytes();
      const bool numbers = set.layout() == Set::Layout::numbers;
      set_.emplace(numbers ? store::Form::packed_numbers : store::Form::packed_small, bytes_, nullptr);
    }
  }

  std::uint64_t pinned() const override { return store::memory_of_pin(pin_); }
  std::uint64_t loose() const override { return store::loose_memory_of_pin(pin_); }

 private:
  void answer(Call& call, std::string_view member) override { call.reply.integer(set_->contains(PackedElement(member)) ? 1 : 0); }

  std::string bytes_;
  store::OwnedHandle pin_;
  std::optional<Set> set_;
};

Outcome smismember(Call& call) {
  const auto set = find_set(call, call.key());
  if (set && !call.in_transaction && call.args.size() > most_locked_items) {
    return ManyArgumentsTask::begin(call, std::make_unique<ManyMembersTask>(call, *set));
  }
  call.reply.array(call.args.size() - 2);
  for (const std::string_view member : call.args.subspan(2)) call.reply.integer(set && set->contains(PackedElement(member)) ? 1 : 0);
  return Outcome::done;
}

Outcome scard(Call& call) {
  const auto set = find_set(call, call.key());
  return call.reply.integer(set ? static_cast<std::int64_t>(set->size()) : 0);
}

Outcome smembers(Call& call) {
  const auto set = find_set(call, call.key());
  if (!set) return call.reply.set(0);
  return reply_members(call, *set);
}

std::uint64_t write_scanned(resp::Reply& reply, const char* item, bool /*no_values*/) {
  write_member(reply, item);
  return 1;
}

Outcome sscan(Call& call) {
  const auto cursor = parse_cursor(call.args[2]);
  if (!cursor) return call.reply.error("ERR invalid cursor");
  const auto set = find_set(call, call.key());
  if (!set) return reply_empty_scan(call);
  auto scan = take_collection_scan(call, *cursor, false);
  if (!scan) return Outcome::done;
  if (set->layout() == Set::Layout::tree) return reply_scan(call, std::move(*scan), set->tree(), write_scanned);
  std::string numbers;
  if (set->layout() == Set::Layout::numbers) numbers = run_of(set->numbers());
  const std::string_view run = numbers.empty() ? set->bytes() : std::string_view(numbers);
  return reply_scan(call, std::move(*scan), ScannedItems{store::TreeKind::set, run.substr(types::Run::header)}, write_scanned);
}

// --- at random ---

Outcome srandmember_many(Call& call) {
  const auto count = parse_i64(call.args[2]);
  if (!count) return call.not_an_integer();
  if (*count == INT64_MIN) {
    return call.reply.error("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
  }
  const auto set = find_set(call, call.key());
  if (!set || *count == 0) return call.reply.array(0);
  RandomPicks picks = picks_of(*count);
  picks.write = write_member;
  switch (set->layout()) {
    case Set::Layout::tree:
      return reply_random_items(call, set->collection(), picks);
    case Set::Layout::run:
      return reply_random_items(call, set->run(), picks);
    default: {
      const std::string run = run_of(set->numbers());
      return reply_random_items(call, types::Run(store::TreeKind::set, run), picks);
    }
  }
}

Outcome srandmember(Call& call) {
  if (call.args.size() > 3) return call.syntax_error();
  if (call.args.size() == 3) return srandmember_many(call);
  const auto set = find_set(call, call.key());
  if (!set) return call.reply.null();
  return reply_member(call.reply, set->at(random_below(set->size())));
}

// --- SPOP ---

// Takes back what was replied, and replies why.
Outcome refuse_pop(Call& call, std::size_t mark, store::Stored why) {
  call.reply.output().truncate(mark);
  return call.refused(why);
}

Outcome pop_one(Call& call, SetEdit& edit) {
  const Set set = edit.set();
  const auto position = static_cast<std::uint32_t>(random_below(set.size()));
  const std::size_t mark = call.reply.output().mark();
  store::Stored stored = store::Stored::no_memory;
  if (set.layout() != Set::Layout::tree) {
    reply_member(call.reply, set.at(position));
    stored = edit.remove_at({&position, 1});
  } else {
    bool popped = false;
    stored = edit.remove_in_tree([&](store::Tree& items) {
      const store::Tree::Path place = items.at(position);
      write_member(call.reply, place.item());
      return popped = items.erase(place);
    });
    if (!popped) stored = store::Stored::no_memory;
  }
  return stored ? Outcome::done : refuse_pop(call, mark, stored);
}

// Pops from a small set: chooses positions in one pass.
Outcome pop_packed(Call& call, SetEdit& edit, std::uint64_t count) {
  const Set set = edit.set();
  std::array<std::uint32_t, types::NumberSet::most> chosen;
  std::size_t wanted = count;
  std::uint32_t position = 0;
  std::uint64_t left = set.size();
  const std::size_t mark = call.reply.output().mark();
  call.reply.set(count);
  set.visit(0, set.size(), [&](const types::Member& member) {
    if (random_below(left--) < wanted) {
      chosen[count - wanted--] = position;
      reply_member(call.reply, member);
    }
    ++position;
    return wanted > 0;
  });
  const store::Stored stored = edit.remove_at({chosen.data(), count});
  return stored ? Outcome::done : refuse_pop(call, mark, stored);
}

// Pops some members of a tree, one by one. If memory is refused in the midst, it pops fewer.
Outcome pop_some(Call& call, SetEdit& edit, std::uint64_t count) {
  resp::Output popped;
  resp::Reply members(popped, call.reply.protocol());
  std::uint64_t done = 0;
  const store::Stored stored = edit.remove_in_tree([&](store::Tree& items) {
    for (; done < count; ++done) {
      const std::size_t mark = popped.mark();
      const store::Tree::Path place = items.at(random_below(items.size()));
      write_member(members, place.item());
      if (items.erase(place)) continue;
      popped.truncate(mark);
      break;
    }
    return done > 0;
  });
  if (!stored || done == 0) return call.refused(stored ? store::Stored::no_memory : stored);
  call.reply.set(done);
  call.reply.output().move_from(popped);
  return Outcome::done;
}

// The members that a SPOP has cut out of a set, as one or two trees.
class PoppedTask : public Task {
 public:
  PoppedTask(std::vector<store::KeptTree> popped, std::uint64_t count) : popped_(std::move(popped)), count_(count) {}

  Outcome step(Call& call) override {
    const std::int64_t end = monotonic_us() + step_us;
    if (!std::exchange(replying, true)) call.reply.set(count_);
    const std::size_t full = call.reply.output().size() + reply_piece;
    while (next_ < popped_.size() && monotonic_us() < end && call.reply.output().size() < full) {
      store::KeptTree& tree = popped_[next_];
      if (position_ < tree->size()) {
        constexpr std::uint64_t some = 512;
        store::Tree::Path path = tree->at(position_);
        position_ += tree->visit(path, some, [&](const char* item) {
          write_member(call.reply, item);
          return call.reply.output().size() < full;
        });
      } else if (store::Budget budget; tree.release(budget)) {
        ++next_;
        position_ = 0;
      }
    }
    return next_ < popped_.size() ? Outcome::waits : Outcome::done;
  }

  std::uint64_t pinned() const override {
    std::uint64_t bytes = 0;
    for (const store::KeptTree& tree : popped_) bytes += tree.memory();  // one or two
    return bytes;
  }

 private:
  std::vector<store::KeptTree> popped_;
  const std::uint64_t count_;
  std::size_t next_ = 0;  // of popped_
  std::uint64_t position_ = 0;
};

// Pops many members of a tree: cuts a range of neighbours out of it, from a place chosen at random. Each member is popped with the same
// probability, but neighbours are popped together. Their order is that of their keyed hashes, so nobody can tell which are.
Outcome pop_range(Call& call, SetEdit& edit, std::uint64_t count) {
  std::vector<store::KeptTree> popped;
  popped.reserve(2);
  std::uint64_t done = 0;
  const store::Stored stored = edit.remove_in_tree([&](store::Tree& items) {
    // Returns whether there was memory for it.
    const auto cut = [&](std::uint64_t from, std::uint64_t to) {
      if (from == to) return true;
      auto range = items.cut(from, to);
      if (!range) return false;
      done += to - from;
      popped.push_back(keep_tree(call, std::move(*range)));
      return true;
    };
    const std::uint64_t size = items.size();
    const std::uint64_t from = random_below(size);
    const std::uint64_t beyond = from + count > size ? from + count - size : 0;  // it goes on at the beginning
    return cut(from, from + count - beyond) && (cut(0, beyond) || done > 0);
  });
  if (!stored || done == 0) return call.refused(stored ? store::Stored::no_memory : stored);
  auto task = std::make_unique<PoppedTask>(std::move(popped), done);
  return call.in_transaction ? call.run_whole(*task) : call.begin(std::move(task));
}

// All that is there: the key goes, and the members are replied from a snapshot.
Outcome pop_all(Call& call, const Set& set) {
  store::Database db = call.db();
  if (set.layout() != Set::Layout::tree) {
    const Outcome replied = reply_members(call, set);
    db.remove_emptied(call.key());
    return replied;
  }
  if (set.size() > most_locked_items_of(call) && refuse_many_inside_exec(call, set.size())) return Outcome::done;
  store::Tree snapshot = set.tree().share();
  const std::uint64_t size = snapshot.size();
  db.remove_emptied(call.key());
  const ItemsReply all{.count = size, .header = ItemsReply::Header::set, .headed = size, .write = write_member};
  return reply_items(call, std::move(snapshot), all);
}

Outcome spop_many(Call& call) {
  const auto count = parse_i64(call.args[2]);
  if (!count || *count < 0) return call.reply.error("ERR value is out of range, must be positive");
  store::Database db = call.db();
  const types::Thresholds limits = thresholds(call.engine);
  SetEdit edit(db, call.key(), heap_of(call), limits);
  if (!edit.exists() || *count == 0) return call.reply.set(0);
  const Set set = edit.set();
  const auto wanted = static_cast<std::uint64_t>(*count);
  if (wanted >= set.size()) return pop_all(call, set);
  if (set.layout() != Set::Layout::tree) return pop_packed(call, edit, wanted);
  constexpr std::uint64_t some = 64;
  if (wanted <= some) return pop_some(call, edit, wanted);
  if (wanted > most_locked_items_of(call) && refuse_many_inside_exec(call, wanted)) return Outcome::done;
  return pop_range(call, edit, wanted);
}

Outcome spop(Call& call) {
  if (call.args.size() > 3) return call.syntax_error();
  if (call.args.size() == 3) return spop_many(call);
  store::Database db = call.db();
  const types::Thresholds limits = thresholds(call.engine);
  SetEdit edit(db, call.key(), heap_of(call), limits);
  return edit.exists() ? pop_one(call, edit) : call.reply.null();
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "sadd", .handler = sadd, .arity = -3,
     .flags = kWrite | kDenyOom | kFast, .categories = kSet,
     .keys = {KeySpec::one(KeyUse::insert)},
     .events = {.written = Event::sadd},
     .group = "set", .since = "1.0.0",
     .complexity = "O(N) for N members to add.",
     .summary = "Adds members to a set.",
     .syntax = "key member [member ...]"},
    {.name = "scard", .handler = scard, .arity = 2,
     .flags = kReadOnly | kFast, .categories = kSet,
     .keys = {KeySpec::one(KeyUse::peek)},
     .group = "set", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Counts the members of a set.",
     .syntax = "key"},
    {.name = "sismember", .handler = sismember, .arity = 3,
     .flags = kReadOnly | kFast, .categories = kSet,
     .keys = {KeySpec::one(KeyUse::peek)},
     .group = "set", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Tells whether a set has a member.",
     .syntax = "key member"},
    {.name = "smembers", .handler = smembers, .arity = 2,
     .flags = kReadOnly | kBeyondNamed, .categories = kSet,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "set", .since = "1.0.0",
     .complexity = "O(N) for N members; other clients are served meanwhile.",
     .summary = "Lists the members of a set, as they are at one moment.",
     .syntax = "key"},
    {.name = "smismember", .handler = smismember, .arity = -3,
     .flags = kReadOnly | kFast, .categories = kSet,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "set", .since = "6.2.0",
     .complexity = "O(N) for N members to look for.",
     .summary = "Tells of each of several members whether a set has it.",
     .syntax = "key member [member ...]"},
    {.name = "smove", .handler = smove, .arity = 4,
     .flags = kWrite | kDenyOom | kFast, .categories = kSet,
     .keys = {KeySpec::one(KeyUse::take, 1), KeySpec::one(KeyUse::insert, 2)},
     .events = {.written = Event::sadd},
     .group = "set", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Moves a member from one set to another.",
     .syntax = "source destination member"},
    {.name = "spop", .handler = spop, .arity = -2,
     .flags = kWrite | kFast | kBeyondNamed, .categories = kSet,
     .keys = {KeySpec::one(KeyUse::take)},
     .events = {.written = Event::spop},
     .group = "set", .since = "1.0.0",
     .complexity = "O(N) for N members to return, of which many are taken in O(1).",
     .summary = "Removes members of a set that are picked at random, and returns them.",
     .syntax = "key [count]"},
    {.name = "srandmember", .handler = srandmember, .arity = -2,
     .flags = kReadOnly | kBeyondNamed, .categories = kSet,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "set", .since = "1.0.0",
     .complexity = "O(N) for N members to return.",
     .summary = "Picks members of a set at random; with a negative count, members may be picked more than once.",
     .syntax = "key [count]"},
    {.name = "srem", .handler = srem, .arity = -3,
     .flags = kWrite | kFast, .categories = kSet,
     .keys = {KeySpec::one(KeyUse::shrink)},
     .events = {.written = Event::srem},
     .group = "set", .since = "1.0.0",
     .complexity = "O(N) for N members to remove.",
     .summary = "Removes members of a set, and the key with the last of them.",
     .syntax = "key member [member ...]"},
    {.name = "sscan", .handler = sscan, .arity = -3,
     .flags = kReadOnly | kBeyondNamed, .categories = kSet,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "set", .since = "2.8.0",
     .complexity = "O(COUNT) per call, of 10 000 members and 1 MB at most; O(N) to go through N members.",
     .summary = "Goes through the members of a set, some at each call.",
     .syntax = "key cursor [MATCH pattern] [COUNT count]"},
};
// clang-format on

}  // namespace

std::span<const Row> set_commands() { return kRows; }

}  // namespace pinfold::command
