#include "replay.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <unordered_map>

#include "cpu_clock.h"
#include "dataset.h"
#include "progress.h"
#include "protocol.h"
#include "socket.h"
#include "trace.h"
#include <sys/socket.h>
#include <sys/time.h>

namespace pinfold::load {
namespace {

using Clock = std::chrono::steady_clock;

class Replay {
 public:
  Replay(const Options& options, const Trace& trace)
      : options_(options),
        trace_(trace),
        protocol_(make_protocol(options.wire)),
        values_(trace.longest_value()),
        socket_(connect_to(options, 0)) {
    // A server that stops answering must not hold the run for ever.
    const timeval patience{.tv_sec = std::min(kPatience, options.max_time).count(), .tv_usec = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  }

  Tally run() {
    const std::string label = options_.label.empty() ? "replay" : options_.label;
    Progress progress(label, trace_.size(), options_.quiet);
    const auto start = Clock::now();
    for (std::size_t n = 0; n < trace_.size() && !tally_.broken; ++n) {
      request(trace_[n]);
      if (n % 4096 != 4095) continue;
      if (progress.due()) progress.show(n + 1, hit_ratio());
      if (Clock::now() - start > options_.max_time) tally_.stop("out of time");
    }
    tally_.elapsed = Clock::now() - start;
    return std::move(tally_);
  }

 private:
  static constexpr std::chrono::seconds kPatience{10};

  std::string hit_ratio() const {
    char text[32];
    std::snprintf(text, sizeof text, "hits %.4f",
                  static_cast<double>(tally_.hits) / static_cast<double>(tally_.hits + tally_.misses));
    return text;
  }

  void request(const Trace::Line& line) {
    key_.assign("key:").append(line.id);
    const std::uint64_t hash = hash_of(line.id);
    out_.clear();
    protocol_->get(out_, key_);
    const Reply reply = ask(Request::kGet);
    switch (reply.kind) {
      case Reply::Kind::kValue:
        hit(line, hash, reply.text);
        break;
      case Reply::Kind::kMissing:
        ++tally_.misses;
        tally_.bytes_miss += line.value_bytes;
        break;
      case Reply::Kind::kIncomplete:
      case Reply::Kind::kGarbage:
        return;  // ask() has recorded it
      default:
        tally_.error(reply.text);
    }
    inbox_.drop(reply.used);
    ++tally_.requests;
    if (reply.kind == Reply::Kind::kMissing) store(line, hash);
  }

  void hit(const Trace::Line& line, std::uint64_t hash, std::string_view value) {
    ++tally_.hits;
    tally_.bytes_hit += value.size();
    const auto last = last_stored_.find(line.id);
    if (last == last_stored_.end() || last->second != value.size()) {
      tally_.mismatch("a hit whose length is not the one last stored");
    } else if (value != values_.of(hash, value.size())) {
      tally_.mismatch("a hit whose content is not the one stored");
    }
  }

  void store(const Trace::Line& line, std::uint64_t hash) {
    out_.clear();
    protocol_->set(out_, key_, values_.of(hash, line.value_bytes), options_.ttl);
    const Reply reply = ask(Request::kSet);
    switch (reply.kind) {
      case Reply::Kind::kStored:
        ++tally_.stored;
        last_stored_[line.id] = line.value_bytes;
        break;
      case Reply::Kind::kRefused:
        tally_.refuse(reply.text);
        break;
      case Reply::Kind::kIncomplete:
      case Reply::Kind::kGarbage:
        return;
      default:
        tally_.error(reply.text);
    }
    inbox_.drop(reply.used);
  }

  // Sends out_ and waits for its reply; kIncomplete when the run is over.
  Reply ask(Request request) {
    const auto sent_at = Clock::now();
    if (!send_all()) {
      tally_.stop("the server closed the connection or does not read");
      return {};
    }
    for (;;) {
      const Inbox::Status status = inbox_.fill(socket_);
      if (status != Inbox::Status::kRead) {
        tally_.stop(status == Inbox::Status::kClosed ? "the server closed the connection"
                                                     : "the server does not answer");
        return {};
      }
      const Reply reply = protocol_->parse(inbox_.view(), request, key_);
      if (reply.kind == Reply::Kind::kIncomplete) continue;
      if (reply.kind == Reply::Kind::kGarbage) {
        tally_.mismatch(reply.text);
        tally_.stop("unreadable reply");
        return reply;
      }
      tally_.latency.record(Clock::now() - sent_at);
      if (inbox_.view().size() > reply.used) {
        tally_.mismatch("bytes after the reply");
        tally_.stop("more bytes than one reply");
        return {};
      }
      return reply;
    }
  }

  bool send_all() {
    std::string_view rest = out_;
    while (!rest.empty()) {
      const ssize_t sent = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return false;
      rest.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  const Options& options_;
  const Trace& trace_;
  std::unique_ptr<Protocol> protocol_;
  Values values_;
  Descriptor socket_;
  Inbox inbox_;
  std::string out_;
  std::string key_;
  std::unordered_map<std::string_view, std::uint32_t> last_stored_;  // keys point into the trace
  Tally tally_;
};

}  // namespace

Tally replay(const Options& options) {
  const Trace trace(options.trace, options.requests, options.value_bytes);
  Replay run(options, trace);
  if (options.server == 0) return run.run();
  const CpuClock clock(options.server);
  const double before = clock.seconds();
  Tally tally = run.run();
  const double after = clock.seconds();
  if (before >= 0 && after >= 0) tally.server_cpu_seconds = after - before;
  tally.cpu_clock = clock.source();
  return tally;
}

}  // namespace pinfold::load
