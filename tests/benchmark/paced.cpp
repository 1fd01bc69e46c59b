#include "paced.h"

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <vector>

#include "channel.h"
#include "cpu_clock.h"
#include "dataset.h"
#include "entries.h"
#include "failure.h"
#include "progress.h"
#include "protocol.h"
#include <sys/epoll.h>

namespace pinfold::load {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kWriters = 4;

struct Asked {
  std::uint64_t key;
  Request request;
  Clock::time_point due;
};

struct Connection {
  Connection(const Options& options, std::uint32_t n, const Descriptor& poll) : channel(options, n, poll, this) {}

  Channel channel;
  std::deque<Asked> unanswered;
};

using Connections = std::vector<std::unique_ptr<Connection>>;

// Moments at a fixed distance from each other, counted from the start so that rounding does not add up.
class Schedule {
 public:
  Schedule(Clock::time_point start, double per_second) : start_(start), per_second_(per_second) {}

  bool due(Clock::time_point now) const { return per_second_ > 0 && next() <= now; }
  Clock::time_point next() const {
    return start_ + std::chrono::nanoseconds(static_cast<std::int64_t>(static_cast<double>(count_) * 1e9 / per_second_));
  }
  std::uint64_t take() { return count_++; }

 private:
  Clock::time_point start_;
  double per_second_;
  std::uint64_t count_ = 0;
};

class Paced {
 public:
  explicit Paced(const Options& options)
      : options_(options),
        protocol_(make_protocol(options)),
        entries_(options),
        random_(options.seed),
        poll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (poll_.get() < 0) fail_system("epoll_create1");
    allow_descriptors(options.connections + kWriters + 64);
    open(readers_, options.connections);
    if (options.writes != Writes::kNone) open(writers_, kWriters);
  }

  Tally run() {
    Progress progress(options_.label.empty() ? "paced" : options_.label, static_cast<std::uint64_t>(options_.duration.count()),
                      options_.quiet);
    const auto start = Clock::now();
    const auto end = start + options_.duration;
    const auto deadline = start + options_.max_time;
    Schedule reads(start, options_.rate);
    Schedule writes(start, options_.writes == Writes::kNone ? 0 : options_.write_rate / options_.pipeline);
    // Unless it is told to, the generator does not sleep: it has a core of its own, and a wake-up would be late by more than a
    // GET takes.
    for (std::uint64_t turn = 0; !tally_.broken; ++turn) {
      const auto now = Clock::now();
      if (now > deadline) {
        tally_.stop("out of time");
        break;
      }
      while (reads.due(now) && reads.next() < end && !tally_.broken) send_reads(reads, now, end);
      while (writes.due(now) && writes.next() < end && !tally_.broken) send_writes(writes);
      if (now >= end && unanswered_ == 0) break;
      receive(options_.sleep ? std::min(reads.next(), end) - Clock::now() : Clock::duration::zero());
      if (turn % 4096 == 0 && progress.due()) {
        progress.show(static_cast<std::uint64_t>((now - start) / std::chrono::milliseconds(1)));
      }
    }
    tally_.elapsed = Clock::now() - start;
    return std::move(tally_);
  }

