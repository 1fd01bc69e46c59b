#pragma once
// Long commands. A handler that has much to do does not do it at once: it gives the rest to a task (Call::park). The client's
// connection waits meanwhile, as for a lease, and executes nothing of what its client sent behind; its I/O thread runs a step
// of the task now and then, between what its other clients ask for. CLIENT KILL and closing the connection drop the task.
//
// A step takes about a millisecond at most, and holds a shard's lock for at most 512 entries and 256 KB. Between two steps
// nothing is locked, so everything in the store may have changed. What a task collects is in the account of clients before it
// is taken (ClientMemory).
//
// Inside EXEC nobody can wait. A command runs there whole if what it has to do is little enough for one hold of the locks, and
// is refused with an error that says so if it is not: docs/differences.md has the list.

#include <cstdint>

#include "pinfold/store/lock_account.hpp"

namespace pinfold::command {

class Call;
class Engine;
struct Row;
struct SharedClient;

class Task {
 public:
  Task() = default;
  virtual ~Task() = default;
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  /// Does a piece of the work; returns true when all is done, and then exactly one reply has been written. That may be
  /// written in pieces of up to `reply_piece` bytes, one at each step: the next step comes when the client has read that far.
  /// In `call`, only the session, the engine, the reply, the time and `held` (nothing, or inside EXEC what that has locked)
  /// are of this moment; its arguments and keys are empty.
  virtual bool step(Call& call) = 0;

  static constexpr std::size_t reply_piece = 256 * 1024;
  /// How long a step should go on, in microseconds.
  static constexpr std::int64_t step_us = 1000;

  // For whoever runs the steps.
  const Row* row = nullptr;
  store::Named named;     // what its request named
  bool replying = false;  // set by step() with the first piece of a reply that has several
  bool asleep = false;    // set by step(): the next one only when another thread has called Clients::wake_task
  bool accounted = true;  // what it replies with is in the account already; else the reply asks, as a short command's does
  bool timed = false;     // its steps count in the command's time
  bool silent = false;    // CLIENT REPLY OFF or SKIP: what it replies is dropped
};

/// Memory that a client's task holds, in the account of clients. Given back at the end.
class ClientMemory {
 public:
  ClientMemory(Engine& engine, SharedClient& client) : engine_(engine), client_(client) {}
  ~ClientMemory() { give_back(held_); }
  ClientMemory(const ClientMemory&) = delete;
  ClientMemory& operator=(const ClientMemory&) = delete;

  /// Takes `bytes` more. False if that is more than clients may have together (maxmemory-clients); the first 64 KB are always
  /// granted, so that small replies are possible beside clients who take everything.
  bool ask(std::uint64_t bytes);
  /// For `bytes` of it that have been freed.
  void give_back(std::uint64_t bytes);
  std::uint64_t held() const { return held_; }

 private:
  void add(std::int64_t bytes);

  Engine& engine_;
  SharedClient& client_;
  std::uint64_t held_ = 0;
};

}  // namespace pinfold::command
