#include "pinfold/net/connection.hpp"

#include <algorithm>
#include <utility>

#include <sys/epoll.h>

#include "pinfold/base/address.hpp"
#include "pinfold/command/audit.hpp"
#include "pinfold/command/notable.hpp"
#include "pinfold/net/io_thread.hpp"

namespace pinfold::net {

namespace {
// A client that has not authenticated may announce this little (CVE-2021-32675).
constexpr std::int64_t unauthenticated_arguments = 10;
constexpr std::int64_t unauthenticated_bulk = 16 * 1024;
constexpr auto relaxed = std::memory_order_relaxed;
}  // namespace

Connection::Connection(IoThread& thread, std::unique_ptr<Transport> transport, std::uint64_t id)
    : thread_(thread), transport_(std::move(transport)) {
  command::Engine& engine = thread_.engine();
  command::SharedClient& shared = session_.shared;
  Transport::Addresses addresses = transport_->addresses();
  session_.receiver = this;
  shared.id = id;
  shared.fd = transport_->descriptor();
  shared.unix_socket = addresses.unix_socket;
  shared.thread = thread_.index();
  shared.created = monotonic_ms();
  shared.last_active.store(shared.created, relaxed);
  handshake_since_ = shared.created;
  shared.address = std::move(addresses.peer);
  shared.local_address = std::move(addresses.local);
  session_.set_user(engine.users.of_new_connection());
  engine.clients.add(shared);  // may throw, and nothing has been counted then
  engine.clients.set_transport_bytes(shared, transport_->idle_memory());
}

Connection::~Connection() {
  transport_->shutdown();
  set_paused(false);
  end_handshake();
  if (established_) thread_.engine().tls.clients.fetch_sub(1, relaxed);
  thread_.engine().clients.set_transport_bytes(session_.shared, 0);
  command::forget_wait(session_, thread_.engine());
  thread_.dispatcher().end_session(session_);
  thread_.engine().clients.remove(session_.shared);
  thread_.engine().keyspace.memory().add(store::Use::clients, -static_cast<std::int64_t>(accounted_));
  thread_.engine().clients.unread_blobs.fetch_sub(static_cast<std::int64_t>(accounted_blobs_), relaxed);
  thread_.engine().clients.pinned.fetch_sub(static_cast<std::int64_t>(accounted_pinned_), relaxed);
  thread_.engine().clients.unauthenticated_bytes.fetch_sub(static_cast<std::int64_t>(accounted_unauthenticated_), relaxed);
}

void Connection::start() {
  thread_.dispatcher().stats().connections_received.add();
  resize_input(idle_input);
  events_ = transport_->wants().read | (shakes_hands() ? EPOLLONESHOT : 0U);
  if (!thread_.loop().add(transport_->descriptor(), events_, *this)) return close();
  // Whether a client has a certificate is known after its handshake.
  const bool may_be_certified = shakes_hands() && thread_.engine().settings.integer(config::Id::tls_auth_clients) != 0;
  if (!may_be_certified && is_protected_from()) [[unlikely]]
    return refuse();
  command::audit_connection(thread_.engine(), AuditLog::Kind::connection_accepted, session_.shared, {});
}

// Whether protected-mode keeps the client out: it comes from another machine, and nobody would ask it for a password.
bool Connection::is_protected_from() const {
  const command::Engine& engine = thread_.engine();
  const command::SharedClient& shared = session_.shared;
  return engine.settings.flag(config::Id::protected_mode) && !engine.users.ask_password() && !shared.unix_socket &&
         !is_loopback(shared.address);
}

// A client whose handshake has not begun is told in the way of its transport.
void Connection::refuse() {
  thread_.dispatcher().stats().protected_connections.add();
  log_refusal();
  if (shakes_hands()) {
    transport_->decline();
    return close();
  }
  begin_reply();
  resp::Reply reply(thread_.output(), session_.protocol);
  reply.error(
      "DENIED Pinfold is running in protected mode: it asks for no password, so it serves only clients on its own machine. To connect from "
      "another one, do one of these. 1) Set a password: 'CONFIG SET requirepass <password>' from a client on that machine, or requirepass "
      "in the settings file or the environment (PINFOLD_REQUIREPASS). 2) If nobody but the intended clients can reach its addresses, turn "
      "the protection off: 'CONFIG SET protected-mode no', or protected-mode in the settings file. 3) Let it listen on 127.0.0.1 only "
      "(bind), or on a unix socket.");
  end_reply(reply);
  if (ending_ == Ending::closed) return;
  advance(Ending::when_sent);
  finish();
}

void Connection::close(std::string_view reason) {
  if (ending_ == Ending::closed) return;
  thread_.send_deferred();  // its own may be among them; to send them may have closed it
  if (ending_ == Ending::closed) return;
  advance(Ending::closed);
  end_handshake();
  transport_->shutdown();
  set_paused(false);
  if (wait_until_ != MonoMs{}) thread_.await_no_longer(std::exchange(wait_until_, {}), *this);
  command::forget_wait(session_, thread_.engine());
  forget_large();
  if (!spans_.empty()) thread_.tracer().close(spans_);
  unsent_.clear(0);
  kept_pushes_.reset();
  account();
  if (const command::Evicted why = session_.shared.evicted.load(relaxed); why != command::Evicted::no) log_eviction(why);
  audit_closing(reason.empty() ? end_reason() : reason);
  thread_.destroy_later(*this);
}

// Whether the client may do nothing but authenticate.
bool Connection::unauthenticated() const { return session_.unauthenticated(thread_.engine().users); }

resp::Limits Connection::limits() const {
  if (unauthenticated()) return {.arguments = unauthenticated_arguments, .bulk = unauthenticated_bulk, .authenticated = false};
  return {.arguments = INT32_MAX,
          .bulk = thread_.engine().settings.integer(config::Id::proto_max_bulk_len),
          .authenticated = true,
          .memory = exempt() ? SIZE_MAX : thread_.client_memory_left(),
          .body = Arrival::least_size};
}

// Requests of all connections that are ready are parsed before the first is executed: IoThread does that when all have been told.
void Connection::ready(std::uint32_t events) {
  const bool usual = transport_->usual();
  if (!usual) [[unlikely]] {
    if (shakes_hands()) return wait_for_handshake();
    events = translated(events);
  }
  if ((events & ~EPOLLIN) != 0) [[unlikely]]
    ready_beside_input(events);
  thread_.guarded(*this, [this, events] {
    if (has_more_input()) return;  // has its turn in IoThread::serve_unfinished
    if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) receive();
    if (!has_more_input()) parse(thread_.batch());
  });
  if (!usual || !transport_->usual()) [[unlikely]]
    thread_.guarded(*this, [this] { update_events(); });
}

