#include "pinfold/net/connection.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <utility>

#include <sys/epoll.h>
#include <sys/uio.h>

#include "pinfold/command/attributes.hpp"
#include "pinfold/command/cache_reads.hpp"
#include "pinfold/net/io_thread.hpp"

namespace pinfold::net {

namespace {

constexpr std::size_t idle_input = 512;
constexpr std::size_t busy_input = 16 * 1024;
constexpr std::size_t copied_output = 64 * 1024;  // a longer rest of replies is not copied out of the thread's buffer
constexpr std::size_t batch_output = 256 * 1024;  // send before going on with the next request
constexpr std::int64_t idle_after_ms = 2000;
constexpr std::int64_t handshake_patience_ms = 10'000;
// A client that has not authenticated gets this much of replies it does not read (CVE-2025-21605), and may announce
// this little (CVE-2021-32675).
constexpr std::size_t stranger_output = 64 * 1024;
constexpr std::int64_t stranger_arguments = 10;
constexpr std::int64_t stranger_bulk = 16 * 1024;

constexpr auto relaxed = std::memory_order_relaxed;

// For a counter that only this thread writes: no locked instruction.
void add(std::atomic<std::uint64_t>& counter, std::uint64_t n) { counter.store(counter.load(relaxed) + n, relaxed); }

}  // namespace

Connection::Connection(IoThread& thread, std::unique_ptr<Transport> transport, std::uint64_t id)
    : thread_(thread), transport_(std::move(transport)) {
  command::Engine& engine = thread_.engine();
  command::SharedClient& shared = session_.shared;
  Transport::Addresses addresses = transport_->addresses();
  shared.id = id;
  shared.fd = transport_->descriptor();
  shared.unix_socket = addresses.unix_socket;
  shared.thread = thread_.index();
  shared.created = monotonic_ms();
  shared.last_active.store(shared.created, relaxed);
  shared.address = std::move(addresses.peer);
  shared.local_address = std::move(addresses.local);
  session_.set_user(engine.users.of_new_connection());
  engine.clients.add(shared);
}

Connection::~Connection() {
  transport_->shutdown();
  set_paused(false);
  command::forget_wait(session_, thread_.engine());
  thread_.dispatcher().end_session(session_);
  thread_.engine().clients.remove(session_.shared);
  thread_.engine().keyspace.memory().add(store::Use::clients, -static_cast<std::int64_t>(accounted_));
  thread_.engine().clients.unread_blobs.fetch_sub(static_cast<std::int64_t>(accounted_blobs_), relaxed);
  thread_.engine().clients.strangers.fetch_sub(static_cast<std::int64_t>(accounted_stranger_), relaxed);
}

void Connection::start() {
  thread_.dispatcher().stats().connections_received.add();
  resize_input(idle_input);
  events_ = transport_->wants().read;
  if (!thread_.loop().add(transport_->descriptor(), events_, *this)) close();
}

// Requests of all connections that are ready are parsed before the first is executed: IoThread does that when all have been told.
void Connection::ready(std::uint32_t events) {
  constexpr std::uint32_t broken = EPOLLERR | EPOLLHUP;
  const Transport::Wants wants = transport_->wants();
  if ((events & wants.write) != 0) thread_.guarded(*this, [this] { writable(); });
  if ((events & broken) != 0) hung_up();
  if ((events & EPOLLRDHUP) != 0) thread_.guarded(*this, [this] { input_ends(); });
  thread_.guarded(*this, [&] {
    if (more_input_) return;  // has its turn in IoThread::serve_unfinished
    if ((events & (wants.read | broken)) != 0) receive();
    if (!more_input_) parse(thread_.batch());
  });
  // TLS may wait for something else now, or hold bytes that nobody reports.
  if (transport_->wants() != wants || transport_->pending() > 0) [[unlikely]]
    update_events();
}

void Connection::receive_pending() {
  in_pending = false;
  if (closed_ || transport_->pending() == 0) return;
  thread_.guarded(*this, [this] {
    if (more_input_) return;
    receive();
    if (!more_input_) parse(thread_.batch());
  });
  update_events();
}

void Connection::wait_for(std::uint32_t events) {
  if (events == events_) return;
  events_ = events;
  thread_.loop().change(transport_->descriptor(), events, *this);
}

// Whether the client may do nothing but authenticate.
bool Connection::stranger() const { return session_.unauthenticated(thread_.engine().users); }

// Whether those who have not authenticated would take more than they may together, if this one took `more`.
bool Connection::too_many_strangers(std::size_t more) const {
  return thread_.engine().clients.strangers.load(relaxed) + static_cast<std::int64_t>(more) > thread_.limits().strangers;
}

resp::Limits Connection::limits() const {
  if (stranger()) return {.arguments = stranger_arguments, .bulk = stranger_bulk, .authenticated = false};
  return {.arguments = INT32_MAX,
          .bulk = thread_.engine().settings.integer(config::Id::proto_max_bulk_len),
          .authenticated = true,
          .memory = spared() ? SIZE_MAX : thread_.client_memory_left(),
          .body = Arrival::least_size};
}

// --- reading ---

void Connection::receive() {
  // What has been received is executed first: a client may send its requests and close.
  if (closed_ || close_when_sent_ || more_input_ || input_ended_) return;
  if (held()) [[unlikely]] {
    if (!make_room_while_held()) {
      input_full_ = true;
      return update_events();
    }
  } else if (must_grow() && !make_room()) {
    return close();
  }
  const bool large = large_ != nullptr && large_->arrival != nullptr;
  thread_.dispatcher().stats().reads.add();
  const Transport::Result result = large ? receive_large() : receive_input();
  if (result.outcome == Transport::Outcome::ended) return end_input();
  if (result.outcome == Transport::Outcome::failed) return close();
  if (result.outcome == Transport::Outcome::blocked) return;
  const std::size_t received = result.bytes;
  session_.shared.input_bytes.store(filled_, relaxed);
  session_.shared.last_active.store(thread_.now(), relaxed);
  thread_.dispatcher().stats().net_input.add(received);
  add(session_.shared.net_input, received);
  if (waits_in_silence()) [[unlikely]]
    end_wait(false);
  // A read that fills the buffer has left something behind: this client sends more than one small request at a time.
  if (filled_ == capacity_ && capacity_ < busy_input && session_.user() != nullptr && !thread_.clients_are_tight())
    resize_input(busy_input);
}

// The client has closed its side, for sending at least. What it is still to get is sent.
void Connection::end_input() {
  thread_.send_deferred();  // so that pending_ says whether all has been sent
  if (closed_) return;
  if (!held() && pending_.empty()) return close();
  input_ended_ = true;
  if (waits_for_key()) return end_wait(false);
  if (!held()) close_when_sent_ = true;  // what has come is an unfinished request
  update_events();
}

Transport::Result Connection::receive_input() {
  const iovec rest{input_.get() + filled_, capacity_ - filled_};
  const Transport::Result result = transport_->read({&rest, 1});
  filled_ += result.bytes;
  return result;
}

// Reads on with a large argument, and if its end may come, with what follows it.
Transport::Result Connection::receive_large() {
  Arrival& arrival = *large_->arrival;
  char skipped[busy_input];
  std::span<char> to = arrival.space();
  if (arrival.refused()) to = {skipped, std::min(sizeof skipped, arrival.left())};
  const iovec parts[] = {{to.data(), to.size()}, {input_.get() + filled_, capacity_ - filled_}};
  const Transport::Result result = transport_->read({parts, to.size() == arrival.left() ? 2U : 1U});
  const std::size_t count = std::min(result.bytes, to.size());
  arrival.add(count);
  if (!arrival.refused()) add(session_.shared.large_bytes, count);
  filled_ += result.bytes - count;
  return result;
}

// The parser has met a large argument. True if all of it has come, and the parser may go on.
bool Connection::take_body() {
  if (large_ == nullptr) large_ = std::make_unique<LargeRequest>();
  LargeRequest& large = *large_;
  command::LargeArguments& arguments = large.arguments;
  if (large.parsed == arguments.count()) {
    std::unique_ptr<Arrival>& arrival = large.arrival;
    if (arrival == nullptr) {
      arrival = std::make_unique<Arrival>(thread_.engine().keyspace, parser_.body_size(), arguments.bytes());
      if (arguments.refused()) arrival->refuse();
    }
    const std::size_t at = parser_.position();
    const std::size_t used = arrival->add({input_.get() + at, filled_ - at});
    if (!arrival->refused()) add(session_.shared.large_bytes, used);
    if (arrival->refused() && !arguments.refused()) arguments.refuse();
    if (!arrival->complete()) {
      filled_ -= used;  // that was all of the input
      return false;
    }
    // What came with the requests before it stays there until they are dropped: much may lie behind it.
    large.in_input.push_back(used);
    arguments.add(parser_.body_index(), arrival->take());
    arrival.reset();
  }
  parser_.set_body(arguments.view(large.parsed), large.in_input[large.parsed]);
  ++large.parsed;
  return true;
}

void Connection::forget_large() {
  large_.reset();
  session_.shared.large_bytes.store(0, relaxed);
}

void Connection::hung_up() {
  // The replies can go nowhere. Requests received before are still executed, but not those that are held up.
  if (paused_ || behind_ || (waits() && (!waits_in_silence() || input_ended_)) || close_when_sent_) close();
}

// No request comes behind those that were sent. If the client is gone altogether, it is not to be given a lease: a wait for a key
// ends as if its time were up, and what was sent behind it is executed.
void Connection::input_ends() {
  if (waits_for_key()) end_wait(false);
}

// Before a read: room for more of the request at hand, within the query buffer limit.
bool Connection::make_room() {
  drop_consumed(true);
  if (large_ != nullptr && query_limit_reached()) return false;
  if (filled_ < capacity_) return true;
  const std::size_t wanted = parser_.wanted();
  const bool tight = thread_.clients_are_tight();
  std::size_t bigger = tight ? capacity_ + std::max(capacity_ / 4, idle_input) : std::max(capacity_ * 2, busy_input);
  // Grow towards an announced length only as its bytes arrive, and not past it.
  if (wanted > capacity_ && bigger > wanted) bigger = wanted;
  if (query_limit_reached() || too_greedy(bigger)) return false;
  const auto most = static_cast<std::size_t>(thread_.engine().settings.integer(config::Id::client_query_buffer_limit));
  resize_input(std::min(bigger, most));
  return true;
}

// The same while nothing is executed: a client may send all of its requests before it reads a reply. As much as the query buffer
// limit and the clients' share allow; what is beyond stays in the socket.
bool Connection::make_room_while_held() {
  constexpr std::size_t most_at_once = 256 * 1024;
  if (filled_ < capacity_) return true;
  if (large_ != nullptr && large_->arrival != nullptr && !large_->arrival->complete()) return true;
  drop_consumed(true);
  if (filled_ < capacity_) return true;
  const auto most = static_cast<std::size_t>(thread_.engine().settings.integer(config::Id::client_query_buffer_limit));
  const std::size_t more = std::clamp(capacity_, busy_input, most_at_once);
  const std::uint64_t share = thread_.limits().clients;
  const std::uint64_t used = thread_.engine().keyspace.memory().used(store::Use::clients);
  const std::size_t bigger = capacity_ + more;
  if (stranger() || bigger > most || bigger > share / 2 || used + more > share - share / 4) return false;
  resize_input(bigger);
  return true;
}

bool Connection::query_limit_reached() {
  const auto most = static_cast<std::size_t>(thread_.engine().settings.integer(config::Id::client_query_buffer_limit));
  std::size_t held = capacity_ + parser_.memory();
  if (large_ != nullptr) {
    held += large_->arguments.bytes();
    if (large_->arrival != nullptr && !large_->arrival->refused()) held += large_->arrival->received();
  }
  if (held < most) return false;
  thread_.dispatcher().stats().query_limit_disconnections.add();
  log_closing("its unfinished request is larger than client-query-buffer-limit");
  return true;
}

void Connection::resize_input(std::size_t capacity) {
  if (capacity == capacity_) return;
  // The kernel moves the pages of a buffer that grows, nothing is copied. One that shrinks may leave them altogether.
  const bool shrinks = capacity < capacity_;
  void* const resized = shrinks ? std::malloc(capacity) : std::realloc(input_.get(), capacity);
  if (resized == nullptr && shrinks) return;
  if (resized == nullptr) throw std::bad_alloc();
  if (shrinks) {
    std::memcpy(resized, input_.get(), filled_);
    input_.reset();
  }
  static_cast<void>(input_.release());
  input_.reset(static_cast<char*>(resized));
  capacity_ = capacity;
  account();
}

void Connection::parse(Batch& batch) {
  more_input_ = false;
  if (closed_ || held() || close_when_sent_) return;
  if (filled_ == 0) {
    if (input_ended_) finish();
    return;
  }
  const resp::Limits most = limits();
  parsed_ = resp::Parser::Result::command;
  bool any = false;
  while (!batch.full()) {
    const std::size_t start = parser_.consumed();
    do {
      parsed_ = parser_.next({input_.get(), filled_}, most);
    } while (parsed_ == resp::Parser::Result::body && take_body());
    if (parsed_ != resp::Parser::Result::command) break;
    batch.add(*this, start, parser_.args());
    any = true;
    const bool large = large_ != nullptr && large_->parsed > 0;
    if (large) large_->start = start;
    // An inline command's arguments do not outlast the next one, what a stranger may send depends on its last
    // command, and there is a place for one request's large arguments: one at a time then.
    if (parser_.args_are_copies() || !most.authenticated || large) break;
  }
  account_arguments();
  if (!any) finish();
}

// The places of many arguments are in the account as soon as they are there.
void Connection::account_arguments() {
  constexpr std::size_t little = 16 * 1024;
  const std::size_t now = parser_.memory();
  if (std::max(now, accounted_arguments_) > little && now != accounted_arguments_) [[unlikely]]
    account();
}

void Connection::execute(std::size_t start, command::Args args, command::Prepared& prepared, bool last) {
  if (closed_ || paused_ || close_when_sent_) return;
  command::Dispatcher& dispatcher = thread_.dispatcher();
  // Whoever has taken a millisecond lets others go before the rest of its requests.
  const MonoMs now = dispatcher.clock().last().mono;
  const bool spent = served_ && now - turn_began_ > 1;
  if (waits() || behind_ || spent) [[unlikely]] {
    spent_ |= spent;
    if (!std::exchange(held_up_, true)) hold_up(start);
    return;
  }
  if (dispatcher.must_wait(session_, args, prepared)) {
    thread_.await_pause_end(*this);
    hold_up(start);
    set_paused(true);
    return;
  }
  if (!std::exchange(served_, true)) turn_began_ = now;
  begin_reply();
  resp::Reply reply(thread_.output(), session_.protocol);
  const bool large = large_ != nullptr && large_->start == start;
  if (large) prepared.large = &large_->arguments;
  session_.more_to_come = !last || filled_ > parser_.consumed();
  dispatcher.execute(session_, args, prepared, reply);
  if (large) forget_large();
  if (waits()) [[unlikely]]
    begin_wait();
  if (session_.close_after_reply || session_.shared.closing.load(relaxed)) close_when_sent_ = true;
  end_reply(reply);
  if (thread_.output().size() > batch_output) send();
}

void Connection::begin_reply() {
  thread_.reply_memory().spare(spared());
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
                         "(maxmemory-clients)"
                       : "ERR the reply would take more memory than clients may have (maxmemory-clients)");
  thread_.dispatcher().stats().errors.add(reply.last_error_code());
}

