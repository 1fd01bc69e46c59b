#include "pinfold/command/sorted_set_family.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/keyspace_events.hpp"
#include "pinfold/command/many_arguments.hpp"

namespace pinfold::command {
namespace {

// The number that all of the text is, if it needs no leniency.
std::optional<double> parse_plain(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || std::isnan(value)) return std::nullopt;
  return value;
}

// As strtod() reads it, which takes hexadecimal numbers and a plus sign too. `rest` is what stands behind the number.
double parse_leniently(std::string_view text, std::string_view& rest) {
  const std::string terminated(text);
  char* end = nullptr;
  const double value = std::strtod(terminated.c_str(), &end);
  rest = text.substr(static_cast<std::size_t>(end - terminated.c_str()));
  return value;
}

constexpr std::size_t longest_number = 5 * 1024;

}  // namespace

std::optional<double> parse_score(std::string_view text) {
  if (const auto plain = parse_plain(text)) [[likely]]
    return plain;
  if (text.empty() || text.size() > longest_number || is_space(text[0])) return std::nullopt;
  std::string_view rest;
  errno = 0;
  const double value = parse_leniently(text, rest);
  const bool out_of_range = errno == ERANGE && (std::isinf(value) || value == 0);
  if (!rest.empty() || std::isnan(value) || out_of_range) return std::nullopt;
  return value;
}

std::optional<types::ScoreBound> parse_score_bound(std::string_view text) {
  const bool exclusive = text.starts_with('(');
  if (exclusive) text.remove_prefix(1);
  if (const auto plain = parse_plain(text)) [[likely]]
    return types::ScoreBound{*plain, exclusive};
  if (text.size() > longest_number) return std::nullopt;
  std::string_view rest;
  const double value = parse_leniently(up_to_nul(text), rest);
  if (!rest.empty() || std::isnan(value)) return std::nullopt;
  return types::ScoreBound{value, exclusive};
}

std::optional<types::LexBound> parse_lex_bound(std::string_view text) {
  using Kind = types::LexBound::Kind;
  if (text == "-") return types::LexBound{.kind = Kind::lowest, .exclusive = false, .member = {}};
  if (text == "+") return types::LexBound{.kind = Kind::highest, .exclusive = false, .member = {}};
  if (!text.starts_with('(') && !text.starts_with('[')) return std::nullopt;
  return types::LexBound{.kind = Kind::member, .exclusive = text[0] == '(', .member = text.substr(1)};
}

std::string key_count_error(Args args, std::size_t at, std::string_view too_many) {
  const auto count = parse_i64(args[at]);
  return count && *count > 0 ? std::string(too_many) : "ERR numkeys should be greater than 0";
}

namespace {

class ManyScoresTask final : public ManyArgumentsTask {
 public:
  ManyScoresTask(Call& call, const types::SortedSet& set, ScoreWriter write)
      : ManyArgumentsTask(call, set.packed() ? set.run().bytes().size() : 0),
        kept_set_(set, call.engine.keyspace.memory()),
        write_(write) {}

  std::uint64_t pinned() const override { return store::memory_of_pin(kept_set_.pin()); }
  std::uint64_t loose() const override { return store::loose_memory_of_pin(kept_set_.pin()); }

 private:
  void answer(Call& call, std::string_view member) override { write_(call.reply, kept_set_.set().score(member)); }

  types::SortedSetSnapshot kept_set_;
  const ScoreWriter write_;
};

}  // namespace

Outcome reply_scores(Call& call, ScoreWriter write) {
  const types::SortedSet set = read_sorted_set(call, call.key());
  const Args members = call.args.subspan(2);
  if (members.size() > most_locked_items && !call.in_transaction) {
    return ManyArgumentsTask::begin(call, std::make_unique<ManyScoresTask>(call, set, write));
  }
  call.reply.array(members.size());
  for (const std::string_view member : members) write(call.reply, set.score(member));
  return Outcome::done;
}

