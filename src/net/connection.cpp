#include "pinfold/net/connection.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>

namespace pinfold::net {

namespace {

constexpr std::size_t idle_input = 512;
constexpr std::size_t busy_input = 16 * 1024;
constexpr std::size_t kept_output = 256 * 1024;  // of the thread's buffer between batches
constexpr std::size_t batch_output = 256 * 1024; // send before going on with the next request
constexpr UnixMs idle_after_ms = 2000;
// A client that has not authenticated gets this much of replies it does not read (CVE-2025-21605), and may announce
// this little (CVE-2021-32675).
constexpr std::size_t stranger_output = 64 * 1024;
constexpr std::size_t modest_output = 1024 * 1024;
constexpr std::uint64_t crowd_at_least = 64ULL * 1024 * 1024;
constexpr std::int64_t stranger_arguments = 10;
constexpr std::int64_t stranger_bulk = 16 * 1024;

// For a counter that only this thread writes: no locked instruction.
void add(std::atomic<std::uint64_t>& counter, std::uint64_t n) {
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

std::string name_of(const sockaddr_storage& address, const std::string& unix_path) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return std::string(text) + ":" + std::to_string(ntohs(v4.sin_port));
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return "[" + std::string(text) + "]:" + std::to_string(ntohs(v6.sin6_port));
  }
  return unix_path + ":0";
}

}  // namespace

Connection::Connection(IoThread& thread, Socket socket, bool unix_socket, std::uint64_t id)
    : thread_(thread), socket_(std::move(socket)) {
  command::Engine& engine = thread_.engine();
  command::SharedClient& shared = session_.shared;
  shared.id = id;
  shared.fd = socket_.native_handle();
  shared.unix_socket = unix_socket;
  shared.thread = thread_.index();
  shared.created = unix_ms();
  shared.last_active.store(shared.created, std::memory_order_relaxed);
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  const std::string path = unix_socket ? engine.settings.text(config::Id::unixsocket) : "";
  getpeername(shared.fd, reinterpret_cast<sockaddr*>(&address), &size);
  shared.address = name_of(address, path);
  size = sizeof address;
  getsockname(shared.fd, reinterpret_cast<sockaddr*>(&address), &size);
  shared.local_address = name_of(address, path);
  session_.authenticated = engine.settings.text(config::Id::requirepass).empty();
  shared.authenticated.store(session_.authenticated, std::memory_order_relaxed);
  engine.clients.add(shared);
}

Connection::~Connection() {
  thread_.dispatcher().end_session(session_);
  thread_.engine().clients.remove(session_.shared);
  thread_.engine().keyspace.memory().add(store::Use::clients, -static_cast<std::int64_t>(accounted_));
}