// The request at `start` and those behind it are parsed again later.
void Connection::hold_up(std::size_t start) {
  parser_.rewind(start);
  if (large_ == nullptr) return;
  // They have come, and will be given to the parser once more.
  large_->parsed = 0;
  large_->start = LargeRequest::unfinished;
}

void Connection::finish() {
  if (closed_) return thread_.drop_replies();
  held_up_ = served_ = false;
  if (std::exchange(spent_, false)) parsed_ = resp::Parser::Result::command;  // the rest is still in the input
  if (!held() && !close_when_sent_ && parsed_ == resp::Parser::Result::error) {
    thread_.dispatcher().stats().protocol_errors.add();
    begin_reply();
    resp::Reply reply(thread_.output(), session_.protocol);
    reply.error("ERR Protocol error: " + parser_.error());
    end_reply(reply);
    if (closed_) return;
    close_when_sent_ = true;
  }
  drop_consumed(false);
  account_arguments();
  session_.shared.input_bytes.store(filled_, relaxed);
  send();
  if (closed_) return;
  if (accounted_stranger_ > 0 && session_.user() != nullptr) [[unlikely]]
    account();
  if (capacity_ > idle_input && filled_ == 0 && thread_.clients_are_tight()) [[unlikely]]
    resize_input(idle_input);
  const bool more = parsed_ == resp::Parser::Result::command;
  if (!held()) {
    input_full_ = false;
    if (input_ended_ && (!more || filled_ == 0)) close_when_sent_ = true;
  }
  if (close_when_sent_) {
    thread_.send_deferred();
    if (closed_) return;
    if (pending_.empty()) return close();
  }
  update_events();
  if (more && !held() && !close_when_sent_ && !std::exchange(more_input_, true)) thread_.serve_again(*this);
}

