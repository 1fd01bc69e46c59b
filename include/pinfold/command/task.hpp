#pragma once
// Long commands. A handler that has much to do gives the rest of its work to a task (Call::park). The client's connection waits
// meanwhile, as it does for a lease: requests that the client has sent after this one are not executed. The I/O thread runs steps
// of the task between the requests of its other clients. CLIENT KILL, or closing the connection, destroys the task.
//
// A step takes about a millisecond at most. It holds a shard's lock for at most 512 entries and 256 KB. Between two steps nothing
// is locked, so everything in the store may have changed. Memory for what a task collects is added to the account of clients
// before it is allocated (ClientMemory).
//
// Inside EXEC nothing can wait. There a command runs as a whole if its work is small enough for one hold of the locks, and is else
// refused with an error that says so. docs/differences.md has the list.

#include <cstdint>
#include <memory>

#include "pinfold/command/outcome.hpp"
#include "pinfold/store/lock_account.hpp"

namespace pinfold::security {
class User;
}

namespace pinfold::command {

class Call;
class Engine;
struct NotedTask;
struct Row;
struct SharedClient;

class Task {
 public:
  Task() = default;
  virtual ~Task() = default;
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  /// Does a piece of the work. Returns Outcome::waits, or Outcome::done when all is done; by then exactly one reply has been written.
  /// The reply may be written in pieces of up to `reply_piece` bytes, one in each step: the next step comes when the client has read
  /// that far. `call` has the present session, engine, reply, time and `held` (no lock, or inside EXEC the locks of EXEC). Its
  /// arguments and keys are empty.
  virtual Outcome step(Call& call) = 0;

  /// Bytes of collections that it keeps from being freed: old versions, if they are written or removed meanwhile, and what it has cut out
  /// of them or made. They count as data, and eviction cannot get them back. So a client that does not read its reply may have to go, if
  /// such tasks keep too much (Connection::give_way). What is in the account of clients (ClientMemory) does not count here. O(1).
  virtual std::uint64_t pinned() const { return 0; }
  /// The part of this that is the value of no entry any more. O(collections).
  virtual std::uint64_t loose() const { return pinned(); }

  static constexpr std::size_t reply_piece = 256 * 1024;
  /// How long a step should go on, in microseconds.
  static constexpr std::int64_t step_us = 1000;

  // For the code that runs the steps.
  std::shared_ptr<const security::User> user;  // that had the right to the command when it began, or has since
  const Row* row = nullptr;
  std::shared_ptr<NotedTask> noted;  // for SLOWLOG and its like (notable.hpp); null if there was no memory for that
  store::Named named;                // the keys and arguments that its request names
  std::uint64_t ticks = 0;           // that its command has taken up to now (ThreadClock), its steps and the handler that made it
  bool replying = false;             // set by step() with the first piece of a reply that has several pieces
  bool in_parts = false;             // the pieces are replies of their own, with room for pushes between them
  bool irrevocable = false;          // set by step() when its effect is under way: its end is told even if its user's rights have changed
  bool asleep = false;               // set by step(): the next step comes only when another thread has called Clients::wake_task()
  bool accounted = true;             // its reply is in the account already; if not, the reply asks the account, as that of a short command
  bool silent = false;               // its reply is dropped, because of CLIENT REPLY OFF or SKIP
};

/// Memory that a client's task holds, in the account of clients. The destructor takes it out of the account.
class ClientMemory {
 public:
  ClientMemory(Engine& engine, SharedClient& client) : engine_(engine), client_(client) {}
  ~ClientMemory() { give_back(held_); }
  ClientMemory(const ClientMemory&) = delete;
  ClientMemory& operator=(const ClientMemory&) = delete;

  /// Takes `bytes` more. Returns false if all clients together, or those of its user, would take more than they may (maxmemory-clients,
  /// maxmemory-user). The first 64 KB are
  /// always granted, so that small replies are possible even if other clients take everything.
  bool ask(std::uint64_t bytes);
  /// To be called when `bytes` of it have been freed.
  void give_back(std::uint64_t bytes);
  std::uint64_t held() const { return held_; }

 private:
  void add(std::int64_t bytes);

  Engine& engine_;
  SharedClient& client_;
  std::uint64_t held_ = 0;
};

}  // namespace pinfold::command