void Connection::start() {
  boost::system::error_code ignored;
  socket_.native_non_blocking(true, ignored);
  if (!session_.shared.unix_socket) {
    const int on = 1;
    setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const int idle = static_cast<int>(thread_.engine().settings.integer(config::Id::tcp_keepalive));
    if (idle > 0) {
      const int interval = std::max(idle / 3, 1);
      const int probes = 3;
      setsockopt(socket_.native_handle(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
      setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
      setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
      setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    }
  }
  thread_.dispatcher().stats().connections_received.add();
  resize_input(idle_input);
  read();
}

resp::Limits Connection::limits() const {
  if (!session_.authenticated) return {stranger_arguments, stranger_bulk, false};
  return {INT32_MAX, thread_.engine().settings.integer(config::Id::proto_max_bulk_len), true};
}

// --- reading ---

void Connection::read() {
  if (closed_ || reading_ || paused_ || close_when_sent_) return;
  if (!make_room()) return close();
  reading_ = true;
  ++operations_;
  socket_.async_read_some(asio::buffer(input_.get() + filled_, capacity_ - filled_),
                          [this](const boost::system::error_code& error, std::size_t size) {
                            reading_ = false;
                            if (closed_) return operation_ended();
                            --operations_;
                            // Only an idle connection's read is cancelled: to go on with a smaller buffer.
                            if (error == asio::error::operation_aborted) {
                              if (filled_ == 0) resize_input(idle_input);
                              return read();
                            }
                            if (error) return close();
                            read_done(size);
                          });
}

// Before a read: room for more of the request at hand, within the query buffer limit.
bool Connection::make_room() {
  if (filled_ < capacity_) return true;
  const std::size_t wanted = parser_.wanted();
  std::size_t bigger = capacity_ < busy_input ? busy_input : capacity_ * 2;
  // Grow towards an announced length only as its bytes arrive, and not past it.
  if (wanted > capacity_ && bigger > wanted) bigger = wanted;
  const auto most = static_cast<std::size_t>(thread_.engine().settings.integer(config::Id::client_query_buffer_limit));
  if (capacity_ >= most) {
    thread_.dispatcher().stats().query_limit_disconnections.add();
    log_closing("its unfinished request is larger than client-query-buffer-limit");
    return false;
  }
  resize_input(std::min(bigger, most));
  return true;
}

void Connection::resize_input(std::size_t capacity) {
  if (capacity == capacity_) return;
  std::unique_ptr<char[]> fresh(new char[capacity]);
  if (filled_ > 0) std::memcpy(fresh.get(), input_.get(), filled_);
  input_ = std::move(fresh);
  capacity_ = capacity;
  account();
}

void Connection::read_done(std::size_t size) {
  filled_ += size;
  // A read that fills the buffer has left something behind: this client sends more than one small request at a time.
  if (filled_ == capacity_ && capacity_ < busy_input) resize_input(busy_input);
  thread_.dispatcher().stats().net_input.add(size);
  add(session_.shared.net_input, size);
  process();
}

void Connection::process() {
  const UnixMs now = unix_ms();
  resp::Reply reply(thread_.output(), session_.protocol);
  for (;;) {
    const resp::Parser::Result result = parse_batch();
    if (!execute_batch(reply, now)) break;
    if (result == resp::Parser::Result::error) {
      thread_.dispatcher().stats().protocol_errors.add();
      reply.error("ERR Protocol error: " + parser_.error());
      close_when_sent_ = true;
    }
    if (result != resp::Parser::Result::command) break;
    if (thread_.output().size() > batch_output) {
      send();
      if (closed_) return;
    }
  }
  drop_consumed();
  send();
  if (closed_) return;
  if (!pending_.empty()) {
    wait_writable();
  } else if (close_when_sent_) {
    return close();
  }
  read();  // also with replies waiting: a client may send all of its pipeline before it reads
}

// Parses requests from the input until the batch is full or the input used up, and prepares them. `command` if there
// may be more.
resp::Parser::Result Connection::parse_batch() {
  Batch& batch = thread_.batch();
  command::Dispatcher& dispatcher = thread_.dispatcher();
  const resp::Limits most = limits();
  batch.clear();
  resp::Parser::Result result = resp::Parser::Result::command;
  while (batch.size < Batch::capacity) {
    const std::size_t start = parser_.consumed();
    result = parser_.next({input_.get(), filled_}, most);
    if (result != resp::Parser::Result::command) break;
    batch.add(start, parser_.args());
    // An inline command's arguments do not outlast the next one; what a stranger may send depends on its last
    // command; and a huge argument list is a batch of its own.
    if (parser_.args_are_copies() || !session_.authenticated || batch.args.size() > Batch::many_arguments) break;
  }
  for (std::size_t i = 0; i < batch.size; ++i) batch.prepared[i] = dispatcher.prepare(batch.args_of(i));
  if (batch.size > 1) dispatcher.prefetch(session_, {batch.prepared.data(), batch.size});
  return result;
}

// Executes the batch; false if the rest of the input must wait or will never be looked at.
bool Connection::execute_batch(resp::Reply& reply, UnixMs now) {
  Batch& batch = thread_.batch();
  command::Dispatcher& dispatcher = thread_.dispatcher();
  for (std::size_t i = 0; i < batch.size; ++i) {
    if (dispatcher.must_wait(session_, batch.prepared[i], now)) {
      parser_.rewind(batch.starts[i]);
      paused_ = true;
      thread_.wait_for_pause_end();
      return false;
    }
    dispatcher.execute(session_, batch.args_of(i), batch.prepared[i], reply, now);
    if (session_.close_after_reply || session_.shared.closing.load(std::memory_order_relaxed)) {
      close_when_sent_ = true;
      return false;
    }
  }
  return true;
}

void Connection::drop_consumed() {
  const std::size_t used = parser_.consumed();
  if (used == 0) return;
  filled_ -= used;
  if (filled_ > 0) std::memmove(input_.get(), input_.get() + used, filled_);
  parser_.drop_consumed();
  // A long request is over: give its room back.
  if (capacity_ > busy_input && filled_ <= busy_input) resize_input(busy_input);
}

void Connection::resume() {
  if (!paused_ || closed_) return;
  paused_ = false;
  process();
}

// --- writing ---

// Sends what the socket takes; false if the connection is broken.
bool Connection::send_some(resp::Output& output, std::size_t& sent) {
  constexpr std::size_t most_runs = 64;
  resp::Output::Run runs[most_runs];
  iovec vectors[most_runs];
  while (sent < output.size()) {
    const std::size_t count = output.gather(sent, runs, most_runs);
    std::size_t offered = 0;
    for (std::size_t i = 0; i < count; ++i) {
      vectors[i] = {const_cast<char*>(runs[i].bytes.data()), runs[i].bytes.size()};
      offered += runs[i].bytes.size();
    }
    msghdr message{};
    message.msg_iov = vectors;
    message.msg_iovlen = count;
    const ssize_t taken = count == 1 ? ::send(socket_.native_handle(), vectors[0].iov_base, vectors[0].iov_len, MSG_NOSIGNAL)
                                     : ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL);
    if (taken < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN || errno == EWOULDBLOCK;
    }
    sent += static_cast<std::size_t>(taken);
    thread_.dispatcher().stats().net_output.add(static_cast<std::uint64_t>(taken));
    add(session_.shared.net_output, static_cast<std::size_t>(taken));
    if (static_cast<std::size_t>(taken) < offered) return true;
  }
  return true;
}

void Connection::send() {
  resp::Output& output = thread_.output();
  bool ok = true;
  if (pending_.empty()) {
    std::size_t sent = 0;
    ok = send_some(output, sent);
    if (ok && sent < output.size()) pending_.move_from(output, sent);
  } else if (!output.empty()) {
    pending_.move_from(output, 0);
  }
  output.clear(kept_output);
  if (!ok) return close();
  if (!pending_.empty()) {
    account();
    check_output_limit();
  }
}

void Connection::wait_writable() {
  if (closed_ || writing_) return;
  writing_ = true;
  ++operations_;
  socket_.async_wait(Socket::wait_write, [this](const boost::system::error_code& error) {
    writing_ = false;
    if (closed_) return operation_ended();
    --operations_;
    if (error == asio::error::operation_aborted) return wait_writable();
    if (error || !send_some(pending_, sent_)) return close();
    if (sent_ < pending_.size()) return wait_writable();
    pending_.clear(0);
    sent_ = 0;
    over_soft_limit_since_ = 0;
    account();
    if (close_when_sent_) return close();
    read();
  });
}

void Connection::check_output_limit() {
  const std::size_t waiting = pending_.size() - sent_;
  const config::OutputLimit limit = thread_.engine().settings.output_limit();
  const bool stranger = !session_.authenticated && waiting > stranger_output;
  const bool hard = limit.hard > 0 && waiting > limit.hard;
  bool soft = false;
  if (limit.soft > 0 && waiting > limit.soft) {
    const UnixMs now = unix_ms();
    if (over_soft_limit_since_ == 0) over_soft_limit_since_ = now;
    soft = now - over_soft_limit_since_ >= limit.soft_seconds * 1000;
  } else {
    over_soft_limit_since_ = 0;
  }
  // Without limits set, clients together still do not get more than a quarter of the memory for this.
  const store::Memory& memory = thread_.engine().keyspace.memory();
  const bool crowded = memory.limit() > 0 && waiting > modest_output &&
                       memory.used(store::Use::clients) > std::max(memory.limit() / 4, crowd_at_least);
  if (!stranger && !hard && !soft && !crowded) return;
  thread_.dispatcher().stats().output_limit_disconnections.add();
  log_closing("it does not read its replies (client-output-buffer-limit)");
  close();
}

// --- housekeeping ---

void Connection::account() {
  const std::size_t now = sizeof(Connection) + capacity_ + pending_.memory();
  thread_.engine().keyspace.memory().add(store::Use::clients,
                                         static_cast<std::int64_t>(now) - static_cast<std::int64_t>(accounted_));
  accounted_ = now;
  session_.shared.input_bytes.store(capacity_, std::memory_order_relaxed);
  session_.shared.output_bytes.store(pending_.size(), std::memory_order_relaxed);
}

void Connection::tick(UnixMs now) {
  if (closed_) return;
  const UnixMs idle = now - session_.shared.last_active.load(std::memory_order_relaxed);
  const std::int64_t timeout = thread_.engine().settings.integer(config::Id::timeout);
  if (timeout > 0 && idle > timeout * 1000 && !paused_) {
    thread_.dispatcher().stats().idle_disconnections.add();
    return close();
  }
  if (!pending_.empty()) {
    check_output_limit();
  } else if (idle > idle_after_ms && capacity_ > idle_input && filled_ == 0 && reading_) {
    boost::system::error_code ignored;
    socket_.cancel(ignored);
  }
}

void Connection::log_closing(std::string_view reason) {
  spdlog::warn("closing client {} ({}): {}", session_.shared.id, session_.shared.address, reason);
}

void Connection::close() {
  if (closed_) return;
  closed_ = true;
  boost::system::error_code ignored;
  socket_.close(ignored);
  // Never destroyed from within: the caller may be one of this object's own functions.
  ++operations_;
  asio::post(thread_.context(), [this] { operation_ended(); });
}

void Connection::operation_ended() {
  if (--operations_ == 0) thread_.destroy(*this);
}

}  // namespace pinfold::net