// Input is received even with replies waiting: a client may send all of its requests before it reads.
void Connection::update_events() {
  if (closed_) return;
  const bool receives = !close_when_sent_ && !input_ended_ && !(held() && input_full_);
  // The end of a silent client's input is received, unless that was before it began to wait.
  const bool may_leave = waits_for_key() && (!waits_in_silence() || input_ended_);
  const Transport::Wants wants = transport_->wants();
  wait_for((receives ? wants.read : 0U) | (pending_.empty() ? 0U : wants.write) | (may_leave ? EPOLLRDHUP : 0U));
  if (receives && transport_->pending() > 0) [[unlikely]]
    thread_.receive_again(*this);
}

// A plain read waits only while its client has nothing more to say: the client may share the connection, and what comes next may
// be the very SET.
bool Connection::waits_in_silence() const { return waits() && session_.wait->kind == command::WaitKind::plain_read; }

bool Connection::waits_for_key() const { return waits_in_silence() || (waits() && session_.wait->kind == command::WaitKind::cache_read); }

// Much may lie behind the first requests of a long pipeline. It is moved only when that halves it, or room is needed.
void Connection::drop_consumed(bool now) {
  const std::size_t used = parser_.consumed();
  if (used == 0 || (!now && filled_ > busy_input && used < filled_ / 2)) return;
  filled_ -= used;
  if (filled_ > 0) std::memmove(input_.get(), input_.get() + used, filled_);
  parser_.drop_consumed();
  // A long request is over: give its room back.
  if (capacity_ > busy_input && filled_ <= capacity_ / 4) resize_input(std::max(filled_, busy_input));
}

