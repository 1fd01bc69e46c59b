#include "throughput.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "cpu_clock.h"
#include "dataset.h"
#include "failure.h"
#include "progress.h"
#include "protocol.h"
#include "socket.h"
#include <sys/epoll.h>
#include <sys/socket.h>

namespace pinfold::load {
namespace {

using Clock = std::chrono::steady_clock;

struct Connection {
  Descriptor socket;
  Inbox inbox;
  std::string out;
  std::size_t written = 0;          // bytes of `out` that the kernel took
  bool wants_room = false;          // waiting for EPOLLOUT
  std::vector<std::uint64_t> keys;  // asked for in this batch
  std::size_t answered = 0;
  Clock::time_point sent_at;

  bool busy() const { return answered < keys.size(); }
};

class Throughput {
 public:
  explicit Throughput(const Options& options)
      : options_(options),
        request_(options.mode == Mode::kGet ? Request::kGet : Request::kSet),
        protocol_(make_protocol(options.wire)),
        values_(options.value_bytes),
        random_(options.seed),
        poll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (poll_.get() < 0) fail_system("epoll_create1");
    allow_descriptors(options.connections + 64);
    connections_.reserve(options.connections);
    for (std::uint32_t n = 0; n < options.connections; ++n) open(n);
  }

  // May be called again: connections, random numbers and deadline go on, the counts start anew.
  Tally run(std::uint64_t requests) {
    tally_ = Tally{};
    to_send_ = requests;
    const std::string label = options_.label.empty() ? name_of(options_.mode) : options_.label;
    Progress progress(label, requests, options_.quiet);
    const auto start = Clock::now();
    for (Connection& connection : connections_) send_batch(connection, start);
    while (tally_.requests < requests && !tally_.broken) {
      step();
      if (++turns_ % 1024 == 0 && progress.due()) progress.show(tally_.requests);
    }
    tally_.elapsed = Clock::now() - start;
    return std::move(tally_);
  }

 private:
  void open(std::uint32_t n) {
    Connection& connection = connections_.emplace_back();
    connection.socket = connect_to(options_, n);
    connection.keys.reserve(options_.pipeline);
    make_nonblocking(connection.socket);
    watch(EPOLL_CTL_ADD, connection, EPOLLIN);
  }

  void watch(int action, Connection& connection, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &connection;
    if (::epoll_ctl(poll_.get(), action, connection.socket.get(), &event) != 0) {
      fail_system("epoll_ctl");
    }
  }

  void step() {
    constexpr int kWaitMs = 100;
    std::array<epoll_event, 128> events;
    const int count = ::epoll_wait(poll_.get(), events.data(), static_cast<int>(events.size()), kWaitMs);
    if (Clock::now() > deadline_) return tally_.stop("out of time");
    for (int i = 0; i < count && !tally_.broken; ++i) {
      auto& connection = *static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr);
      if ((events[static_cast<std::size_t>(i)].events & EPOLLOUT) != 0) write(connection);
      if ((events[static_cast<std::size_t>(i)].events & ~std::uint32_t{EPOLLOUT}) != 0) read(connection);
    }
  }

  std::uint64_t choose_key() {
    return options_.mode == Mode::kFill ? next_key_++ : random_.below(options_.keys);
  }

  void send_batch(Connection& connection, Clock::time_point now) {
    const std::uint64_t size = std::min<std::uint64_t>(options_.pipeline, to_send_);
    connection.keys.clear();
    connection.answered = 0;
    if (size == 0) return;
    to_send_ -= size;
    connection.out.clear();
    connection.written = 0;
    for (std::uint64_t i = 0; i < size; ++i) {
      const std::uint64_t n = choose_key();
      const KeyName key(n);
      if (request_ == Request::kGet) {
        protocol_->get(connection.out, key.view());
      } else {
        protocol_->set(connection.out, key.view(), values_.of(mix(n), options_.value_bytes), options_.ttl);
      }
      connection.keys.push_back(n);
    }
    connection.sent_at = now;
    write(connection);
  }

