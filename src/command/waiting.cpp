#include "pinfold/command/waiting.hpp"

#include <memory>
#include <utility>

#include "pinfold/command/session.hpp"

namespace pinfold::command {

namespace {

std::unique_ptr<Waiting> take_wait(Session& session) {
  session.shared.waiting.store(0, std::memory_order_relaxed);
  return std::move(session.waiting);
}

}  // namespace

bool answer_wait(Session& session, Engine& engine, const Delivery& answer, resp::Reply& reply) {
  const std::unique_ptr<Waiting> waiting = take_wait(session);
  const bool allowed = waiting->still_allowed(engine, session, reply);
  if (allowed) {
    waiting->answer(answer, session, reply);
  } else {
    waiting->abandon(engine);
  }
  return allowed;
}

void end_wait(Session& session, Engine& engine, resp::Reply& reply) {
  const std::unique_ptr<Waiting> waiting = take_wait(session);
  if (waiting->still_allowed(engine, session, reply)) {
    waiting->timeout(engine, session, reply);
  } else {
    waiting->abandon(engine);
  }
}

void leave_wait(Session& session, Engine& engine) { take_wait(session)->abandon(engine); }

void forget_wait(Session& session, Engine& engine) {
  session.task.reset();
  if (session.waiting != nullptr) leave_wait(session, engine);
}

}  // namespace pinfold::command
