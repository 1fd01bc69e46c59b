#pragma once
// How any thread reaches clients: by messages to the I/O threads on which these clients live. The net room implements it
// (net::Network). The other rooms, which know nothing of connections, use it.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pinfold/base/mail.hpp"

namespace pinfold {

/// A client's id, and the index of the I/O thread on which the client lives. A plain value: the client may be gone when it is
/// used.
struct ClientPlace {
  std::uint64_t client = 0;
  unsigned thread = 0;
  bool operator==(const ClientPlace&) const = default;
};

/// An answer on its way to clients that wait for their replies (command/waiting.hpp). Constant, and shared by the threads of
/// these clients. Each kind of answer is a derived type, which the Waiting of such a wait knows.
class Delivery {
 public:
  /// Called for one waiting client. Returns false to stop before this client. A Visitor that is made of a std::ref takes no
  /// memory.
  using Visitor = std::function<bool(std::uint64_t ticket, const ClientPlace& waiter)>;

  virtual ~Delivery() = default;
  /// Visits the waiting clients in the order of their tickets, from the ticket `from` on. Returns the ticket to go on from; 0
  /// if there are no more. O(log clients), and O(1) for each client that it visits.
  virtual std::uint64_t visit(std::uint64_t from, const Visitor& visitor) const = 0;
  /// Called when a client has not taken the answer, because it no longer waits. Passes on what was for that client alone, such
  /// as a lease. Called on the client's thread, with nothing locked.
  virtual void not_taken() const {}
};

/// Which of the clients that a push names get it.
enum class Audience : std::uint8_t {
  all,
  monitors,  // those that still ask for it: MONITOR was not ended by RESET meanwhile
  // Invalidations of client-side caching, in one of two forms. The client may have left the protocol or the channel meanwhile.
  invalidations,          // a push of RESP3, for clients that speak it
  invalidation_messages,  // a message of the channel __redis__:invalidate, for clients with RESP2 that subscribe to it
};

/// Thread-safe. A function that says nothing of memory has its effect even if there is no memory, but perhaps only within a
/// second. Waking a thread is a system call; if a shard is locked, the call is put off until the lock is released
/// (base/sleeper.hpp).
class ClientThreads {
 public:
  /// Closes the client, which has been marked for closing.
  virtual void close(const ClientPlace& client) = 0;
  /// Ends the client's wait with this ticket as if its time were up, or with an error. Does nothing if the client no longer
  /// waits with it.
  virtual void end_wait(const ClientPlace& client, std::uint64_t ticket, bool with_error) = 0;
  /// Runs a step of the client's task.
  virtual void wake_task(const ClientPlace& client) = 0;
  /// Lets all clients that wait for the end of a CLIENT PAUSE check whether the pause is over.
  virtual void end_pause() = 0;
  /// Gives waiting clients their answer, some of them in each round of their threads. Costs one message and one wake for each
  /// thread. Throws std::bad_alloc; then no client gets the answer.
  virtual void deliver(const std::shared_ptr<const Delivery>& answer) = 0;
  /// Sends `bytes` to clients, between their replies and never inside one. The bytes count for the limits of a client's output,
  /// and a client beyond its limit is closed. The calls of one thread reach a client in their order. Clients that are gone get
  /// nothing. Costs one message and one wake for each thread on which clients of `to` live. Throws std::bad_alloc; then some of
  /// the clients may get the bytes.
  virtual void push(std::vector<ClientPlace> to, std::shared_ptr<const std::string> bytes, Audience audience) = 0;
  /// Puts a piece of mail into the mailbox of a thread, which hands it out behind all answers, pushes and mail that were there before.
  /// Wakes the thread if its mailbox was empty. Throws std::bad_alloc, and then nothing was sent.
  virtual void send(unsigned thread, std::shared_ptr<const Mail> mail) = 0;
  /// The number that the next piece in the thread's mailbox will have. O(1), without a lock.
  virtual std::uint64_t mail_number(unsigned thread) const = 0;

 protected:
  ~ClientThreads() = default;
};

}  // namespace pinfold
