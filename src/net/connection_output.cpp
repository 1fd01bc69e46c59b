// What a client is sent: replies that go out at once, those that are deferred, and those that it has not read yet.

#include <algorithm>
#include <utility>

#include <sys/uio.h>

#include "pinfold/command/tracking.hpp"
#include "pinfold/net/connection.hpp"
#include "pinfold/net/io_thread.hpp"

namespace pinfold::net {

namespace {
// A longer rest of replies is not copied out of the thread's buffer.
constexpr std::size_t copied_output = 64 * 1024;
constexpr auto relaxed = std::memory_order_relaxed;
}  // namespace

void Connection::send() {
  if (unsent_.empty() && ending_ < Ending::when_sent && thread_.defer(*this)) return;
  thread_.send_deferred();
  if (ending_ == Ending::closed) return thread_.drop_replies();
  send_now();
  settle_spans();
}

void Connection::send_now() {
  resp::Output& output = thread_.output();
  bool ok = true;
  if (unsent_.empty()) {
    ok = send_some(output);
    if (ok && !output.empty()) {
      keep_unsent(output);
      restart_patience();
    }
  } else if (!output.empty()) {
    unsent_.move_from(output);
    if (pushed_) ok = send_some(unsent_);
  }
  thread_.drop_replies();
  if (!ok) return close();
  if (!unsent_.empty()) look_at_backlog();
}

void Connection::send_deferred(std::string_view replies) {
  if (ending_ == Ending::closed) return;
  if (unsent_.empty()) {
    const iovec run{const_cast<char*>(replies.data()), replies.size()};
    const Transport::Result result = write({&run, 1});
    if (result.outcome == Transport::Outcome::failed) return close();
    replies.remove_prefix(result.bytes);
    if (replies.empty()) return;
    restart_patience();
  }
  unsent_.append(replies);
  look_at_backlog();
  update_events();
}

void Connection::writable() {
  if (ending_ == Ending::closed || unsent_.empty()) return;
  if (!send_some(unsent_)) return close();
  sent();
}

// The transport has taken what it could of unsent_.
void Connection::sent() {
  settle_spans();
  if (unsent_.empty()) {
    unsent_.clear(subscribes() ? kept_output : 0);
    over_soft_limit_since_ = {};
  } else {
    unsent_.compact();  // a backlog that never becomes empty must not grow with all that was ever sent
  }
  account();
  if (unsent_.empty() && ending_ == Ending::when_sent) return close();
  if (unsent_.empty() && session_.task != nullptr) thread_.serve_task(*this);
  if (!blocked_by_.has(BlockedBy::backlog) || unsent_.size() > unread_limit() / 2) return update_events();
  blocked_by_.remove(BlockedBy::backlog);
  if (blocked()) return update_events();
  go_on();
}

Transport::Result Connection::write(std::span<const iovec> runs) {
  thread_.dispatcher().stats().writes.add();
  const Transport::Result result = transport_->write(runs);
  if (result.bytes == 0) return result;
  read_since_ += result.bytes;
  thread_.dispatcher().stats().net_output.add(result.bytes);
  add(session_.shared.net_output, result.bytes);
  session_.shared.last_active.store(thread_.now(), relaxed);
  return result;
}

// Sends what the transport takes. Returns false if the connection is broken.
bool Connection::send_some(resp::Output& output) {
  constexpr std::size_t most_runs = 64;
  iovec runs[most_runs];
  while (!output.empty()) {
    const std::size_t count = output.gather(runs, most_runs);
    const Transport::Result result = write({runs, count});
    if (result.outcome == Transport::Outcome::failed) return false;
    output.consume(result.bytes);
    if (result.outcome == Transport::Outcome::blocked) return true;
  }
  return true;
}

// The transport has taken some bytes and no more.
void Connection::keep_unsent(resp::Output& output) {
  if (output.size() <= copied_output) return unsent_.move_from(output);
  std::swap(unsent_, output);
  unsent_.set_account(nullptr);
  unsent_.begin_reply(SIZE_MAX);
  output.set_account(&thread_.reply_memory());
}

// To be called when there is more for the client to read.
void Connection::look_at_backlog() {
  account();
  if (unsent_.size() > unread_limit() && !unauthenticated()) blocked_by_.add(BlockedBy::backlog);
  check_output_limit();
}

// How long it takes to read a good part of its replies counts from now on.
void Connection::restart_patience() {
  reading_since_ = thread_.now();
  read_since_ = 0;
}

// A long command's reply comes in pieces.
bool Connection::is_in_reply() const { return session_.task != nullptr && session_.task->replying && !session_.task->in_parts; }

void Connection::push(std::string_view bytes, Audience audience) {
  if (audience == Audience::monitors) {
    if (!session_.shared.monitors.load(relaxed)) return;
    if (monitor_over_limit(bytes.size())) return close();
  }
  if (audience == Audience::invalidations || audience == Audience::invalidation_messages) {
    bytes = command::invalidations_in_form(session_, audience, bytes, thread_.engine());
    if (bytes.empty()) return;
  }
  push({.text = bytes});
}

void Connection::push(const PushText& text) noexcept {
  if (ending_ >= Ending::when_sent) return;
  thread_.guarded(*this, [&] { add_push(text); });
}

void Connection::add_push(const PushText& text) {
  const bool in_reply = is_in_reply();
  if (in_reply && kept_pushes_ == nullptr) kept_pushes_ = std::make_unique<resp::Output>();
  if (!in_reply && unsent_.empty()) {
    thread_.send_deferred();  // a reply to this client may be among them
    if (ending_ == Ending::closed) return;
  }
  resp::Output& output = in_reply ? *kept_pushes_ : unsent_;
  const std::size_t memory = output.memory();
  const bool unread = in_reply || (!unsent_.empty() && !pushed_);
  if (!in_reply && unsent_.empty()) restart_patience();
  const char type = session_.protocol >= 3 ? '>' : '*';
  if (constexpr std::size_t at_once = 4096; text.head.size() + text.text.size() <= at_once) [[likely]] {
    char* const begin = output.reserve(text.head.size() + text.text.size());
    char* const end = std::copy(text.text.begin(), text.text.end(), std::copy(text.head.begin(), text.head.end(), begin));
    if (!text.head.empty()) *begin = type;
    output.commit(end);
  } else {
    if (!text.head.empty()) {
      output.append({&type, 1});
      output.append(text.head.substr(1));
    }
    output.append(text.text);
  }
  if (text.blob != nullptr) output.append(*text.blob);
  output.append(text.end);
  look_at_pushes(unread, memory);
}

// `unread`: the client has more to read than its transport has taken. Otherwise the pushes are sent when others have been told, and until
// then they must not come to more than a reply may.
void Connection::look_at_pushes(bool unread, std::size_t memory) {
  const resp::Output& output = is_in_reply() ? *kept_pushes_ : unsent_;
  if (output.memory() != memory || output.held_bytes() != 0) account();
  if (unread) return check_output_limit();
  if (!std::exchange(pushed_, true)) thread_.send_pushes_later(*this);
  if (unsent_.size() <= IoThread::sent_at) return;
  check_output_limit();
  if (ending_ != Ending::closed && unsent_.size() > IoThread::sent_at) send_some_pushes();
}

void Connection::send_pushes() {
  pushed_ = false;
  send_some_pushes();
}

void Connection::send_some_pushes() {
  if (ending_ == Ending::closed) return;
  const std::size_t memory = unsent_.memory() + unsent_.held_bytes();
  if (!unsent_.empty() && !send_some(unsent_)) return close();
  const bool waited = (events_ & transport_->wants().write) != 0 || blocked_by_.has(BlockedBy::backlog);
  if (!unsent_.empty() || waited || session_.task != nullptr) [[unlikely]] {
    if (!unsent_.empty()) look_at_backlog();
    return ending_ != Ending::closed ? sent() : void();
  }
  settle_spans();
  unsent_.clear(kept_output);
  over_soft_limit_since_ = {};
  if (unsent_.memory() != memory) account();
}

// The reply that they had to wait for is over.
void Connection::push_kept() {
  send();
  thread_.send_deferred();  // a short end of the reply would come behind the pushes
  if (ending_ == Ending::closed) return;
  const std::unique_ptr<resp::Output> pushes = std::move(kept_pushes_);
  if (ending_ >= Ending::when_sent) return account();
  const bool unread = !unsent_.empty() && !pushed_;
  if (unsent_.empty()) restart_patience();
  unsent_.move_from(*pushes);
  account();
  look_at_pushes(unread, unsent_.memory());
}

}  // namespace pinfold::net