void Connection::set_paused(bool paused) {
  if (std::exchange(paused_, paused) == paused) return;
  session_.shared.paused.store(paused, relaxed);
  thread_.engine().clients.held_by_pause.fetch_add(paused ? 1 : -1, relaxed);
}

void Connection::resume() {
  if (!paused_ || closed_) return;
  set_paused(false);
  if (has_task()) return thread_.serve_task(*this);
  go_on();
}

// What was held up is still in the input.
void Connection::go_on() {
  parsed_ = resp::Parser::Result::command;
  finish();
}

// --- waiting ---

void Connection::begin_wait() {
  if (has_task()) return thread_.serve_task(*this);
  // What has been asked for of a purge is done; CLIENT UNBLOCK must not answer that its bytes are gone.
  if (session_.wait->kind != command::WaitKind::purge) session_.shared.waiting.store(session_.wait->ticket, relaxed);
  wait_until_ = session_.wait->until;
  if (wait_until_ != MonoMs{}) thread_.await(wait_until_, *this);
}

// Writes the reply that was waited for, and goes on with what came behind it.
void Connection::reply_late(const std::function<void(resp::Reply&)>& write) {
  if (wait_until_ != MonoMs{}) thread_.await_no_longer(std::exchange(wait_until_, {}), *this);
  begin_reply();
  resp::Reply reply(thread_.output(), session_.protocol);
  write(reply);
  session_.shared.last_active.store(thread_.now(), relaxed);
  end_reply(reply);
  if (!closed_) go_on();
}

