#pragma once
// From a parsed request to its reply: lookup, arity, authentication, transactions, memory, locks, handler, counting.

#include "pinfold/command/call.hpp"
#include "pinfold/command/engine.hpp"

namespace pinfold::command {

/// One per I/O thread; holds scratch space so that a command allocates nothing of its own. Not thread-safe.
class Dispatcher {
 public:
  Dispatcher(Engine& engine, unsigned thread);

  /// Executes one request and writes exactly one reply (none if the client turned replies off).
  void execute(Session& session, Args args, resp::Reply& reply, UnixMs now);

  /// Whether the request must wait for the end of a CLIENT PAUSE.
  bool must_wait(const Session& session, Args args, UnixMs now) const;

  /// Ends whatever the session holds in the keyspace (WATCH); to be called before it goes away.
  void end_session(Session& session);

  ThreadStats& stats() { return stats_; }

 private:
  void execute_row(const Row& row, Session& session, Args args, resp::Reply& reply, UnixMs now);
  bool queue(const Row& row, Session& session, Args args, resp::Reply& reply);

  Engine& engine_;
  ThreadStats& stats_;
  store::Keyspace::Locks locks_;
  std::vector<std::uint32_t> positions_;
  std::vector<store::Key> keys_;
};

}  // namespace pinfold::command
