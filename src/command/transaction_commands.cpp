// MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//
// EXEC is atomic and isolated because it holds, all at once, the shards of every key that its commands and its watches
// name, taken in index order like any command with several keys. That a watched key was not written is checked under
// the same locks: between the check and the first command nobody can write it.

#include <algorithm>
#include <cassert>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/sleeper.hpp"
#include "pinfold/command/dispatch.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/monitor_feed.hpp"
#include "pinfold/command/notable.hpp"
#include "pinfold/command/rights.hpp"
#include "pinfold/command/script_runner.hpp"
#include "pinfold/command/transaction.hpp"

namespace pinfold::command {

void end_transaction(Session& session, Engine& engine) {
  if (session.transaction == nullptr) return;
  engine.keyspace.memory().add(store::Use::clients, -static_cast<std::int64_t>(session.transaction->bytes));
  session.transaction.reset();
  session.shared.queued.store(-1, std::memory_order_relaxed);
  session.shared.queued_bytes.store(0, std::memory_order_relaxed);
  engine.clients.recount(session.shared);
}

namespace {

// What a watched key occupies, here and in its shard.
std::size_t watched_size(std::string_view key) {
  constexpr std::size_t nodes = 192;
  return 2 * key.size() + nodes;
}

// Nothing is watched any more, and the shards know.
void end_watching(Session& session, Engine& engine) {
  engine.keyspace.memory().add(store::Use::clients, -static_cast<std::int64_t>(session.watched_bytes));
  session.watched_bytes = 0;
  session.shared.watched_bytes.store(0, std::memory_order_relaxed);
  session.watched.clear();
  session.shared.watched.store(0, std::memory_order_relaxed);
  engine.clients.recount(session.shared);
}

}  // namespace

void forget_watched(Session& session, Engine& engine) {
  for (const WatchedKey& watched : session.watched) {
    engine.keyspace.unwatch(watched.db, engine.keyspace.key(watched.key));
  }
  end_watching(session, engine);
}

void release_watched(Session& session, Engine& engine, store::Keyspace::Locks& locks) {
  release_some_watched(session, engine, locks, session.watched.size());
}

bool release_some_watched(Session& session, Engine& engine, store::Keyspace::Locks& locks, std::size_t most) {
  // One after the other: a closing connection comes here, and must not need memory.
  for (; most > 0 && !session.watched.empty(); --most) {
    const auto watched = session.watched.begin();
    const store::Key key = engine.keyspace.key(watched->key);
    locks.acquire(key);
    engine.keyspace.unwatch(watched->db, key);
    locks.release();
    const std::size_t size = watched_size(watched->key);
    session.watched_bytes -= size;
    engine.keyspace.memory().add(store::Use::clients, -static_cast<std::int64_t>(size));
    session.watched.erase(watched);
  }
  session.shared.watched_bytes.store(session.watched_bytes, std::memory_order_relaxed);
  session.shared.watched.store(static_cast<unsigned>(session.watched.size()), std::memory_order_relaxed);
  engine.clients.recount(session.shared);
  return session.watched.empty();
}

namespace {

// Forgets watched keys, however many there are, and then replies.
class UnwatchTask final : public Task {
 public:
  UnwatchTask(std::string_view text, bool is_error) : text_(text), is_error_(is_error) { irrevocable = true; }

  Outcome step(Call& call) override {
    constexpr std::size_t at_once = 256;
    const std::int64_t end = monotonic_us() + step_us;
    while (!release_some_watched(call.session, call.engine, call.held, at_once)) {
      if (monotonic_us() >= end) return Outcome::waits;
    }
    return is_error_ ? call.reply.error(text_) : call.reply.simple(text_);
  }

 private:
  const std::string text_;
  const bool is_error_;
};

}  // namespace

Outcome release_watched(Call& call, std::string_view text, bool is_error) {
  constexpr std::size_t few = 256;
  if (call.session.watched.size() > few) return call.begin(std::make_unique<UnwatchTask>(text, is_error));
  // Inside EXEC nothing is watched any more, and locks are held already.
  release_watched(call.session, call.engine, call.held);
  return is_error ? call.reply.error(text) : call.reply.simple(text);
}

namespace {

struct Plan {
  /// In place of a count: the command's arguments are malformed.
  static constexpr std::uint32_t malformed = UINT32_MAX;

