#pragma once
// From a parsed request to its reply: lookup, arity, authentication, rights, transactions, memory, locks, handler, counting.
//
// The checks come in the order of Redis' processCommand, because a client sees which of them answers first.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "pinfold/command/call.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/monitor_feed.hpp"
#include "pinfold/command/rights.hpp"

namespace pinfold::command {

/// What is known of a request before it is executed. All requests of a batch are prepared and prefetched first, and then
/// executed in order. So the memory for one request is fetched while others run. A plain value; its views point into the
/// arguments.
struct Prepared {
  const Row* row = nullptr;         // null: there is no such command
  bool one_key = false;             // whether the request has exactly one key
  store::Key key;                   // that key, if one_key is set
  LargeArguments* large = nullptr;  // the large arguments of the request; null if it has none
};

/// Whether executing the request may take long although its arguments are few: an EXEC of many queued commands.
bool may_take_long(const Session& session, const Prepared& prepared);

/// Executes requests. Each I/O thread has one. It keeps lists of keys between requests, so that a request need not allocate
/// them. Not thread-safe. The engine must outlive it.
class Dispatcher {
 public:
  Dispatcher(Engine& engine, unsigned thread);

  /// Finds the command, and hashes the key if there is exactly one. Depends only on `args`, whose bytes must stay valid until
  /// execute().
  Prepared prepare(Args args) const;
  /// Starts fetching into the processor's cache what a batch of requests will read: the locks of all, then the index for all,
  /// then the entries. `db_of(i)` is the present database of the session of request i. These are only hints, because an earlier
  /// request of the batch may select another database.
  template <class DbOf>
  void prefetch(std::span<const Prepared> batch, DbOf&& db_of) const {
    store::Keyspace& keyspace = engine_.keyspace;
    for (const Prepared& request : batch) {
      if (request.one_key) keyspace.prefetch_lock(request.key);
    }
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (batch[i].one_key) keyspace.prefetch_index(db_of(i), batch[i].key);
    }
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (batch[i].one_key) keyspace.prefetch_entry(db_of(i), batch[i].key);
    }
  }

  /// Executes one request. Writes exactly one reply, unless the reply comes later, the client has turned replies off, or is to
  /// be closed.
  void execute(Session& session, Args args, const Prepared& prepared, resp::Reply& reply);
  void execute(Session& session, Args args, resp::Reply& reply) { execute(session, args, prepare(args), reply); }

  /// Runs one step of the session's task, which must have one. Returns true if it was the last step: then the reply has been
  /// written and the task is gone.
  bool step(Session& session, resp::Reply& reply);

  /// Executes once more the command with which the client waits (Waiting::retry). The session must have a wait. Returns false if the wait
  /// goes on. Otherwise it is over: the reply has been written, or the session has a task that is to write it.
  bool retry(Session& session, resp::Reply& reply);

  /// Whether the request must wait for the end of a CLIENT PAUSE. A request that is rejected in any case need not wait.
  bool must_wait(Session& session, Args args, const Prepared& prepared) {
    const PauseMode paused = engine_.clients.paused(clock_.last().mono);
    return paused != PauseMode::none && is_paused(session, args, prepared.row, paused);
  }

  /// Whether the session's task, or the command with which it waits, must wait for the end of a CLIENT PAUSE before its next step.
  bool must_rest(const Session& session, const Row& row) const {
    const PauseMode paused = engine_.clients.paused(clock_.last().mono);
    return paused != PauseMode::none && is_paused(session, row, paused);
  }

  /// Ends MULTI, all watches and all subscriptions of the session. Called before the session is destroyed.
  void end_session(Session& session);
  /// Ends up to 512 watches and subscriptions of a session whose client has disconnected. Returns true if none is left.
  bool forget_some(Session& session);

  /// Called before a batch of requests: waits of this thread that belong to none are forgotten.
  static void begin_batch() { thread_waits.forget(); }
  /// Called after a batch: what clients that have sent MONITOR are to be shown of it is sent.
  void end_batch() { feed_.flush(); }

  /// Frees the lists of keys, which a request with very many keys has made large.
  void release_memory();

  ThreadStats& stats() { return stats_; }
  /// The clock of this thread. The thread reads it once in each round.
  ThreadClock& clock() { return clock_; }

 private:
  void execute_accounted(Session& session, Args args, const Prepared& prepared, resp::Reply& reply);
  store::Named named(const Session& session, Args args, const Prepared& prepared);
  void execute_silenced(Session& session, Args args, const Prepared& prepared, resp::Reply& reply);
  void dispatch(Session& session, Args args, const Prepared& prepared, resp::Reply& reply);
  std::uint64_t memory_for(const Row& row, Args args, const Prepared& prepared);
  std::uint64_t memory_beside_large(const Row& row, Args args, const LargeArguments& large);
  bool queued_or_rejected(const Row& row, Session& session, Args args, const Prepared& prepared, resp::Reply& reply, store::Room& room);
  void queue(const Row& row, Session& session, Args args, const Prepared& prepared, resp::Reply& reply);
  bool plainly_allowed(const Row& row, const Session& session, Args args, const Prepared& prepared) const;
  bool refused_by_rights(const Row& row, Session& session, Args args, const Prepared& prepared, resp::Reply& reply);
  bool refused_by_rate(const Row& row, Session& session, const security::User& user, resp::Reply& reply);
  std::optional<RightsVerdict> denial(const Row& row, const Session& session, const security::User& user, Args args,
                                      security::MatchBudget& budget);
  bool may_go_on(const Row& row, Session& session, Args args);
  bool rights_have_changed(Session& session) const;
  void reject(const Row* row, Session& session, resp::Reply& reply, std::string_view error);
  void reject_for_large(const Row& row, Session& session, const LargeArguments& large, resp::Reply& reply);
  void reject_unknown(const Row* container, Session& session, Args args, resp::Reply& reply);
  void run(const Row& row, Session& session, Args args, const Prepared& prepared, resp::Reply& reply);
  void run_with_room(std::uint64_t bytes, const Row& row, Session& session, Args args, const Prepared& prepared, resp::Reply& reply);
  void note_accesses(const Session& session, const Prepared& prepared);
  Extraction find_keys(const Row& row, Args args);
  std::span<const store::Key> lock_keys(const Prepared& prepared);
  bool is_paused(Session& session, Args args, const Row* row, PauseMode mode);
  bool is_paused(const Session& session, const Row& row, PauseMode mode) const;

  Engine& engine_;
  ThreadStats& stats_;
  AccessSampler& accesses_;
  ThreadClock clock_;
  store::Keyspace::Locks locks_;
  MonitorFeed& feed_;
  std::vector<std::uint32_t> positions_;
  std::vector<store::Key> keys_;  // the keys of the request that is being executed, unless it has exactly one (Prepared::key)
};

/// Runs the handler of call.row, and notes what it reads for a client that tracks. The caller has checked and locked everything. Counts the
/// call in `stats`, which are those of this thread, unless the handler returns Outcome::needs_room, because it is then called again. If the
/// handler throws WrongType, the error WRONGTYPE replaces the reply, which begins at `mark` in the output.
Outcome invoke(Call& call, ThreadStats& stats, std::size_t mark);
/// The error for a command that nobody may use at present, or nobody from where the client is; empty for all others.
std::string_view refusal(const Row& row, const Session& session, const Engine& engine);
/// Called instead of invoke() if the keys of the call could not be extracted. Replies key_error(), and counts the call as
/// failed.
Outcome fail_for_keys(const Call& call, ThreadStats& stats);

}  // namespace pinfold::command