// A transport may read when its descriptor is writable, and write when that is readable.
std::uint32_t Connection::translated(std::uint32_t events) const {
  const Transport::Wants wants = transport_->wants();
  const bool reads = (events & wants.read) != 0;
  const bool writes = (events & wants.write) != 0;
  return (events & ~(EPOLLIN | EPOLLOUT)) | (reads ? EPOLLIN : 0U) | (writes ? EPOLLOUT : 0U);
}

void Connection::ready_beside_input(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) thread_.guarded(*this, [this] { writable(); });
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) hung_up();
  if ((events & EPOLLRDHUP) != 0) thread_.guarded(*this, [this] { input_ends(); });
}

void Connection::parse_more(Batch& batch) {
  intake_ = Intake::open;
  const bool all_parsed = parsed_ != resp::Parser::Result::command;
  if (transport_->pending() > 0 && (all_parsed || blocked())) [[unlikely]]
    receive();
  if (!has_more_input()) parse(batch);
  if (blocked() && !transport_->usual()) [[unlikely]]
    update_events();  // else finish() does it
}

// Input is received even with replies waiting: a client may send all of its requests before it reads.
void Connection::update_events() {
  if (ending_ == Ending::closed) return;
  const bool receives = ending_ == Ending::open && !(blocked() && intake_ == Intake::full);
  // The end of a silent client's input is received, unless that was before it began to wait.
  const bool may_leave = ends_wait_with_input() && (!waits_in_silence() || ending_ != Ending::open);
  const bool usual = transport_->usual();
  const Transport::Wants wants = usual ? Transport::Wants{} : transport_->wants();
  std::uint32_t events = (receives ? wants.read : 0U) | (unsent_.empty() ? 0U : wants.write) | (may_leave ? EPOLLRDHUP : 0U);
  // A client whose handshake waits for its turn is not reported again meanwhile.
  if (!usual && shakes_hands()) events |= EPOLLONESHOT;
  if (events != events_) {
    events_ = events;
    thread_.loop().change(transport_->descriptor(), events, *this);
  }
  // Nobody reports bytes that the transport holds.
  if (!usual && receives && transport_->pending() > 0) [[unlikely]]
    queue();
}

void Connection::queue() {
  if (has_more_input()) return;
  note_unserved();
  intake_ = Intake::queued;
  thread_.serve_again(*this);
}