  std::vector<std::uint32_t> key_counts;  // of each queued command
  std::vector<store::Key> keys;           // of the commands, then of the watches
  bool whole_keyspace = false;
};

Plan make_plan(Transaction& transaction, const Session& session, Engine& engine) {
  const store::Keyspace& keyspace = engine.keyspace;
  const auto runs_undeclared = [&](const Row& row, Args args) {
    return engine.scripting.of_thread(session.shared.thread).needs_all_locks(row, args, transaction.group);
  };
  Plan plan;
  plan.key_counts.reserve(transaction.queue.size());
  std::size_t most_keys = session.watched.size();
  for (const Queued& queued : transaction.queue) most_keys += queued.count() - 1;
  plan.keys.reserve(most_keys);  // as Queued::memory() counts them
  std::vector<std::uint32_t> positions;
  std::vector<std::string_view> args;
  for (const Queued& queued : transaction.queue) {
    queued.arguments(args);
    positions.clear();
    const bool found = extract_keys(queued.row(), args, positions) == Extraction::done;
    for (const std::uint32_t at : positions) plan.keys.push_back(keyspace.key(args[at]));
    plan.key_counts.push_back(found ? static_cast<std::uint32_t>(positions.size()) : Plan::malformed);
    plan.whole_keyspace |= needs_all_shards(queued.row(), args);
    if ((queued.row().flags & kRunsScript) != 0 && !plan.whole_keyspace) plan.whole_keyspace = found && runs_undeclared(queued.row(), args);
  }
  for (const WatchedKey& watched : session.watched) plan.keys.push_back(keyspace.key(watched.key));
  return plan;
}

bool watched_changed(const Call& call) {
  store::Keyspace& keyspace = call.engine.keyspace;
  return std::any_of(call.session.watched.begin(), call.session.watched.end(), [&](const WatchedKey& watched) {
    return keyspace.has_changed(watched.db, keyspace.key(watched.key), watched.watch, call.now);
  });
}

// Runs one command of the transaction, unless there has been enough of what the commands do beyond what was sent.
void run_step(Call& call, bool malformed, ThreadStats& stats) {
  // Once the reply is lost, a command that only reads is not run: that saves work, and the time of threads that wait for the locks.
  const bool lost = call.reply.output().overflow() != resp::Output::Overflow::none;
  if (lost && (call.row.flags & (kReadOnly | kBeyondNamed)) != 0 && (call.row.flags & kWrite) == 0) return;
  if (refused_in_exec(call)) [[unlikely]] {
    stats.commands[command_index(call.row)].rejected.add();
    return stats.errors.add(call.reply.last_error_code());
  }
  invoke_in_group(call, malformed, stats);
}

}  // namespace

void invoke_in_group(Call& call, bool malformed, ThreadStats& stats) {
  // A script spends with the commands that it executes.
  if ((call.row.flags & kRunsScript) != 0) {
    std::ignore = malformed ? fail_for_keys(call, stats) : invoke(call, stats, call.reply.output().mark());
    return;
  }
  TransactionBudget& budget = call.session.group->budget;
  const bool beyond_named = (call.row.flags & kBeyondNamed) != 0;
  const bool spent = budget.spent(beyond_named);
  // Room was made for what was sent. What comes on top, a segment for each table at most, must not go on and on.
  const bool full = (call.row.flags & kDenyOom) != 0 && !call.engine.keyspace.has_room(0, 2 * call.may_exceed);
  if (spent || full) [[unlikely]] {
    stats.commands[command_index(call.row)].rejected.add();
    if (spent) {
      refuse_beyond_budget(call);
    } else {
      call.out_of_memory();
    }
    return stats.errors.add(call.reply.last_error_code());
  }
  std::uint64_t bytes = 0;
  for (const std::string_view arg : call.args) bytes += arg.size();
  const TransactionBudget::Spending spending(budget, {.keys = call.keys.size(), .bytes = bytes}, beyond_named);
  call.engine.accesses.of_thread(call.session.shared.thread).note(call.session.db, call.keys, call.clock);
  [[maybe_unused]] const Outcome outcome = malformed ? fail_for_keys(call, stats) : invoke(call, stats, call.reply.output().mark());
  assert(outcome == Outcome::done);  // it can neither wait nor be called again
}

namespace {

Outcome run_steps(Call& call, const Plan& plan) {
  const Session::Grouped grouped(call.session, call.session.transaction->group);
  ThreadStats& stats = call.engine.stats.of_thread(call.session.shared.thread);
  call.reply.array(plan.key_counts.size());
  // Other requests, or the background, bring the memory down again.
  const std::uint64_t may_exceed = call.engine.keyspace.memory().limit() / 64 + 1;
  const store::Key* first = plan.keys.data();
  const std::uint32_t* key_count = plan.key_counts.data();
  std::vector<std::string_view> args;
  for (const Queued& queued : call.session.transaction->queue) {
    queued.arguments(args);
    const bool malformed = *key_count == Plan::malformed;
    const std::span<const store::Key> keys(first, malformed ? 0 : *key_count);
    first += keys.size();
    ++key_count;
    Call nested(call, queued.row(), args, keys, {.in_transaction = true, .may_exceed = may_exceed, .large = queued.large()});
    const std::size_t before = call.reply.output().size();
    run_step(nested, malformed, stats);
    note_request_size(call.engine, call.session, queued.row(), args);
    note_reply_size(call.engine, call.session, queued.row(), args, call.reply.output().size() - before);
    // What was stored belongs to the key alone, so that the next command can change it where it is.
    if (nested.large != nullptr) *nested.large = LargeArguments();
    // CLIENT REPLY SKIP is silent, but the array has announced an element.
    if (call.reply.output().size() == before) call.reply.ok();
  }
  return Outcome::errors_counted;
}

Outcome exec(Call& call) {
  Session& session = call.session;
  if (session.transaction == nullptr) return call.reply.error("ERR EXEC without MULTI");
  if (session.transaction->failed) {
    end_transaction(session, call.engine);
    return release_watched(call, "EXECABORT Transaction discarded because of previous errors.", true);
  }
  const WakeLater later;
  const cache::Writer writer(writer_of(session));
  const std::size_t mark = call.reply.output().mark();
  const Plan plan = make_plan(*session.transaction, session, call.engine);
  MonitorFeed* const feed = call.engine.monitors.any() ? &call.engine.monitors.feed_of(session.shared.thread) : nullptr;
  // While nothing is locked, and while large arguments are still here.
  if (feed != nullptr) feed->show_transaction(session, call.row, call.args);
  if (plan.whole_keyspace) {
    call.held.acquire_all();
  } else {
    call.held.acquire(plan.keys);
  }
  call.read_clock();
  const bool changed = watched_changed(call);
  forget_watched(session, call.engine);
  const Outcome outcome = changed ? call.reply.null_array() : run_steps(call, plan);
  // Before the queue is freed, which may take a while.
  call.held.release();
  if (changed && feed != nullptr) feed->take_back_transaction(session, call.row, call.args);
  end_transaction(session, call.engine);
  // Once the header of the array is out there is no going silent halfway.
  if (session.reply_mode == ReplyMode::off) call.reply.output().truncate(mark);
  return outcome;
}

Outcome multi(Call& call) {
  Session& session = call.session;
  if (session.transaction != nullptr) return call.reply.error("ERR MULTI calls can not be nested");
  session.transaction = std::make_unique<Transaction>();
  session.transaction->db = session.db;
  session.shared.queued.store(0, std::memory_order_relaxed);
  return call.reply.ok();
}

Outcome discard(Call& call) {
  if (call.session.transaction == nullptr) return call.reply.error("ERR DISCARD without MULTI");
  end_transaction(call.session, call.engine);
  return release_watched(call, "OK");
}

// A connection that watches more than client-query-buffer-limit is closed, like one that queues too much. What clients have no memory for
// is refused before it is copied: a client that is evicted afterwards has taken it all the same. A few names are watched even when others
// have taken everything, as long as the connection watches few in all.
bool may_watch(Call& call) {
  constexpr std::size_t always = 64 * 1024;
  std::size_t more = 0;
  for (const store::Key& key : call.keys) more += watched_size(key.text);
  const std::size_t bytes = call.session.watched_bytes + more;
  const std::int64_t limit = call.engine.settings.integer(config::Id::client_query_buffer_limit);
  if (bytes > static_cast<std::uint64_t>(limit)) {
    call.engine.stats.of_thread(call.session.shared.thread).query_limit_disconnections.add();
    call.session.close_after_reply = true;
    return false;
  }
  if (bytes <= always || call.engine.client_may_take(call.session.shared, more)) return true;
  call.reply.error(beyond_clients_memory);
  return false;
}

// A key that is watched already stays as it was then.
void watch_key(Call& call, const store::Key& key) {
  Session& session = call.session;
  WatchedKey watched{session.db, std::string(key.text), {}};
  if (session.watched.contains(watched)) return;
  watched.watch = call.engine.keyspace.watch(session.db, key, call.now);
  try {
    session.watched.insert(std::move(watched));
  } catch (...) {
    call.engine.keyspace.unwatch(session.db, key);
    throw;
  }
  session.watched_bytes += watched_size(key.text);
  call.engine.keyspace.memory().add(store::Use::clients, static_cast<std::int64_t>(watched_size(key.text)));
}

Outcome watch(Call& call) {
  Session& session = call.session;
  if (session.transaction != nullptr) return call.reply.error("ERR WATCH inside MULTI is not allowed");
  if (!may_watch(call)) return Outcome::done;
  for (const store::Key& key : call.keys) watch_key(call, key);
  session.shared.watched_bytes.store(session.watched_bytes, std::memory_order_relaxed);
  session.shared.watched.store(static_cast<unsigned>(session.watched.size()), std::memory_order_relaxed);
  call.held.release();
  call.engine.enforce_user_share(session);
  return call.reply.ok();
}

Outcome unwatch(Call& call) { return release_watched(call, "OK"); }

constexpr std::uint32_t kAnywhere = kNoScript | kLoading | kAllowBusy;

// clang-format off
constexpr Row kRows[] = {
    {.name = "discard", .handler = discard, .arity = 1,
     .flags = kAnywhere | kFast | kImmediate, .categories = kTransaction,
     .group = "transactions", .since = "2.0.0",
     .complexity = "O(N) for N queued commands and watched keys.",
     .summary = "Leaves a transaction without executing what was queued."},
    {.name = "exec", .handler = exec, .arity = 1,
     .flags = kNoScript | kLoading | kSkipSlowlog | kImmediate, .categories = kTransaction,
     .group = "transactions", .since = "1.2.0",
     .complexity = "That of the queued commands.",
     .summary = "Executes all queued commands at once, unless a watched key has changed."},
    {.name = "multi", .handler = multi, .arity = 1,
     .flags = kAnywhere | kFast | kImmediate, .categories = kTransaction,
     .group = "transactions", .since = "1.2.0",
     .complexity = "O(1)",
     .summary = "Begins a transaction: commands are queued until EXEC."},
    {.name = "unwatch", .handler = unwatch, .arity = 1,
     .flags = kAnywhere | kFast, .categories = kTransaction,
     .group = "transactions", .since = "2.2.0",
     .complexity = "O(N) for N watched keys.",
     .summary = "Stops watching all keys."},
    {.name = "watch", .handler = watch, .arity = -2,
     .flags = kAnywhere | kFast | kImmediate, .categories = kTransaction,
     .keys = {KeySpec::range(KeyUse::peek, 1, -1)},
     .group = "transactions", .since = "2.2.0",
     .complexity = "O(log N) per key for N watched keys.",
     .summary = "Makes the next EXEC depend on these keys staying as they are.",
     .syntax = "key [key ...]"},
};
// clang-format on

}  // namespace

std::span<const Row> transaction_commands() { return kRows; }

}  // namespace pinfold::command
