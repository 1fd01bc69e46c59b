#pragma once
// From a parsed request to its reply: lookup, arity, authentication, transactions, memory, locks, handler, counting.
//
// The checks come in the order of Redis' processCommand, because a client sees which of them answers first.

#include <cstdint>
#include <span>
#include <vector>

#include "pinfold/command/call.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/engine.hpp"

namespace pinfold::command {

/// What can be found out about a request before its turn comes. A pipelined batch is prepared and prefetched some
/// requests ahead and then executed in order, so that the memory of one request is on its way while others run.
struct Prepared {
  const Row* row = nullptr;         // null: there is no such command
  bool one_key = false;             // the request has exactly one key:
  store::Key key;                   // a view into the arguments, and its hash
  LargeArguments* large = nullptr;  // of the request, if it has any
};

/// Whether a request is of those whose length its arguments do not show.
bool may_take_long(const Session& session, const Prepared& prepared);

/// One per I/O thread; holds scratch space so that a command allocates nothing of its own. Not thread-safe.
class Dispatcher {
 public:
  Dispatcher(Engine& engine, unsigned thread);

  /// Finds the command and hashes its key if there is one. Depends on nothing but `args`, which must stay where they
  /// are until execute.
  Prepared prepare(Args args) const;
  /// Starts fetching what a batch of requests will touch, each step for all before the next: locks, index, entries. Only hints:
  /// `db_of(i)` is the database of a request's session now, which may select another meanwhile.
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

  /// Executes one request and writes exactly one reply (none if the client turned replies off, or is to be closed).
  void execute(Session& session, Args args, const Prepared& prepared, resp::Reply& reply);
  void execute(Session& session, Args args, resp::Reply& reply) { execute(session, args, prepare(args), reply); }

  /// Runs one step of the task that the session has. True if it was the last one: the reply has been written, and
  /// the session waits no longer.
  bool step(Session& session, resp::Reply& reply);

  /// Whether the request must wait for the end of a CLIENT PAUSE. What would be rejected in any case need not.
  bool must_wait(const Session& session, Args args, const Prepared& prepared) const {
    const PauseMode paused = engine_.clients.paused(clock_.last().mono);
    return paused != PauseMode::none && is_paused(session, args, prepared.row, paused);
  }

  /// Whether the session's task must wait for that before its next step.
  bool task_must_wait(const Session& session) const {
    const PauseMode paused = engine_.clients.paused(clock_.last().mono);
    return paused != PauseMode::none && is_paused(session, *session.task->row, paused);
  }

  /// Ends whatever the session holds in the keyspace (WATCH, MULTI); to be called before it goes away.
  void end_session(Session& session);
  /// Forgets some of the keys that a client watched which is gone; true if none is left.
  bool forget_some_watched(Session& session);

  /// Gives back what a command with very many keys has left behind.
  void release_memory();

  ThreadStats& stats() { return stats_; }
  /// The thread's, which is to read it once a round.
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
  void reject(const Row* row, Session& session, resp::Reply& reply, std::string_view error);
  void reject_unknown(const Row* container, Session& session, Args args, resp::Reply& reply);
  void run(const Row& row, Session& session, Args args, const Prepared& prepared, resp::Reply& reply);
  void run_with_room(std::uint64_t bytes, const Row& row, Session& session, Args args, const Prepared& prepared, resp::Reply& reply);
  Extraction find_keys(const Row& row, Args args);
  std::span<const store::Key> lock_keys(const Prepared& prepared);
  bool is_paused(const Session& session, Args args, const Row* row, PauseMode mode) const;
  bool is_paused(const Session& session, const Row& row, PauseMode mode) const;

  Engine& engine_;
  ThreadStats& stats_;
  ThreadClock clock_;
  store::Keyspace::Locks locks_;
  std::vector<std::uint32_t> positions_;
  std::vector<store::Key> keys_;  // of the request at hand, unless it is one that was prepared
};

/// Runs the handler of call.row and counts the call in `stats`, which must be this thread's, unless it needs room: then it was none yet.
/// Everything has been checked and locked. If the handler meets a value of another type than it is for, WRONGTYPE takes the place of
/// what it has replied, from `mark` in the output on.
Outcome invoke(Call& call, ThreadStats& stats, std::size_t mark);
/// In its place for a call whose keys could not be extracted: replies with key_error() and counts the call as one that has failed.
Outcome fail_for_keys(const Call& call, ThreadStats& stats);

}  // namespace pinfold::command
