// What a connection may cost, and which one is closed for what: memory, replies that are not read, time.

#include <algorithm>
#include <string>
#include <utility>

#include "pinfold/base/words.hpp"
#include "pinfold/command/attributes.hpp"
#include "pinfold/command/audit.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/net/connection.hpp"
#include "pinfold/net/io_thread.hpp"

namespace pinfold::net {

namespace {
constexpr std::int64_t idle_after_ms = 2000;
// A client that has not authenticated gets this much of replies it does not read (CVE-2025-21605).
constexpr std::size_t unauthenticated_output = 64 * 1024;
constexpr auto relaxed = std::memory_order_relaxed;
}  // namespace

// Whether those who have not authenticated would take more than they may together, if this one took `more`.
bool Connection::unauthenticated_take_too_much(std::size_t more) const {
  return thread_.engine().clients.unauthenticated_bytes.load(relaxed) + static_cast<std::int64_t>(more) >
         thread_.limits().unauthenticated_bytes;
}

bool Connection::query_limit_reached() {
  const auto most = static_cast<std::size_t>(thread_.engine().settings.integer(config::Id::client_query_buffer_limit));
  std::size_t bytes = capacity_ + parser_.memory();
  if (large_ != nullptr) {
    bytes += large_->arguments.bytes();
    if (large_->arrival != nullptr && !large_->arrival->refused()) bytes += large_->arrival->received();
  }
  if (bytes < most) return false;
  thread_.dispatcher().stats().query_limit_disconnections.add();
  log_closing("its unfinished request is larger than client-query-buffer-limit");
  return true;
}

// Whether an input buffer of this size is more than all clients may take together. Where others take more, they go
// first: see IoThread::make_clients_fit.
bool Connection::input_over_limit(std::size_t input) {
  if (unauthenticated() && unauthenticated_take_too_much(input - capacity_)) {
    thread_.engine().clients.count_evicted();
    log_closing("unauthenticated clients together take as much memory as they may (an eighth of maxmemory-clients)");
    return true;
  }
  if (exempt()) return false;
  if (input > user_share()) {
    thread_.engine().clients.count_closed_for_user(*session_.shared.usage);
    log_closing("its unfinished request is larger than the memory for clients of its user (maxmemory-user)");
    return true;
  }
  if (input <= thread_.limits().clients) return false;
  thread_.engine().clients.count_evicted();
  log_closing("its unfinished request is larger than the memory for clients (maxmemory-clients)");
  return true;
}

// Which all clients of its user may take together.
std::uint64_t Connection::user_share() const {
  return session_.shared.usage != nullptr ? thread_.engine().user_share(*session_.shared.usage) : UINT64_MAX;
}

// How much of unread replies the client may have before it must read.
std::size_t Connection::unread_limit() const { return std::min<std::uint64_t>(thread_.limits().unread, user_share() / 4); }

// Whether three quarters of what all clients, or those of its user, may take are taken.
bool Connection::memory_is_short() const {
  const std::uint64_t share = thread_.limits().clients;
  const std::uint64_t of_user = user_share();
  return thread_.engine().keyspace.memory().used(store::Use::clients) > share - share / 4 ||
         (of_user != UINT64_MAX && !thread_.engine().user_may_take(session_.shared, of_user / 4));
}

void Connection::cut_off() {
  thread_.drop_replies();
  thread_.dispatcher().stats().output_limit_disconnections.add();
  log_closing("the replies it waits for are too large (client-output-buffer-limit)");
  close();
}

void Connection::check_output_limit() {
  const std::size_t waiting = unsent_bytes();
  const config::OutputLimit limit =
      thread_.engine().settings.output_limit(subscribes() ? config::OutputClass::pubsub : config::OutputClass::normal);
  const bool unknown = unauthenticated() && (waiting > unauthenticated_output || unauthenticated_take_too_much(0));
  const bool hard = limit.hard > 0 && waiting > limit.hard;
  bool soft = false;
  if (limit.soft > 0 && waiting > limit.soft) {
    const MonoMs now = thread_.now();
    if (over_soft_limit_since_ == MonoMs{}) over_soft_limit_since_ = now;
    soft = now - over_soft_limit_since_ >= limit.soft_seconds * 1000;
  } else {
    over_soft_limit_since_ = {};
  }
  if (!unknown && !hard && !soft) return;
  thread_.dispatcher().stats().output_limit_disconnections.add();
  log_closing("it does not read its replies (client-output-buffer-limit)");
  close();
}

// A client that has sent MONITOR gets lines without asking for them: one that does not read them is not waited for.
bool Connection::monitor_over_limit(std::size_t more) {
  constexpr std::size_t most = 8 * 1024 * 1024;
  const std::size_t waiting = unsent_bytes() + more;
  if (waiting <= std::min(most, unread_limit())) return false;
  thread_.dispatcher().stats().output_limit_disconnections.add();
  log_closing("it does not read what MONITOR shows");
  return true;
}

// Whether it was given this long and has not even read `good_part` of its replies.
bool Connection::reads_slowly(std::int64_t patience) const { return !unsent_.empty() && thread_.now() - reading_since_ >= patience; }

// A client that does not read is closed when what it keeps is missing elsewhere, or when it will never read: one that goes on sending
// requests, more than may be kept, waits for them to be taken.
bool Connection::unread_over_limit() {
  constexpr std::int64_t patience_ms = 10'000;
  constexpr std::size_t harmless = 64 * 1024;
  constexpr std::size_t good_part = 64 * 1024;
  if (read_since_ >= good_part) restart_patience();
  if (!reads_slowly(patience_ms)) return false;
  if (blocked_by_.has(BlockedBy::backlog) && intake_ == Intake::full) {
    log_closing("it sends requests without reading the replies, and more of both than may be kept for it");
  } else if (!exempt() && unsent_.memory() > harmless && memory_is_short()) {
    log_closing("it does not read its replies while the memory for clients is short (maxmemory-clients, maxmemory-user)");
  } else {
    return false;
  }
  thread_.dispatcher().stats().output_limit_disconnections.add();
  return true;
}

// Whether the client reads the reply of a long command so slowly that it may not keep collections for it while they take too much memory.
// Those of a client that reads are soon free.
bool Connection::lingers() const {
  constexpr std::int64_t patience_ms = 1000;
  constexpr std::int64_t least_per_ms = 1024;
  const std::int64_t ms = thread_.now() - pinned_since_;
  if (unsent_.empty() || ms < patience_ms || blocked_by_.has(BlockedBy::pause)) return false;
  const std::uint64_t read = session_.shared.net_output.load(relaxed) - pinned_at_;
  return reads_slowly(patience_ms) || read < static_cast<std::uint64_t>(ms * least_per_ms);
}

// Values that only wait to be read, and are not stored any more, take room that eviction cannot get back.
std::size_t Connection::could_give_up() {
  constexpr std::size_t harmless = 64 * 1024;
  constexpr std::int64_t patience_ms = 1000;
  if (ending_ == Ending::closed || unsent_.empty()) return 0;
  std::size_t bytes = 0;
  if (unsent_.held_bytes() > harmless && reads_slowly(patience_ms)) bytes += unsent_.abandoned_bytes();
  if (accounted_pinned_ > harmless && session_.task != nullptr && lingers()) bytes += session_.task->loose();
  return bytes > harmless ? bytes : 0;
}

void Connection::give_way() {
  if (ending_ == Ending::closed) return;  // to close another connection may have closed this one
  thread_.dispatcher().stats().abandoned_disconnections.add();
  log_closing("it does not read its replies, whose values are no longer stored but take too much memory");
  close();
}

// Values on their way in are data, for which other data is evicted. When they come to half of the memory, clients whose values
// have stopped coming are closed.
bool Connection::arriving_over_limit(std::int64_t idle_ms) const {
  constexpr std::int64_t patience_ms = 1000;
  constexpr std::size_t harmless = 64 * 1024;
  const std::uint64_t memory = thread_.engine().keyspace.memory().limit();
  return memory > 0 && idle_ms > patience_ms && arriving() > harmless &&
         thread_.engine().clients.arriving.load(relaxed) > static_cast<std::int64_t>(memory / 2);
}

void Connection::tick() {
  if (ending_ == Ending::closed) return;
  if (session_.shared.closing.load(relaxed)) return close();
  if (shakes_hands()) {
    if (handshake_over_limit()) close();
    return;
  }
  const std::int64_t idle = thread_.now() - session_.shared.last_active.load(relaxed);
  const std::int64_t timeout = thread_.engine().settings.integer(config::Id::timeout);
  const bool listens = waits() || session_.shared.monitors.load(relaxed) || subscribes();
  if (timeout > 0 && idle > timeout * 1000 && !blocked_by_.has(BlockedBy::pause) && !listens) {  // a client that is behind could read
    thread_.dispatcher().stats().idle_disconnections.add();
    audit_closing("it was idle for longer than the setting timeout");
    return close();
  }
  account();
  if (arriving_over_limit(idle)) {
    thread_.engine().clients.count_evicted();
    log_closing("its large request has stopped coming, and all such take half of the memory");
    return close();
  }
  if (!unsent_.empty() || kept_pushes_ != nullptr) {
    if (unread_over_limit()) return close();
    check_output_limit();
    if (ending_ == Ending::closed) return;
  }
  if (session_.task != nullptr ? session_.task->asleep : session_.waiting != nullptr && session_.waiting->wants_retry()) {
    thread_.serve_task(*this);
  }
  // There may be room again.
  if (intake_ == Intake::full) {
    intake_ = Intake::open;
    update_events();
  }
  if (idle > idle_after_ms && capacity_ > idle_input && filled_ == 0) {
    parser_.release_memory();
    resize_input(idle_input);
  }
}

void Connection::account() {
  command::Engine& engine = thread_.engine();
  const std::size_t transport = ending_ == Ending::closed ? 0 : transport_->memory();
  const std::size_t now = sizeof(Connection) + transport + capacity_ + parser_.memory() + unsent_.memory() +
                          command::attribute_memory(session_.shared) + (kept_pushes_ != nullptr ? kept_pushes_->memory() : 0);
  engine.keyspace.memory().add(store::Use::clients, static_cast<std::int64_t>(now) - static_cast<std::int64_t>(accounted_));
  accounted_ = now;
  accounted_arguments_ = parser_.memory();
  const std::size_t blobs = unsent_.held_bytes() + (kept_pushes_ != nullptr ? kept_pushes_->held_bytes() : 0);
  if (blobs != accounted_blobs_) {
    engine.clients.unread_blobs.fetch_add(static_cast<std::int64_t>(blobs) - static_cast<std::int64_t>(accounted_blobs_), relaxed);
    accounted_blobs_ = blobs;
  }
  account_pinned();
  if (const std::size_t large = ending_ == Ending::closed ? 0 : arriving(); large != accounted_arriving_) {
    engine.clients.arriving.fetch_add(static_cast<std::int64_t>(large) - static_cast<std::int64_t>(accounted_arriving_), relaxed);
    accounted_arriving_ = large;
  }
  // What handshakes take together has a limit of its own (IoThread::Limits::handshakes).
  const std::size_t usual = sizeof(Connection) + idle_input + (shakes_hands() ? transport : transport_->idle_memory());
  const std::size_t beyond = now - std::min(now, usual);
  if (const std::size_t unauthenticated_bytes = ending_ == Ending::closed || !unauthenticated() ? 0 : beyond;
      unauthenticated_bytes != accounted_unauthenticated_) [[unlikely]] {
    engine.clients.unauthenticated_bytes.fetch_add(
        static_cast<std::int64_t>(unauthenticated_bytes) - static_cast<std::int64_t>(accounted_unauthenticated_), relaxed);
    accounted_unauthenticated_ = unauthenticated_bytes;
  }
  session_.shared.input_room.store(capacity_, relaxed);
  session_.shared.output_bytes.store(unsent_.size(), relaxed);
  session_.shared.buffer_memory.store(now, relaxed);
  if (ending_ == Ending::closed) return engine.clients.recount(session_.shared);
  engine.enforce_user_share(session_);
}

// What the task of a long command keeps while its reply is being sent.
void Connection::account_pinned() {
  const bool replies = ending_ != Ending::closed && session_.task != nullptr && session_.task->replying;
  const std::uint64_t now = replies ? session_.task->pinned() : 0;
  if (now == accounted_pinned_) return;
  if (accounted_pinned_ == 0) restart_pinned();
  thread_.engine().clients.pinned.fetch_add(static_cast<std::int64_t>(now) - static_cast<std::int64_t>(accounted_pinned_), relaxed);
  accounted_pinned_ = now;
}

// How fast it reads what its long command replies counts from now on.
void Connection::restart_pinned() {
  pinned_since_ = thread_.now();
  pinned_at_ = session_.shared.net_output.load(relaxed);
}

// Bytes of large arguments that have come: of the request at hand, and of those that wait for EXEC.
std::size_t Connection::arriving() const {
  const std::size_t queued = session_.transaction != nullptr ? session_.transaction->large_bytes : 0;
  return session_.shared.large_bytes.load(relaxed) + queued;
}

void Connection::log_closing(std::string_view reason) {
  thread_.engine().events.note(EventLog::Kind::closed_clients, [&] {
    return "closing client " + std::to_string(session_.shared.id) + " (" + session_.shared.address + "): " + std::string(reason);
  });
  audit_closing(reason);
}

void Connection::log_eviction(command::Evicted why) {
  if (why == command::Evicted::for_all) return log_closing("it takes the most of the memory for clients (maxmemory-clients)");
  log_closing("it takes the most of the memory for clients of the user '" + excerpt(command::user_name(session_.shared)) +
              "' (maxmemory-user)");
}

// Why a connection ends that no limit has closed.
std::string_view Connection::end_reason() const {
  if (session_.shared.closing.load(relaxed)) return "it was killed";
  if (parsed_ == resp::Parser::Result::error) return "what it sent is not the Redis protocol";
  const command::Row* const last = session_.shared.last_command.load(relaxed);
  if (session_.close_after_reply) return last != nullptr && last->name == "quit" ? "it said QUIT" : "its last request ends the connection";
  return "the client closed it, or the network did";
}

// Once for each connection: the first reason is the true one.
void Connection::audit_closing(std::string_view reason) {
  if (std::exchange(closing_told_, true)) return;
  command::audit_connection(thread_.engine(), AuditLog::Kind::connection_closed, session_.shared, reason);
}

void Connection::log_refusal() {
  thread_.engine().events.note(EventLog::Kind::refused_clients, [&] {
    return "refused client " + std::to_string(session_.shared.id) + " (" + session_.shared.address +
           "): it is on another machine, and no password is asked for (protected-mode)";
  });
  closing_told_ = !established_;  // else it was accepted, and is told to be closed as well
  command::audit_connection(thread_.engine(), AuditLog::Kind::connection_refused, session_.shared, "protected-mode");
}

}  // namespace pinfold::net
