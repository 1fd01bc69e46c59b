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

void answer_wait(Session& session, const Delivery& answer, resp::Reply& reply) { take_wait(session)->answer(answer, session, reply); }

void end_wait(Session& session, Engine& engine, resp::Reply& reply) { take_wait(session)->timeout(engine, session, reply); }

void forget_wait(Session& session, Engine& engine) {
  session.task.reset();
  if (session.waiting != nullptr) take_wait(session)->abandon(engine);
}

}  // namespace pinfold::command