bool Connection::answer(std::uint64_t ticket, const cache::Answer& answer) {
  if (closed_ || !waits() || session_.wait->ticket != ticket) return false;
  reply_late([&](resp::Reply& reply) { command::answer_wait(session_, answer, reply); });
  return true;
}

void Connection::end_wait(bool with_error) {
  if (closed_ || !waits()) return;
  if (with_error) {
    command::forget_wait(session_, thread_.engine());
    return reply_late([](resp::Reply& reply) { reply.error("UNBLOCKED client unblocked via CLIENT UNBLOCK"); });
  }
  reply_late([&](resp::Reply& reply) { command::end_wait(session_, thread_.engine(), reply); });
}

// --- long commands ---

void Connection::work() {
  in_tasks = false;
  // A reply that has begun goes on when the client has read so far; before, nothing is gained by waiting for that.
  if (closed_ || paused_ || !has_task() || (!pending_.empty() && session_.wait->task->replying)) return;
  command::Dispatcher& dispatcher = thread_.dispatcher();
  if (dispatcher.task_must_wait(session_)) {
    set_paused(true);
    return thread_.await_pause_end(*this);
  }
  resp::Output& output = thread_.output();
  const bool accounted = session_.wait->task->accounted;
  begin_reply();
  if (accounted) output.set_account(nullptr);
  resp::Reply reply(output, session_.protocol);
  const bool done = dispatcher.step(session_, reply);
  output.set_account(&thread_.reply_memory());
  if (accounted && output.overflow() != resp::Output::Overflow::none) return cut_off();
  end_reply(reply);
  if (closed_) return;
  if (done) {
    session_.shared.last_active.store(thread_.now(), relaxed);
    if (session_.close_after_reply || session_.shared.closing.load(relaxed)) close_when_sent_ = true;
    return go_on();
  }
  send();
  if (closed_) return;
  const command::Task& task = *session_.wait->task;
  if (!task.asleep && (pending_.empty() || !task.replying)) return thread_.serve_task(*this);
  update_events();  // the next step when somebody wakes it, the next piece when this one has been read
}

