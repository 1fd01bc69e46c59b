// Clients that wait: for the end of a CLIENT PAUSE, for a reply that comes later, for a long command of their own.

#include <utility>

#include "pinfold/net/connection.hpp"
#include "pinfold/net/io_thread.hpp"

namespace pinfold::net {

namespace {
constexpr auto relaxed = std::memory_order_relaxed;
}  // namespace

void Connection::set_paused(bool paused) {
  if (blocked_by_.has(BlockedBy::pause) == paused) return;
  if (paused) {
    blocked_by_.add(BlockedBy::pause);
  } else {
    blocked_by_.remove(BlockedBy::pause);
  }
  session_.shared.paused.store(paused, relaxed);
  thread_.engine().clients.blocked_by_pause.fetch_add(paused ? 1 : -1, relaxed);
}

void Connection::resume() {
  if (!blocked_by_.has(BlockedBy::pause) || ending_ == Ending::closed) return;
  set_paused(false);
  restart_pinned();
  if (waits()) return thread_.serve_task(*this);
  go_on();
}

void Connection::begin_wait() {
  if (session_.task != nullptr) return thread_.serve_task(*this);
  const command::Waiting& waiting = *session_.waiting;
  if (waiting.unblocks) session_.shared.waiting.store(waiting.ticket, relaxed);
  wait_until_ = waiting.until;
  if (wait_until_ != MonoMs{}) thread_.await(wait_until_, *this);
}

// Writes the reply that was waited for, and goes on with what came behind it.
void Connection::reply_late(const std::function<void(resp::Reply&)>& write) {
  begin_reply();
  resp::Reply reply(thread_.output(), session_.protocol);
  write(reply);
  end_late_reply(reply);
}

// The client's wait is over, and its reply has been written, or a long command is to write it.
void Connection::end_late_reply(resp::Reply& reply) {
  if (wait_until_ != MonoMs{}) thread_.await_no_longer(std::exchange(wait_until_, {}), *this);
  session_.shared.last_active.store(thread_.now(), relaxed);
  if (session_.close_after_reply) advance(Ending::when_sent);  // its user was removed
  if (waits()) begin_wait();
  end_reply(reply);
  if (ending_ == Ending::closed) return;
  if (waits()) {  // what the long command has already replied must not stay before the replies of others
    send();
    if (ending_ != Ending::closed) update_events();
    return;
  }
  if (!spans_.empty()) end_late_span(reply);
  if (session_.tracking != nullptr) command::end_late_reads(session_, thread_.engine());
  go_on();
}

void Connection::retry_wait() {
  if (session_.waiting == nullptr || !session_.waiting->wants_retry()) return;
  if (session_.shared.closing.load(relaxed)) return close();
  command::Dispatcher& dispatcher = thread_.dispatcher();
  if (dispatcher.must_rest(session_, *session_.waiting->row)) {
    set_paused(true);
    return thread_.await_pause_end(*this);
  }
  begin_reply();
  resp::Reply reply(thread_.output(), session_.protocol);
  if (dispatcher.retry(session_, reply)) end_late_reply(reply);
}

bool Connection::answer(std::uint64_t ticket, const Delivery& answer) {
  if (ending_ == Ending::closed || session_.waiting == nullptr || session_.waiting->ticket != ticket) return false;
  bool taken = true;
  reply_late([&](resp::Reply& reply) { taken = command::answer_wait(session_, thread_.engine(), answer, reply); });
  return taken;
}

void Connection::end_wait(bool with_error) {
  if (ending_ == Ending::closed || session_.waiting == nullptr) return;
  if (with_error) {
    command::forget_wait(session_, thread_.engine());
    return reply_late([](resp::Reply& reply) { reply.error("UNBLOCKED client unblocked via CLIENT UNBLOCK"); });
  }
  reply_late([&](resp::Reply& reply) { command::end_wait(session_, thread_.engine(), reply); });
}

void Connection::work() {
  in_tasks = false;
  if (ending_ == Ending::closed || blocked_by_.has(BlockedBy::pause)) return;
  if (session_.task == nullptr) return retry_wait();
  // Who killed it may have been told already, before this thread is. What is under way cannot be called back.
  if (session_.shared.closing.load(relaxed) && !session_.task->irrevocable) return close();
  // A reply that has begun goes on when the client has read so far; before, nothing is gained by waiting for that.
  if (!unsent_.empty() && session_.task->replying) return;
  command::Dispatcher& dispatcher = thread_.dispatcher();
  if (dispatcher.must_rest(session_, *session_.task->row)) {
    set_paused(true);
    return thread_.await_pause_end(*this);
  }
  resp::Output& output = thread_.output();
  const bool accounted = session_.task->accounted;
  begin_reply();
  if (accounted) output.set_account(nullptr);
  resp::Reply reply(output, session_.protocol);
  const std::uint64_t began = ThreadClock::ticks();
  const bool done = dispatcher.step(session_, reply);
  thread_.tracer().stepped(spans_, ThreadClock::ticks_since(began));
  output.set_account(&thread_.reply_memory());
  if (accounted && output.overflow() != resp::Output::Overflow::none) return cut_off();
  end_reply(reply);
  if (ending_ == Ending::closed) return;
  account();
  if (done) {
    if (session_.tracking != nullptr) command::end_late_reads(session_, thread_.engine());
    if (!spans_.empty()) end_late_span(reply);
    session_.shared.last_active.store(thread_.now(), relaxed);
    if (session_.close_after_reply || session_.shared.closing.load(relaxed)) advance(Ending::when_sent);
    if (kept_pushes_ != nullptr) push_kept();
    if (ending_ == Ending::closed) return;
    return go_on();
  }
  send();
  if (ending_ == Ending::closed) return;
  const command::Task& task = *session_.task;
  if (!task.asleep && (unsent_.empty() || !task.replying)) return thread_.serve_task(*this);
  update_events();  // the next step when somebody wakes it, the next piece when this one has been read
}

}  // namespace pinfold::net