 private:
  void open(Connections& connections, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      connections.push_back(std::make_unique<Connection>(options_, opened_++, poll_));
    }
  }

  // What is due at once, because the generator itself is late, leaves in one write: so it catches up.
  void send_reads(Schedule& schedule, Clock::time_point now, Clock::time_point end) {
    constexpr int kMostTogether = 16;
    Connection& connection = *readers_[next_reader_++ % readers_.size()];
    for (int i = 0; i < kMostTogether && schedule.due(now) && schedule.next() < end; ++i) {
      const auto due = schedule.next();
      schedule.take();
      const std::uint64_t n = options_.first + random_.below(options_.keys);
      protocol_->get(connection.channel.out(), KeyName(n).view());
      tally_.lateness.record(now - due);
      asked(connection, {n, Request::kGet, due});
    }
    flush(connection);
  }

  void send_writes(Schedule& schedule) {
    const auto due = schedule.next();
    Connection& connection = *writers_[schedule.take() % writers_.size()];
    for (std::uint32_t i = 0; i < options_.pipeline; ++i) asked(connection, {0, write(connection.channel.out()), due});
    flush(connection);
  }

  // Appends one write and says what it is.
  Request write(std::string& out) {
    const bool insert = options_.writes == Writes::kInsert;
    const std::uint64_t n = insert ? options_.first_write + inserted_++ : options_.first + random_.below(options_.keys);
    const KeyName key(n);
    if (options_.writes != Writes::kResize) {
      protocol_->set(out, key.view(), entries_.value(n), options_.expiry);
      return Request::kSet;
    }
    if (random_.below(4) == 0) {
      protocol_->del(out, key.view());
      return Request::kDelete;
    }
    protocol_->set(out, key.view(), entries_.value(n, random_.next()), options_.expiry);
    return Request::kSet;
  }

  void asked(Connection& connection, const Asked& what) {
    connection.unanswered.push_back(what);
    ++unanswered_;
  }

  void flush(Connection& connection) {
    if (!connection.channel.flush()) tally_.stop("the server closed a connection");
  }

  // Waits so long at most.
  void receive(Clock::duration wait) {
    std::array<epoll_event, 128> events;
    constexpr Clock::duration kLongest = std::chrono::milliseconds(100);
    const auto bounded = std::chrono::nanoseconds(std::clamp(wait, Clock::duration::zero(), kLongest));
    const timespec patience{.tv_sec = 0, .tv_nsec = bounded.count()};
    const int count = ::epoll_pwait2(poll_.get(), events.data(), static_cast<int>(events.size()), &patience, nullptr);
    for (int i = 0; i < count && !tally_.broken; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      auto& connection = *static_cast<Connection*>(event.data.ptr);
      if ((event.events & EPOLLOUT) != 0) flush(connection);
      if ((event.events & ~std::uint32_t{EPOLLOUT}) != 0) read(connection);
    }
  }

  void read(Connection& connection) {
    const Inbox::Status status = connection.channel.fill();
    if (status == Inbox::Status::kNothing) return;
    if (status == Inbox::Status::kClosed) return tally_.stop("the server closed a connection");
    const auto now = Clock::now();
    Inbox& inbox = connection.channel.inbox();
    while (!connection.unanswered.empty()) {
      const Asked what = connection.unanswered.front();
      const KeyName key(what.key);
      const Reply reply = protocol_->parse(inbox.view(), what.request, key.view());
      if (reply.kind == Reply::Kind::kIncomplete) return;
      entries_.count(reply, what.key, tally_);
      if (reply.kind == Reply::Kind::kGarbage) return tally_.stop("unreadable reply");
      inbox.drop(reply.used);
      tally_.bytes_read += reply.used;
      connection.unanswered.pop_front();
      --unanswered_;
      if (what.request != Request::kGet) continue;
      tally_.latency.record(now - what.due);
      ++tally_.requests;
    }
    if (inbox.view().empty()) return;
    tally_.mismatch("bytes after the last reply");
    tally_.stop("more replies than requests");
  }

  const Options& options_;
  std::unique_ptr<Protocol> protocol_;
  Entries entries_;
  Random random_;
  Descriptor poll_;
  Connections readers_;
  Connections writers_;
  Tally tally_;
  std::uint32_t opened_ = 0;
  std::uint64_t next_reader_ = 0;
  std::uint64_t inserted_ = 0;
  std::uint64_t unanswered_ = 0;
};

}  // namespace

Tally paced(const Options& options) {
  Paced run(options);
  return with_cpu_of(options.server, [&run] { return run.run(); });
}

}  // namespace pinfold::load
