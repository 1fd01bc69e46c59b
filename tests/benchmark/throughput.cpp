#include "throughput.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "channel.h"
#include "cpu_clock.h"
#include "dataset.h"
#include "entries.h"
#include "failure.h"
#include "progress.h"
#include "protocol.h"
#include "socket.h"
#include <sys/epoll.h>

namespace pinfold::load {
namespace {

using Clock = std::chrono::steady_clock;

struct Connection {
  Connection(const Options& options, std::uint32_t n, const Descriptor& poll) : channel(options, n, poll, this) {
    keys.reserve(options.pipeline);
  }

  Channel channel;
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
        protocol_(make_protocol(options)),
        entries_(options),
        random_(options.seed),
        poll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (poll_.get() < 0) fail_system("epoll_create1");
    allow_descriptors(options.connections + 64);
    connections_.reserve(options.connections);
    for (std::uint32_t n = 0; n < options.connections; ++n) {
      connections_.push_back(std::make_unique<Connection>(options, n, poll_));
    }
  }

  // May be called again: connections, random numbers and deadline go on, the counts start anew.
  Tally run(std::uint64_t requests) {
    tally_ = Tally{};
    to_send_ = requests;
    const std::string label = options_.label.empty() ? name_of(options_.mode) : options_.label;
    Progress progress(label, requests, options_.quiet);
    const auto start = Clock::now();
    for (const auto& connection : connections_) send_batch(*connection, start);
    while (tally_.requests < requests && !tally_.broken) {
      step();
      if (++turns_ % 1024 == 0 && progress.due()) progress.show(tally_.requests);
    }
    tally_.elapsed = Clock::now() - start;
    return std::move(tally_);
  }

 private:
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

  std::uint64_t choose_key() { return options_.first + (options_.mode == Mode::kFill ? next_key_++ : random_.below(options_.keys)); }

  void send_batch(Connection& connection, Clock::time_point now) {
    const std::uint64_t size = std::min<std::uint64_t>(options_.pipeline, to_send_);
    connection.keys.clear();
    connection.answered = 0;
    if (size == 0) return;
    to_send_ -= size;
    std::string& out = connection.channel.out();
    for (std::uint64_t i = 0; i < size; ++i) {
      const std::uint64_t n = choose_key();
      const KeyName key(n);
      if (request_ == Request::kGet) {
        protocol_->get(out, key.view());
      } else {
        protocol_->set(out, key.view(), entries_.value(n), options_.expiry);
      }
      connection.keys.push_back(n);
    }
    connection.sent_at = now;
    write(connection);
  }

  void write(Connection& connection) {
    if (!connection.channel.flush()) tally_.stop("the server closed a connection");
  }

  void read(Connection& connection) {
    switch (connection.channel.fill()) {
      case Inbox::Status::kNothing:
        return;
      case Inbox::Status::kClosed:
        return tally_.stop("the server closed a connection");
      case Inbox::Status::kRead:
        break;
    }
    const auto now = Clock::now();
    Inbox& inbox = connection.channel.inbox();
    while (connection.busy()) {
      const std::uint64_t n = connection.keys[connection.answered];
      const KeyName key(n);
      const Reply reply = protocol_->parse(inbox.view(), request_, key.view());
      if (reply.kind == Reply::Kind::kIncomplete) return;
      entries_.count(reply, n, tally_);
      if (reply.kind == Reply::Kind::kGarbage) return tally_.stop("unreadable reply");
      inbox.drop(reply.used);
      tally_.bytes_read += reply.used;
      tally_.latency.record(now - connection.sent_at);
      ++tally_.requests;
      ++connection.answered;
    }
    if (!inbox.view().empty()) {
      tally_.mismatch("bytes after the last reply");
      return tally_.stop("more replies than requests");
    }
    if (!connection.keys.empty()) send_batch(connection, now);
  }

  const Options& options_;
  Request request_;
  std::unique_ptr<Protocol> protocol_;
  Entries entries_;
  Random random_;
  Descriptor poll_;
  std::vector<std::unique_ptr<Connection>> connections_;
  Tally tally_;
  std::uint64_t to_send_ = 0;
  std::uint64_t next_key_ = 0;
  std::uint64_t turns_ = 0;
  Clock::time_point deadline_ = Clock::now() + options_.max_time;
};

}  // namespace

Tally throughput(const Options& options) {
  constexpr std::uint64_t kDefaultRequests = 100'000;
  const std::uint64_t requests = options.mode == Mode::kFill ? options.keys : options.requests == 0 ? kDefaultRequests : options.requests;
  Throughput load(options);
  if (options.warmup > 0 && options.mode != Mode::kFill) {
    Tally warmup = load.run(options.warmup);
    if (!warmup.right()) return warmup;
  }
  return with_cpu_of(options.server, [&] { return load.run(requests); });
}

}  // namespace pinfold::load
