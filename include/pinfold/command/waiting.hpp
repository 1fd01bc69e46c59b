#pragma once
// Replies that come later. A command that cannot reply yet leaves a Waiting on the session. It gives the ticket of the wait and
// the place of the client to the part of the server that will answer. Until the wait is over, the connection executes no
// request of the client.
//
// The answer comes from any thread, through ClientThreads::deliver(). Or there is none: whatever the client waits for wakes it
// (Clients::wake_task), and its thread calls retry(), which executes the command once more (take_or_wait.hpp). A command that only takes
// long waits for no answer: it is a task (task.hpp).

#include <cstdint>

#include "pinfold/base/client_threads.hpp"
#include "pinfold/base/clock.hpp"
#include "pinfold/command/outcome.hpp"
#include "pinfold/resp/reply.hpp"
#include "pinfold/store/lock_account.hpp"

namespace pinfold::command {

class Call;
class Engine;
struct Row;
struct Session;

/// What is to be done when a wait ends. Exactly one of answer(), timeout() and abandon() is called, on the client's thread with
/// nothing locked, and then the object is destroyed. The session owns it, but has given it up before the call. Not thread-safe.
class Waiting {
 public:
  /// What the client can do to end the wait as if its time were up.
  enum class EndedBy : std::uint8_t {
    nothing,
    end_of_input,  // closing its side of the connection: the client may be gone, and must not be given a lease that others could use
    any_input,     // sending anything, or closing its side of the connection
  };

  virtual ~Waiting() = default;
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

  /// Whether the client's user may still make the request. If not, writes the error, and abandon() is called. Called before answer() and
  /// timeout().
  virtual bool still_allowed(Engine& /*engine*/, Session& /*session*/, resp::Reply& /*reply*/) { return true; }
  /// The answer has come. Writes the reply. `answer` is of the type that belongs to this kind of wait.
  virtual void answer(const Delivery& answer, Session& session, resp::Reply& reply) = 0;
  /// The time of the wait is up, or the client (EndedBy) or CLIENT UNBLOCK has ended it. Takes the wait back from the part of
  /// the server that would answer, and writes the reply.
  virtual void timeout(Engine& engine, Session& session, resp::Reply& reply) = 0;
  /// The client is gone, or has been given another reply, perhaps by retry(). Takes the wait back from the part of the server that would
  /// answer.
  virtual void abandon(Engine& engine) = 0;

  /// Whether retry() is to be called. Called on the client's thread, when the client was woken and about once a second.
  virtual bool wants_retry() const { return false; }
  /// Executes the command once more. Returns Outcome::waits if the wait goes on, and then has written nothing; or if it has left a task on
  /// the session, which is to reply. After that, and when it has replied, abandon() is called. `call` has the present session, engine,
  /// reply, time and locks, of which none is held. Throws store::WrongType, for which an error is replied.
  virtual Outcome retry(Call& /*call*/) { return Outcome::waits; }

  // Set by a wait that wants to retry.
  const Row* row = nullptr;  // its command
  store::Named named;        // the keys and arguments that its request names

  std::uint64_t ticket = 0;  // the number of the wait, from Cache::next_ticket(); the command sets it before it returns
  MonoMs until;              // when the time of the wait is up; 0: never
  EndedBy ended_by = EndedBy::end_of_input;
  bool unblocks = true;  // whether CLIENT UNBLOCK ends the wait

 protected:
  Waiting() = default;
};

// The connection calls these, and each ends the wait of the session. For the first two, `session.waiting` must be set.

/// Ends the wait with Waiting::answer(). Returns false if the client's user may not have the answer any more; then the error has been
/// replied.
bool answer_wait(Session& session, Engine& engine, const Delivery& answer, resp::Reply& reply);
/// Ends the wait with Waiting::timeout().
void end_wait(Session& session, Engine& engine, resp::Reply& reply);
/// Ends the wait with Waiting::abandon(), because its command has replied or has become a task.
void leave_wait(Session& session, Engine& engine);
/// Ends the wait with Waiting::abandon(), and destroys the task. Does nothing if the session has neither.
void forget_wait(Session& session, Engine& engine);

}  // namespace pinfold::command
