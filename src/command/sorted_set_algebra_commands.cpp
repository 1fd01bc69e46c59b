// Unions, intersections and differences of sorted sets, and of sets, whose members all have the score 1.
//
// Few members are combined at once, with all keys locked. Many are combined by a task, from snapshots of all operands that were taken
// under the locks, so that the result is of one moment. It is stored when it is complete, in the place of what is under its key then.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/sorted_set_family.hpp"
#include "pinfold/command/sorted_set_store.hpp"
#include "pinfold/command/thresholds.hpp"
#include "pinfold/store/wrong_type.hpp"
#include "pinfold/types/sorted_set_algebra.hpp"

namespace pinfold::command {
namespace {

using types::ScoredAlgebra;
using types::ScoredMember;
using types::ScoredOperation;
using Progress = ScoredAlgebra::Progress;

// What is done with the result.
enum class Purpose : std::uint8_t { reply, count, store };

struct Request {
  ScoredOperation operation{};
  Purpose purpose{};
  bool with_scores = false;
  std::uint64_t limit = 0;  // of what is counted; 0: none
  types::Aggregate aggregate = types::Aggregate::sum;
  std::vector<double> weights = {};
};

// --- arguments ---

// The arguments behind the keys. Returns false after an error reply.
bool take_options(Call& call, std::size_t keys, std::size_t first, Request& request) {
  const bool weighs = request.operation != ScoredOperation::difference && request.purpose != Purpose::count;
  for (Cursor cursor(call.args, first); !cursor.done();) {
    if (weighs && cursor.left() > keys && cursor.take("WEIGHTS")) {
      request.weights.clear();
      for (std::size_t i = 0; i < keys; ++i) {
        const auto weight = parse_score(cursor.take());
        if (!weight) return call.reply.error("ERR weight value is not a float"), false;
        request.weights.push_back(*weight);
      }
    } else if (weighs && cursor.take_with_value("AGGREGATE")) {
      if (cursor.take("SUM")) {
        request.aggregate = types::Aggregate::sum;
      } else if (cursor.take("MIN")) {
        request.aggregate = types::Aggregate::least;
      } else if (cursor.take("MAX")) {
        request.aggregate = types::Aggregate::most;
      } else {
        return call.syntax_error(), false;
      }
    } else if (request.purpose == Purpose::reply && cursor.take("WITHSCORES")) {
      request.with_scores = true;
    } else if (request.purpose == Purpose::count && cursor.take_with_value("LIMIT")) {
      const auto limit = cursor.take_integer();
      if (!limit || *limit < 0) return call.reply.error("ERR LIMIT can't be negative"), false;
      request.limit = static_cast<std::uint64_t>(*limit);
    } else {
      return call.syntax_error(), false;
    }
  }
  return true;
}

// --- results ---

void write_results(resp::Reply& reply, ScoredReply how, const ScoredMember* from, std::uint64_t count) {
  for (const ScoredMember* member = from; member != from + count; ++member) {
    if (how == ScoredReply::nested) reply.array(2);
    reply_element(reply, store::Element(member->element));
    if (how != ScoredReply::members) reply.real(member->score);
  }
}

void write_header(resp::Reply& reply, ScoredReply how, std::uint64_t count) { reply.array(how == ScoredReply::flat ? 2 * count : count); }

// An algebra in steps, whose operands are snapshots.
class LongAlgebra {
 public:
  LongAlgebra(Call& call, std::unique_ptr<ScoredAlgebra> work) : algebra(std::move(work)), memory_(call.engine, call.session.shared) {}

  // To be called with the operands locked. Returns false if clients may not take so much memory.
  bool keep(Call& call) {
    std::uint64_t bytes = algebra->memory();
    for (const types::Operand& operand : algebra->operands()) bytes += sizeof operand + operand.kept_bytes();
    if (!memory_.ask(bytes)) return false;
    for (types::Operand& operand : algebra->operands()) {
      operand.keep(call.engine.keyspace.memory());
      pinned_ += store::memory_of_pin(operand.pin());
    }
    return true;
  }
  std::uint64_t pinned() const { return pinned_; }
  std::uint64_t loose() const {
    std::uint64_t bytes = 0;
    for (const types::Operand& operand : algebra->operands()) bytes += store::loose_memory_of_pin(operand.pin());
    return bytes;
  }

  std::unique_ptr<ScoredAlgebra> algebra;

 private:
  ClientMemory memory_;
  std::uint64_t pinned_ = 0;  // bytes of the collections that are operands
};

class ShowAlgebra : public Task {
 public:
  ShowAlgebra(Call& call, std::unique_ptr<ScoredAlgebra> algebra, bool counts, ScoredReply how)
      : work_(call, std::move(algebra)), counts_(counts), how_(how) {}
  bool keep(Call& call) { return work_.keep(call); }