// --- writing ---

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
  if (output.size() <= copied_output) return pending_.move_from(output);
  std::swap(pending_, output);
  pending_.set_account(nullptr);
  pending_.begin_reply(SIZE_MAX);
  output.set_account(&thread_.reply_memory());
}

// How long it takes to read a good part of its replies counts from now on.
void Connection::restart_patience() {
  reading_since_ = thread_.now();
  read_since_ = 0;
}

// To be called when there is more for the client to read.
void Connection::look_at_backlog() {
  account();
  if (pending_.size() > thread_.limits().unread && !stranger()) behind_ = true;
  check_output_limit();
}

void Connection::send() {
  if (pending_.empty() && !close_when_sent_ && thread_.defer(*this)) return;
  thread_.send_deferred();
  if (closed_) return thread_.drop_replies();
  send_now();
}

void Connection::send_deferred(std::string_view replies) {
  if (closed_) return;
  if (pending_.empty()) {
    const iovec run{const_cast<char*>(replies.data()), replies.size()};
    const Transport::Result result = write({&run, 1});
    if (result.outcome == Transport::Outcome::failed) return close();
    replies.remove_prefix(result.bytes);
    if (replies.empty()) return;
    restart_patience();
  }
  pending_.append(replies);
  look_at_backlog();
  if (!closed_) update_events();
}

void Connection::send_now() {
  resp::Output& output = thread_.output();
  bool ok = true;
  if (pending_.empty()) {
    ok = send_some(output);
    if (ok && !output.empty()) {
      keep_unsent(output);
      restart_patience();
    }
  } else if (!output.empty()) {
    pending_.move_from(output);
  }
  thread_.drop_replies();
  if (!ok) return close();
  if (!pending_.empty()) look_at_backlog();
}

