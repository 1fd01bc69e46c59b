#pragma once
// Replies that come later. A command that cannot answer yet leaves a Waiting on the session in place of a reply, and tells whoever
// will answer its ticket and its client's place. Until the wait is over the connection executes nothing of what its client sends.
//
// The answer comes through ClientThreads::deliver() from any thread. Long commands, which do not wait for anybody, are tasks
// (task.hpp).

#include <cstdint>

#include "pinfold/base/client_threads.hpp"
#include "pinfold/base/clock.hpp"
#include "pinfold/resp/reply.hpp"

namespace pinfold::command {

class Engine;
struct Session;

/// Exactly one of answer(), timeout() and abandon() is called, on the client's thread with nothing locked; then it is destroyed. The
/// session waits no longer by then.
class Waiting {
 public:
  /// What of its client ends the wait, as if its time were up.
  enum class EndedBy : std::uint8_t {
    nothing,
    end_of_input,  // the client sends no more: it may be gone altogether, and is to be given nothing that others could use
    any_input,     // the client sends anything, or no more
  };

  virtual ~Waiting() = default;
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

  /// Writes the reply. `answer` has the type that this wait's ticket was given out for.
  virtual void answer(const Delivery& answer, Session& session, resp::Reply& reply) = 0;
  /// Its time is up, its client has ended it, or CLIENT UNBLOCK. Nobody must answer any more. Writes the reply.
  virtual void timeout(Engine& engine, Session& session, resp::Reply& reply) = 0;
  /// The client is gone, or gets another reply. Nobody must answer any more.
  virtual void abandon(Engine& engine) = 0;

  std::uint64_t ticket = 0;  // of Cache::next_ticket(); never 0 when the command is over
  MonoMs until;              // its time is up then; 0: never
  EndedBy ended_by = EndedBy::end_of_input;
  bool unblocks = true;  // CLIENT UNBLOCK ends it

 protected:
  Waiting() = default;
};

// For the connection: of a session that waits, each ends the wait.

void answer_wait(Session& session, const Delivery& answer, resp::Reply& reply);
void end_wait(Session& session, Engine& engine, resp::Reply& reply);
/// Its client is gone: of a task, too. Does nothing if the session does not wait.
void forget_wait(Session& session, Engine& engine);

}  // namespace pinfold::command