  Outcome step(Call& call) override {
    ScoredAlgebra& algebra = *work_.algebra;
    if (!replying) {
      const Progress progress = algebra.advance(monotonic_us() + step_us);
      if (progress == Progress::no_memory) return call.out_of_memory();
      if (progress == Progress::more) return Outcome::waits;
      if (counts_) return call.reply.integer(static_cast<std::int64_t>(algebra.size()));
      write_header(call.reply, how_, algebra.size());
      replying = true;
    }
    constexpr std::uint64_t at_once = 64;
    const std::size_t end = call.reply.output().size() + reply_piece;
    while (written_ < algebra.size() && call.reply.output().size() < end) {
      const std::uint64_t count = std::min(at_once, algebra.size() - written_);
      write_results(call.reply, how_, algebra.results() + written_, count);
      written_ += count;
    }
    return written_ < algebra.size() ? Outcome::waits : Outcome::done;
  }
  std::uint64_t pinned() const override { return work_.pinned(); }
  std::uint64_t loose() const override { return work_.loose(); }

 private:
  LongAlgebra work_;
  const bool counts_;
  const ScoredReply how_;
  std::uint64_t written_ = 0;
};

class StoreAlgebra : public StoringTask {
 public:
  StoreAlgebra(Call& call, std::unique_ptr<ScoredAlgebra> algebra) : StoringTask(call, call.key(0)), work_(call, std::move(algebra)) {}
  bool keep(Call& call) { return work_.keep(call); }

  Outcome step(Call& call) override {
    const std::int64_t end = monotonic_us() + step_us;
    if (!computed_) {
      const Progress progress = work_.algebra->advance(end);
      if (progress == Progress::no_memory) return call.out_of_memory();
      if (progress == Progress::more) return Outcome::waits;
      computed_ = true;
    }
    return build(call, end);
  }

 private:
  bool next(Member& member) override {
    if (stored_ == work_.algebra->size()) return false;
    const ScoredMember& result = work_.algebra->results()[stored_++];
    member = {result.element, result.score, result.hash};
    return true;
  }