  void write(Connection& connection) {
    while (connection.written < connection.out.size()) {
      const ssize_t sent = ::send(connection.socket.get(), connection.out.data() + connection.written,
                                  connection.out.size() - connection.written, MSG_NOSIGNAL);
      if (sent >= 0) {
        connection.written += static_cast<std::size_t>(sent);
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        break;
      } else if (errno != EINTR) {
        return tally_.stop("the server closed a connection");
      }
    }
    const bool wants_room = connection.written < connection.out.size();
    if (wants_room == connection.wants_room) return;
    connection.wants_room = wants_room;
    watch(EPOLL_CTL_MOD, connection, wants_room ? EPOLLIN | EPOLLOUT : EPOLLIN);
  }

  void read(Connection& connection) {
    switch (connection.inbox.fill(connection.socket)) {
      case Inbox::Status::kNothing:
        return;
      case Inbox::Status::kClosed:
        return tally_.stop("the server closed a connection");
      case Inbox::Status::kRead:
        break;
    }
    const auto now = Clock::now();
    while (connection.busy()) {
      const std::uint64_t n = connection.keys[connection.answered];
      const KeyName key(n);
      const Reply reply = protocol_->parse(connection.inbox.view(), request_, key.view());
      if (reply.kind == Reply::Kind::kIncomplete) return;
      count(reply, n);
      if (reply.kind == Reply::Kind::kGarbage) return tally_.stop("unreadable reply");
      connection.inbox.drop(reply.used);
      tally_.bytes_read += reply.used;
      tally_.latency.record(now - connection.sent_at);
      ++tally_.requests;
      ++connection.answered;
    }
    if (!connection.inbox.view().empty()) {
      tally_.mismatch("bytes after the last reply");
      return tally_.stop("more replies than requests");
    }
    if (!connection.keys.empty()) send_batch(connection, now);
  }

  void count(const Reply& reply, std::uint64_t n) {
    switch (reply.kind) {
      case Reply::Kind::kValue:
        ++tally_.hits;
        tally_.bytes_hit += reply.text.size();
        if (reply.text.size() != options_.value_bytes) {
          tally_.mismatch("a value of the wrong length");
        } else if (reply.text != values_.of(mix(n), options_.value_bytes)) {
          tally_.mismatch("a value of the wrong content");
        }
        break;
      case Reply::Kind::kMissing:
        ++tally_.misses;
        break;
      case Reply::Kind::kStored:
        ++tally_.stored;
        break;
      case Reply::Kind::kRefused:
        tally_.refuse(reply.text);
        break;
      case Reply::Kind::kGarbage:
        tally_.mismatch(reply.text);
        break;
      default:
        tally_.error(reply.text);
    }
  }

  const Options& options_;
  Request request_;
  std::unique_ptr<Protocol> protocol_;
  Values values_;
  Random random_;
  Descriptor poll_;
  std::vector<Connection> connections_;
  Tally tally_;
  std::uint64_t to_send_ = 0;
  std::uint64_t next_key_ = 0;
  std::uint64_t turns_ = 0;
  Clock::time_point deadline_ = Clock::now() + options_.max_time;
};

}  // namespace

Tally throughput(const Options& options) {
  constexpr std::uint64_t kDefaultRequests = 100'000;
  const std::uint64_t requests = options.mode == Mode::kFill ? options.keys
                                 : options.requests == 0     ? kDefaultRequests
                                                             : options.requests;
  Throughput load(options);
  if (options.warmup > 0 && options.mode != Mode::kFill) {
    Tally warmup = load.run(options.warmup);
    if (!warmup.right()) return warmup;
  }
  if (options.server == 0) return load.run(requests);
  const CpuClock clock(options.server);
  const double before = clock.seconds();
  Tally tally = load.run(requests);
  const double after = clock.seconds();
  if (before >= 0 && after >= 0) tally.server_cpu_seconds = after - before;
  tally.cpu_clock = clock.source();
  return tally;
}

}  // namespace pinfold::load