ItemWriter scored_writer(ScoredReply how) {
  switch (how) {
    case ScoredReply::flat:
      return [](resp::Reply& reply, const char* item) {
        reply_element(reply, store::ScoredItem(item).member());
        reply.real(store::ScoredItem(item).score());
      };
    case ScoredReply::nested:
      return [](resp::Reply& reply, const char* item) {
        reply.array(2);
        reply_element(reply, store::ScoredItem(item).member());
        reply.real(store::ScoredItem(item).score());
      };
    default:
      return [](resp::Reply& reply, const char* item) { reply_element(reply, store::ScoredItem(item).member()); };
  }
}

ItemsReply scored_items(ScoredReply how, std::uint64_t from, std::uint64_t count, bool reverse) {
  return {.from = from,
          .count = count,
          .reverse = reverse,
          .header = ItemsReply::Header::array,
          .headed = how == ScoredReply::flat ? 2 * count : count,
          .write = scored_writer(how)};
}

Outcome reply_members(Call& call, const types::SortedSet& set, types::Positions positions, bool reverse, ScoredReply how) {
  const std::uint64_t count = positions.size();
  const ItemsReply what = scored_items(how, count == 0 ? 0 : positions.first, count, reverse);
  if (set.packed()) return reply_items(call, set.run(), what);
  return reply_items(call, set.collection(), what);
}

namespace {

void write_pop_header(Call& call, std::string_view key, const ScoredPop& pop, std::uint64_t count) {
  if (!pop.with_key) return;
  // The key, and then an array of pairs; or in one array the key, a member and its score.
  call.reply.array(pop.how == ScoredReply::nested ? 2 : 1 + 2 * count);
  call.reply.bulk(key);
}

// What a hold of the lock pays. Each member is visited in the debt and in the index.
constexpr std::uint64_t paid_at_once = 192;

// Pays the debt of a set, and then replies. If somebody has overwritten or removed the set meanwhile, there is nothing to pay.
class PayingTask : public Task {
 public:
  PayingTask(const Call& call, const store::Key& key) : key_(key.text), db_(call.session.db) { irrevocable = true; }

  Outcome step(Call& call) override {
    const std::int64_t end = monotonic_us() + step_us;
    while (!paid_) {
      paid_ = pay(call);
      if (!paid_ && monotonic_us() >= end) return Outcome::waits;
    }
    return answer(call);
  }

 protected:
  std::string_view key() const { return key_; }

 private:
  // What is replied in the end.
  virtual Outcome answer(Call& call) = 0;

  // Returns whether all is paid.
  bool pay(Call& call) const {
    const std::array keys = {call.engine.keyspace.key(key_)};
    call.held.acquire_after_waiters(keys);
    call.read_clock();
    const bool paid = pay_locked(call, keys[0]);
    call.held.release();
    return paid;
  }
  bool pay_locked(Call& call, const store::Key& key) const {
    store::Database db = call.db(db_);
    const auto value = db.find(key, store::Access::none());
    if (!value || value->is_string() || value->kind.type() != store::Type::zset || !value->handle()) return true;
    if (store::Collection::of(value->handle()).debt.size() == 0) return true;
    bool paid = false;
    types::Edit edit(db, key, store::Type::zset);
    const store::Stored stored = edit.change([&](store::Collection& set) {
      paid = types::pay_debt(set, paid_at_once);
      return false;  // it is no change that anybody should be told of
    });
    return paid || !stored;
  }

  const std::string key_;
  const unsigned db_;
  bool paid_ = false;
};

class PayAndCount : public PayingTask {
 public:
  PayAndCount(const Call& call, const store::Key& key, std::uint64_t removed) : PayingTask(call, key), removed_(removed) {}

 private:
  Outcome answer(Call& call) override { return call.reply.integer(static_cast<std::int64_t>(removed_)); }

  const std::uint64_t removed_;
};

class PayAndShow : public PayingTask {
 public:
  PayAndShow(Call& call, const store::Key& key, store::Tree&& piece, const ScoredPop& pop)
      : PayingTask(call, key),
        pop_(pop),
        count_(piece.size()),
        items_(keep_tree(call, std::move(piece)), scored_items(pop.how, 0, count_, pop.highest)) {}