  LongAlgebra work_;
  bool computed_ = false;
  std::uint64_t stored_ = 0;
};

template <class LongTask, class... Args>
Outcome begin_long(Call& call, std::unique_ptr<ScoredAlgebra> algebra, Args... args) {
  if (refuse_many_inside_exec(call, algebra->cost())) return Outcome::done;
  auto task = std::make_unique<LongTask>(call, std::move(algebra), args...);
  return task->keep(call) ? call.begin(std::move(task)) : call.reply.error(beyond_clients_memory);
}

Outcome store_results(Call& call, const ScoredAlgebra& algebra) {
  constexpr std::uint64_t beside_member = 64;
  std::uint64_t bytes = 0;
  for (std::uint64_t i = 0; i < algebra.size(); ++i) bytes += beside_member + store::Element(algebra.results()[i].element).size();
  store::Database db = call.db();
  if (const store::Stored room = db.has_room(bytes); !room) return call.refused(room);
  types::SortedSetBuilder built(call.engine.keyspace.memory(), thresholds(call.engine));
  for (std::uint64_t i = 0; i < algebra.size(); ++i) {
    const ScoredMember& member = algebra.results()[i];
    if (!built.add(store::Element(member.element), member.score, member.hash)) return call.out_of_memory();
  }
  return store_built(call, db, call.key(0), built);
}

Outcome show_results(Call& call, const ScoredAlgebra& algebra, bool counts, ScoredReply how) {
  if (counts) return call.reply.integer(static_cast<std::int64_t>(algebra.size()));
  write_header(call.reply, how, algebra.size());
  write_results(call.reply, how, algebra.results(), algebra.size());
  return Outcome::done;
}

// --- the commands ---

Outcome combine(Call& call, ScoredOperation operation, Purpose purpose) {
  const bool stores = purpose == Purpose::store;
  const std::size_t first_source = stores ? 1 : 0;
  const auto sources = call.keys.subspan(first_source);
  Request request{.operation = operation, .purpose = purpose};
  auto algebra = std::make_unique<ScoredAlgebra>(operation);
  store::Database db = call.db();
  for (const store::Key& key : sources) {
    const auto value = db.find(key, store::Access::read().of_any_type());
    if (!value) {
      algebra->operands().emplace_back();
      continue;
    }
    const bool usable = !value->is_string() && (value->kind.type() == store::Type::zset || value->kind.type() == store::Type::set);
    if (!usable) throw store::WrongType();
    algebra->operands().emplace_back(*value);
  }
  // The name, for some the target, the number of keys, and the keys.
  if (!take_options(call, sources.size(), 2 + first_source + sources.size(), request)) return Outcome::done;
  algebra->aggregate_with(request.aggregate);
  for (std::size_t i = 0; i < request.weights.size(); ++i) algebra->operands()[i].weight = request.weights[i];
  const bool counts = purpose == Purpose::count;
  if (counts) algebra->count_up_to(request.limit == 0 ? UINT64_MAX : request.limit);
  const ScoredReply how = scored_reply(call, request.with_scores);
  if (algebra->cost() > most_locked_items_of(call)) {
    if (stores) return begin_long<StoreAlgebra>(call, std::move(algebra));
    return begin_long<ShowAlgebra>(call, std::move(algebra), counts, how);
  }
  if (algebra->advance(INT64_MAX) == Progress::no_memory) return call.out_of_memory();
  return stores ? store_results(call, *algebra) : show_results(call, *algebra, counts, how);
}

Outcome zunion(Call& call) { return combine(call, ScoredOperation::union_of_all, Purpose::reply); }
Outcome zinter(Call& call) { return combine(call, ScoredOperation::intersection, Purpose::reply); }
Outcome zdiff(Call& call) { return combine(call, ScoredOperation::difference, Purpose::reply); }
Outcome zintercard(Call& call) { return combine(call, ScoredOperation::intersection, Purpose::count); }
Outcome zunionstore(Call& call) { return combine(call, ScoredOperation::union_of_all, Purpose::store); }
Outcome zinterstore(Call& call) { return combine(call, ScoredOperation::intersection, Purpose::store); }
Outcome zdiffstore(Call& call) { return combine(call, ScoredOperation::difference, Purpose::store); }

// --- wrong numbers of keys ---

std::string wrong_source_count(const Row& row, Args args, std::size_t at) {
  const auto count = parse_i64(args[at]);
  if (!count) return "ERR value is not an integer or out of range";
  if (*count < 1) return "ERR at least 1 input key is needed for '" + std::string(row.name) + "' command";
  return "ERR syntax error";
}
std::string wrong_sources(const Row& row, Args args) { return wrong_source_count(row, args, 1); }
std::string wrong_stored_sources(const Row& row, Args args) { return wrong_source_count(row, args, 2); }

// clang-format off
constexpr Row kRows[] = {
    {.name = "zdiff", .handler = zdiff, .arity = -3,
     .flags = kReadOnly | kMovableKeys | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::counted(KeyUse::read, 1, wrong_sources)},
     .group = "sorted-set", .since = "6.2.0",
     .complexity = "O(N*K*log(M)) for N members of the first of K sets with up to M members.",
     .summary = "Returns the members of the first set that are in none of the others.",
     .syntax = "numkeys key [key ...] [WITHSCORES]"},
    {.name = "zdiffstore", .handler = zdiffstore, .arity = -4,
     .flags = kWrite | kDenyOom | kMovableKeys | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::write), KeySpec::counted(KeyUse::read, 2, wrong_stored_sources)},
     .events = {.written = Event::zdiffstore},
     .group = "sorted-set", .since = "6.2.0",
     .complexity = "O(N*K*log(M)) for N members of the first of K sets with up to M members.",
     .summary = "Stores the members of the first set that are in none of the others.",
     .syntax = "destination numkeys key [key ...]"},
    {.name = "zinter", .handler = zinter, .arity = -3,
     .flags = kReadOnly | kMovableKeys | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::counted(KeyUse::read, 1, wrong_sources)},
     .group = "sorted-set", .since = "6.2.0",
     .complexity = "O(N*K*log(M)+R*log(R)) for N members of the smallest of K sets with up to M members, and R that are returned.",
     .summary = "Returns the members that all of some sets have.",
     .syntax = "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]"},
    {.name = "zintercard", .handler = zintercard, .arity = -3,
     .flags = kReadOnly | kMovableKeys | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::counted(KeyUse::read, 1, wrong_sources)},
     .group = "sorted-set", .since = "7.0.0",
     .complexity = "O(N*K*log(M)) for N members of the smallest of K sets with up to M members.",
     .summary = "Counts the members that all of some sets have.",
     .syntax = "numkeys key [key ...] [LIMIT limit]"},
    {.name = "zinterstore", .handler = zinterstore, .arity = -4,
     .flags = kWrite | kDenyOom | kMovableKeys | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::write), KeySpec::counted(KeyUse::read, 2, wrong_stored_sources)},
     .events = {.written = Event::zinterstore},
     .group = "sorted-set", .since = "2.0.0",
     .complexity = "O(N*K*log(M)+R*log(R)) for N members of the smallest of K sets with up to M members, and R that are stored.",
     .summary = "Stores the members that all of some sets have.",
     .syntax = "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]"},
    {.name = "zunion", .handler = zunion, .arity = -3,
     .flags = kReadOnly | kMovableKeys | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::counted(KeyUse::read, 1, wrong_sources)},
     .group = "sorted-set", .since = "6.2.0",
     .complexity = "O(N+R*log(R)) for N members of all sets, and R that are returned.",
     .summary = "Returns the members that any of some sets has.",
     .syntax = "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]"},
    {.name = "zunionstore", .handler = zunionstore, .arity = -4,
     .flags = kWrite | kDenyOom | kMovableKeys | kBeyondNamed, .categories = kSortedSet,
     .keys = {KeySpec::one(KeyUse::write), KeySpec::counted(KeyUse::read, 2, wrong_stored_sources)},
     .events = {.written = Event::zunionstore},
     .group = "sorted-set", .since = "2.0.0",
     .complexity = "O(N+R*log(R)) for N members of all sets, and R that are stored.",
     .summary = "Stores the members that any of some sets has.",
     .syntax = "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]"},
};
// clang-format on

}  // namespace

std::span<const Row> sorted_set_algebra_commands() { return kRows; }

}  // namespace pinfold::command