void Connection::writable() {
  if (closed_ || pending_.empty()) return;
  if (!send_some(pending_)) return close();
  if (pending_.empty()) {
    pending_.clear(0);
    over_soft_limit_since_ = {};
  } else {
    pending_.compact();  // a backlog that never becomes empty must not grow with all that was ever sent
  }
  account();
  if (pending_.empty() && close_when_sent_) return close();
  if (pending_.empty() && has_task()) thread_.serve_task(*this);
  if (!behind_ || pending_.size() > thread_.limits().unread / 2) return update_events();
  behind_ = false;
  held() ? update_events() : go_on();
}

void Connection::cut_off() {
  thread_.drop_replies();
  thread_.dispatcher().stats().output_limit_disconnections.add();
  log_closing("the replies it waits for are too large (client-output-buffer-limit)");
  close();
}

// Whether an input buffer of this size is more than all clients may take together. Where others take more, they go
// first: see IoThread::make_clients_fit.
bool Connection::too_greedy(std::size_t input) {
  if (stranger() && too_many_strangers(input - capacity_)) {
    thread_.engine().clients.count_evicted();
    log_closing("unauthenticated clients together take as much memory as they may (an eighth of maxmemory-clients)");
    return true;
  }
  if (input <= thread_.limits().clients || spared()) return false;
  thread_.engine().clients.count_evicted();
  log_closing("its unfinished request is larger than the memory for clients (maxmemory-clients)");
  return true;
}