void Connection::parse(Batch& batch) {
  if (ending_ >= Ending::when_sent || blocked()) return;
  if (filled_ == 0) {
    unserved_since_ = 0;
    if (ending_ == Ending::input_ended) finish();
    return;
  }
  // A request that is as large does not fit into a smaller buffer, unless an argument of it has a block of its own.
  if (capacity_ >= thread_.limits().large_request) [[unlikely]]
    thread_.look_at_all();
  const resp::Limits most = limits();
  parsed_ = resp::Parser::Result::command;
  bool any = false;
  while (!batch.full()) {
    const std::size_t start = parser_.consumed();
    parsed_ = parser_.next({input_.get(), filled_}, most);
    while (parsed_ == resp::Parser::Result::body) {
      if (must_wait_for_rights(any)) {
        parsed_ = resp::Parser::Result::command;  // there is more to parse, later
        return account_arguments();
      }
      if (!take_body()) break;
      parsed_ = parser_.next({input_.get(), filled_}, most);
    }
    if (parsed_ != resp::Parser::Result::command) break;
    batch.add(*this, start, parser_.args());
    any = true;
    arrival_matches_ = security::MatchBudget(command::most_matches_of_arrivals);
    const bool large = large_ != nullptr && large_->parsed > 0;
    if (large) large_->start = start;
    // An inline command's arguments do not outlast the next one, what an unauthenticated client may send depends on its last
    // command, and there is a place for one request's large arguments: one at a time then.
    if (parser_.args_are_copies() || !most.authenticated || large) break;
  }
  account_arguments();
  if (any) return;
  unserved_since_ = 0;
  finish();
}

template <bool traced>
[[gnu::always_inline]] inline void Connection::execute_one(std::size_t start, command::Args args, command::Prepared& prepared, bool last) {
  if (ending_ >= Ending::when_sent || turn_ >= Turn::blocked) return;
  // Who killed it may have been told already, before this thread is.
  if (session_.shared.closing.load(relaxed)) [[unlikely]]
    return advance(Ending::when_sent);
  command::Dispatcher& dispatcher = thread_.dispatcher();
  // A connection that has taken a millisecond is served again after the others.
  const MonoMs now = dispatcher.clock().last().mono;
  const bool spent = turn_ == Turn::begun && now - turn_began_ > 1;
  if (blocked() || spent) [[unlikely]]
    return put_off(start, spent ? Turn::spent : Turn::blocked);
  if (dispatcher.must_wait(session_, args, prepared)) {
    thread_.await_pause_end(*this);
    set_paused(true);
    return put_off(start, Turn::blocked);
  }
  if (std::exchange(turn_, Turn::begun) != Turn::begun) turn_began_ = now;
  begin_reply();
  resp::Reply reply(thread_.output(), session_.protocol);
  const bool large = large_ != nullptr && large_->start == start;
  if (large) {
    prepared.large = &large_->arguments;
    thread_.look_at_all();
  }
  session_.more_to_come = !last || filled_ > parser_.consumed();
  bool spans = false;
  if constexpr (traced) spans = begin_span(args, prepared);
  dispatcher.execute(session_, args, prepared, reply);
  if (waits()) [[unlikely]]
    begin_wait();
  if (session_.close_after_reply || session_.shared.closing.load(relaxed)) advance(Ending::when_sent);
  end_reply(reply);
  if constexpr (traced) {
    if (spans) end_span(reply);
    if (last && parsed_ != resp::Parser::Result::command) unserved_since_ = 0;
  }
  if (thread_.output().size() >= thread_.look_at_output()) [[unlikely]]
    look_at_size(args, prepared);
  if (large) forget_large();
}

void Connection::execute(std::size_t start, command::Args args, command::Prepared& prepared, bool last) {
  execute_one<false>(start, args, prepared, last);
}

void Connection::execute_traced(std::size_t start, command::Args args, command::Prepared& prepared, bool last) {
  execute_one<true>(start, args, prepared, last);
}

bool Connection::begin_span(command::Args args, const command::Prepared& prepared) {
  const std::uint64_t received = unserved_since_ != 0 ? unserved_since_ : thread_.round_began();
  return thread_.tracer().begin(session_, prepared.row, args, received);
}

// In an EXEC's reply there may be errors of its commands.
void Connection::end_span(const resp::Reply& reply) {
  if (ending_ == Ending::closed) return thread_.tracer().cut_off(session_);
  const std::string_view error = thread_.output().replies_error() ? std::string_view(reply.last_error_code()) : std::string_view();
  thread_.tracer().executed(spans_, session_, error, written());
}

void Connection::end_late_span(const resp::Reply& reply) {
  if (ending_ != Ending::closed) thread_.tracer().waited(spans_, reply.last_error_code(), written());
}

RequestTracer::Written Connection::written() const {
  const std::uint64_t now = session_.shared.net_output.load(relaxed);
  return {now, now + unsent_.size() + thread_.output().size() - thread_.deferred_bytes()};
}

