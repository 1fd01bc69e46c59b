#pragma once
// How clients are reached from other threads: what is told to the threads that they live on. The net room implements it; rooms that
// know nothing of connections use it.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pinfold {

/// A client, and the index of the thread that it lives on. The client may be gone by the time that somebody looks for it.
struct ClientPlace {
  std::uint64_t client = 0;
  unsigned thread = 0;
  bool operator==(const ClientPlace&) const = default;
};

/// An answer on its way to clients that wait for their replies (command/waiting.hpp), shared by their threads and constant. Whoever
/// answers has a type of its own, which the Waiting of such a wait knows.
class Delivery {
 public:
  /// Returns false to stop before this waiter. Made of a std::ref, it takes no memory.
  using Visitor = std::function<bool(std::uint64_t ticket, const ClientPlace& waiter)>;

  virtual ~Delivery() = default;
  /// Visits the waiters in the order of their tickets, from `from` on. Returns the ticket to go on from; 0: that was all. O(log
  /// waiters), and O(1) for each of them.
  virtual std::uint64_t visit(std::uint64_t from, const Visitor& visitor) const = 0;
  /// A waiter does not wait any more: what was for it alone goes elsewhere. On its thread, with nothing locked.
  virtual void not_taken() const {}
};

/// All methods may be called from any thread. Those that do not say otherwise need no memory to succeed, or make up for it within a
/// second. Waking a thread is a system call: with a shard locked it is put off until the lock is given back (base/sleeper.hpp).
class ClientThreads {
 public:
  /// Closes a client that has been marked for that.
  virtual void close(const ClientPlace& client) = 0;
  /// Ends the wait with this ticket as if its time were up, or with an error, if the client still waits.
  virtual void end_wait(const ClientPlace& client, std::uint64_t ticket, bool with_error) = 0;
  /// Runs a step of the client's task.
  virtual void run_task(const ClientPlace& client) = 0;
  /// Has all clients that wait for the end of a CLIENT PAUSE look again.
  virtual void end_pause() = 0;
  /// Gives waiters their answer, some in each round of their threads: one message and one wake for each thread. Throws
  /// std::bad_alloc; then nobody has it.
  virtual void deliver(const std::shared_ptr<const Delivery>& answer) = 0;
  /// Sends `bytes` to clients outside of their replies: behind those that have begun, never inside one, and under the limits of the
  /// client's output, beyond which it is closed. To one client, bytes go in the order of the calls of one thread. One message and one
  /// wake for each thread that clients of `to` live on. Clients that are gone get nothing. Throws std::bad_alloc; then some may get it.
  virtual void push(std::vector<ClientPlace> to, std::shared_ptr<const std::string> bytes) = 0;

 protected:
  ~ClientThreads() = default;
};

}  // namespace pinfold