  std::uint64_t pinned() const override { return items_.tree().memory(); }

 private:
  Outcome answer(Call& call) override {
    if (!replying) write_pop_header(call, key(), pop_, count_);
    return items_.step(call, *this);
  }

  const ScoredPop pop_;
  const std::uint64_t count_;
  ItemsInPieces items_;
};

}  // namespace

Outcome pay_and_reply(Call& call, const store::Key& key, std::uint64_t removed) {
  return call.begin(std::make_unique<PayAndCount>(call, key, removed));
}

// --- taking members from an end ---

namespace {

// Writes what is about to be removed.
void write_popped(Call& call, const types::SortedSet& set, types::Positions positions, const store::Key& key, const ScoredPop& pop) {
  write_pop_header(call, key.text, pop, positions.size());
  const ItemWriter write = scored_writer(pop.how);
  const std::uint64_t count = positions.size();
  if (!(pop.with_key && pop.how == ScoredReply::flat)) call.reply.array(pop.how == ScoredReply::flat ? 2 * count : count);
  std::array<const char*, types::most_removed_at_once> items;
  std::size_t found = 0;
  set.visit(positions.first, count, [&](const char* item) { return items[found++] = item, true; });
  if (pop.highest) std::reverse(items.begin(), items.begin() + found);
  for (std::size_t i = 0; i < found; ++i) write(call.reply, items[i]);
}

// Many members: they are cut out, and replied from the piece with nothing locked.
Outcome pop_many(Call& call, const store::Key& key, types::Edit& edit, types::Positions positions, const ScoredPop& pop) {
  if (positions.size() > most_locked_items_of(call) && refuse_many_inside_exec(call, positions.size())) return Outcome::done;
  types::Removal removal;
  if (const store::Stored stored = remove(edit, positions, true, removal); !stored) return call.refused(stored);
  if (!call.in_transaction) return call.begin(std::make_unique<PayAndShow>(call, key, std::move(*removal.piece), pop));
  write_pop_header(call, key.text, pop, removal.removed);
  return reply_items(call, std::move(*removal.piece), scored_items(pop.how, 0, removal.removed, pop.highest));
}

}  // namespace

std::optional<ScoredPop> parse_scored_pop(Call& call, std::size_t first) {
  Cursor options(call.args, first);
  ScoredPop pop{.highest = false, .count = 1, .how = ScoredReply::nested, .with_key = true};
  pop.highest = options.take("MAX");
  if (!pop.highest && !options.take("MIN")) return call.syntax_error(), std::nullopt;
  if (options.take_with_value("COUNT")) {
    const auto count = options.take_integer();
    if (!count || *count < 1) return call.reply.error("ERR count should be greater than 0"), std::nullopt;
    pop.count = static_cast<std::uint64_t>(*count);
  }
  if (!options.done()) return call.syntax_error(), std::nullopt;
  return pop;
}

std::optional<Outcome> pop_scored(Call& call, const store::Key& key, const ScoredPop& pop) {
  store::Database db = call.db();
  types::Edit edit(db, key, store::Type::zset);
  if (!edit.exists()) return std::nullopt;
  const types::SortedSet set = edit.packed() ? types::SortedSet(edit.bytes()) : types::SortedSet(edit.collection());
  const std::uint64_t count = std::min(pop.count, set.size());
  const types::Positions positions = pop.highest ? types::Positions{set.size() - count, set.size()} : types::Positions{0, count};
  note_written_as(pop.highest ? Event::zpopmax : Event::zpopmin);
  if (!set.packed() && count > types::most_removed_at_once) return pop_many(call, key, edit, positions, pop);
  const std::size_t mark = call.reply.output().mark();
  write_popped(call, set, positions, key, pop);
  types::Removal removal;
  const store::Stored stored = remove(edit, positions, false, removal);
  if (stored) return Outcome::done;
  call.reply.output().truncate(mark);
  return call.refused(stored);
}

}  // namespace pinfold::command