void Connection::settle_spans() {
  if (!spans_.empty()) thread_.tracer().settle(spans_, session_.shared.net_output.load(relaxed));
}

// What has been received is not executed in this round.
void Connection::note_unserved() {
  if (unserved_since_ == 0 && thread_.engine().tracing.on()) unserved_since_ = thread_.round_began();
}

// Notes the request and its reply if they are large, and sends if much waits to be sent. What is queued by MULTI is noted by EXEC.
void Connection::look_at_size(command::Args args, const command::Prepared& prepared) {
  if (ending_ == Ending::closed) return;
  if (prepared.row != nullptr && session_.transaction == nullptr && !unauthenticated()) {
    command::note_request_size(thread_.engine(), session_, *prepared.row, args);
    if (!waits()) command::note_reply_size(thread_.engine(), session_, *prepared.row, args, thread_.output().reply_size());
  }
  if (thread_.output().size() > IoThread::sent_at) send();
}

// The request at `start` and those behind it are parsed again later.
void Connection::put_off(std::size_t start, Turn why) {
  turn_ = why;
  note_unserved();
  parser_.rewind(start);
  arrival_matches_ = security::MatchBudget(command::most_matches_of_arrivals);
  if (large_ == nullptr) return;
  // They have come, and will be given to the parser once more.
  large_->parsed = 0;
  large_->start = LargeRequest::unfinished;
}

void Connection::begin_reply() {
  thread_.reply_memory().set_client(session_.shared);
  const std::size_t most = thread_.limits().output;
  thread_.output().begin_reply(most + std::min(thread_.deferred_bytes(), SIZE_MAX - most));  // those are not its replies
}

// A reply for which there is no memory is answered with an error in its place.
void Connection::end_reply(resp::Reply& reply) {
  const resp::Output::Overflow overflow = thread_.output().overflow();
  if (overflow == resp::Output::Overflow::none) [[likely]]
    return;
  if (overflow == resp::Output::Overflow::cap) return cut_off();
  thread_.output().take_back_reply();
  thread_.reply_memory().settle(thread_.output().memory());
  const command::Row* const row = session_.shared.last_command.load(relaxed);
  const bool executed = row != nullptr && row->name == "exec";
  reply.error(executed ? "ERR the transaction was executed, but its replies would take more memory than clients may have "
                         "(maxmemory-clients, maxmemory-user)"
                       : "ERR the reply would take more memory than clients may have (maxmemory-clients, maxmemory-user)");
  thread_.dispatcher().stats().errors.add(reply.last_error_code());
}

void Connection::finish() {
  if (ending_ == Ending::closed) return thread_.drop_replies();
  if (std::exchange(turn_, Turn::not_begun) == Turn::spent) parsed_ = resp::Parser::Result::command;  // the rest is still in the input
  if (!blocked() && ending_ < Ending::when_sent && parsed_ == resp::Parser::Result::error) {
    thread_.dispatcher().stats().protocol_errors.add();
    begin_reply();
    resp::Reply reply(thread_.output(), session_.protocol);
    reply.error("ERR Protocol error: " + parser_.error());
    end_reply(reply);
    if (ending_ == Ending::closed) return;
    advance(Ending::when_sent);
  }
  drop_consumed(false);
  account_arguments();
  session_.shared.input_bytes.store(filled_, relaxed);
  send();
  if (ending_ == Ending::closed) return;
  if (accounted_unauthenticated_ > 0 && !unauthenticated()) [[unlikely]]
    account();
  if (capacity_ > idle_input && filled_ == 0 && thread_.clients_are_tight()) [[unlikely]]
    resize_input(idle_input);
  const bool more = parsed_ == resp::Parser::Result::command;
  if (!blocked()) {
    if (intake_ == Intake::full) intake_ = Intake::open;
    if (ending_ == Ending::input_ended && (!more || filled_ == 0)) advance(Ending::when_sent);
  }
  if (ending_ == Ending::when_sent) {
    thread_.send_deferred();
    if (ending_ == Ending::closed) return;
    if (unsent_.empty()) return close();
  }
  update_events();
  if (more && !blocked() && ending_ != Ending::when_sent) queue();
}

// The requests that were put off are still in the input.
void Connection::go_on() {
  parsed_ = resp::Parser::Result::command;
  finish();
}

// The places of many arguments are in the account as soon as they are there.
void Connection::account_arguments() {
  constexpr std::size_t little = 16 * 1024;
  const std::size_t now = parser_.memory();
  if (std::max(now, accounted_arguments_) > little && now != accounted_arguments_) [[unlikely]]
    account();
}

}  // namespace pinfold::net