void Connection::check_output_limit() {
  const std::size_t waiting = pending_.size();
  const config::OutputLimit limit = thread_.engine().settings.output_limit();
  const bool unknown = stranger() && (waiting > stranger_output || too_many_strangers(0));
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

// Whether it was given this long and has not even read `good_part` of its replies.
bool Connection::reads_slowly(std::int64_t patience) const { return !pending_.empty() && thread_.now() - reading_since_ >= patience; }

// A client that does not read is closed when what it keeps is missing elsewhere, or when it will never read: one that goes on sending
// requests, more than may be kept, waits for them to be taken.
bool Connection::is_hopeless() {
  constexpr std::int64_t patience_ms = 10'000;
  constexpr std::size_t harmless = 64 * 1024;
  constexpr std::size_t good_part = 64 * 1024;
  if (read_since_ >= good_part) restart_patience();
  if (!reads_slowly(patience_ms)) return false;
  const std::uint64_t share = thread_.limits().clients;
  if (behind_ && input_full_) {
    log_closing("it sends requests without reading the replies, and more of both than may be kept for it");
  } else if (!spared() && pending_.memory() > harmless &&
             thread_.engine().keyspace.memory().used(store::Use::clients) > share - share / 4) {
    log_closing("it does not read its replies while the memory for clients is short (maxmemory-clients)");
  } else {
    return false;
  }
  thread_.dispatcher().stats().output_limit_disconnections.add();
  return true;
}

// Blobs that only wait to be read, and are not stored any more, take room that eviction cannot get back.
void Connection::give_way() {
  constexpr std::size_t harmless = 64 * 1024;
  constexpr std::int64_t patience_ms = 1000;
  if (closed_ || pending_.held_bytes() <= harmless || !reads_slowly(patience_ms) || pending_.abandoned_bytes() <= harmless) return;
  thread_.dispatcher().stats().output_limit_disconnections.add();
  log_closing("it does not read its replies, whose values are no longer stored but take too much memory");
  close();
}

// --- housekeeping ---

void Connection::account() {
  command::Engine& engine = thread_.engine();
  const std::size_t now =
      sizeof(Connection) + capacity_ + parser_.memory() + pending_.memory() + command::attribute_memory(session_.shared);
  engine.keyspace.memory().add(store::Use::clients, static_cast<std::int64_t>(now) - static_cast<std::int64_t>(accounted_));
  accounted_ = now;
  accounted_arguments_ = parser_.memory();
  if (const std::size_t blobs = pending_.held_bytes(); blobs != accounted_blobs_) {
    engine.clients.unread_blobs.fetch_add(static_cast<std::int64_t>(blobs) - static_cast<std::int64_t>(accounted_blobs_), relaxed);
    accounted_blobs_ = blobs;
  }
  if (const std::size_t large = closed_ ? 0 : arriving(); large != accounted_arriving_) {
    engine.clients.arriving.fetch_add(static_cast<std::int64_t>(large) - static_cast<std::int64_t>(accounted_arriving_), relaxed);
    accounted_arriving_ = large;
  }
  const std::size_t beyond = now - std::min(now, sizeof(Connection) + idle_input);
  if (const std::size_t strange = closed_ || !stranger() ? 0 : beyond; strange != accounted_stranger_) [[unlikely]] {
    engine.clients.strangers.fetch_add(static_cast<std::int64_t>(strange) - static_cast<std::int64_t>(accounted_stranger_), relaxed);
    accounted_stranger_ = strange;
  }
  session_.shared.input_room.store(capacity_, relaxed);
  session_.shared.output_bytes.store(pending_.size(), relaxed);
  session_.shared.buffer_memory.store(now, relaxed);
}

// Bytes of large arguments that have come: of the request at hand, and of those that wait for EXEC.
std::size_t Connection::arriving() const {
  const std::size_t queued = session_.transaction != nullptr ? session_.transaction->large_bytes : 0;
  return session_.shared.large_bytes.load(relaxed) + queued;
}

// Values on their way in are data and push other data out, but not for nothing: when they come to half of the memory, those
// that have stopped coming are let go.
bool Connection::holds_up_memory(std::int64_t idle_ms) const {
  constexpr std::int64_t patience_ms = 1000;
  constexpr std::size_t harmless = 64 * 1024;
  const std::uint64_t memory = thread_.engine().keyspace.memory().limit();
  return memory > 0 && idle_ms > patience_ms && arriving() > harmless &&
         thread_.engine().clients.arriving.load(relaxed) > static_cast<std::int64_t>(memory / 2);
}

void Connection::tick() {
  if (closed_) return;
  if (session_.shared.closing.load(relaxed)) return close();
  if (transport_->handshake() == Transport::Handshake::under_way && thread_.now() - session_.shared.created >= handshake_patience_ms) {
    log_closing("its handshake took too long");
    return close();
  }
  const std::int64_t idle = thread_.now() - session_.shared.last_active.load(relaxed);
  const std::int64_t timeout = thread_.engine().settings.integer(config::Id::timeout);
  if (timeout > 0 && idle > timeout * 1000 && !paused_ && !waits()) {  // a client that is behind could read
    thread_.dispatcher().stats().idle_disconnections.add();
    return close();
  }
  account();
  if (holds_up_memory(idle)) {
    thread_.engine().clients.count_evicted();
    log_closing("its large request has stopped coming, and all such take half of the memory");
    return close();
  }
  if (!pending_.empty()) {
    if (is_hopeless()) return close();
    check_output_limit();
    if (closed_) return;
  }
  if (has_task() && session_.wait->task->asleep) thread_.serve_task(*this);
  // There may be room again.
  if (std::exchange(input_full_, false)) update_events();
  if (idle > idle_after_ms && capacity_ > idle_input && filled_ == 0) {
    parser_.release_memory();
    resize_input(idle_input);
  }
}

void Connection::log_closing(std::string_view reason) {
  thread_.engine().events.note(EventLog::Kind::closed_clients, [&] {
    return "closing client " + std::to_string(session_.shared.id) + " (" + session_.shared.address + "): " + std::string(reason);
  });
}

void Connection::close() {
  if (closed_) return;
  thread_.send_deferred();  // its own may be among them; to send them may have closed it
  if (closed_) return;
  closed_ = true;
  transport_->shutdown();
  set_paused(false);
  if (wait_until_ != MonoMs{}) thread_.await_no_longer(std::exchange(wait_until_, {}), *this);
  command::forget_wait(session_, thread_.engine());
  forget_large();
  pending_.clear(0);
  account();
  if (session_.shared.evicted.load(relaxed)) log_closing("it takes the most of the memory for clients (maxmemory-clients)");
  thread_.bury(*this);
}

}  // namespace pinfold::net
