#include "replay.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "cpu_clock.h"
#include "dataset.h"
#include "progress.h"
#include "protocol.h"
#include "stream.h"
#include "trace.h"
#include <sys/socket.h>
#include <sys/time.h>

namespace pinfold::load {
namespace {

using Clock = std::chrono::steady_clock;

class Replay {
 public:
  Replay(const Options& options, const Trace& trace)
      : options_(options), trace_(trace), protocol_(make_protocol(options)), values_(trace.longest_value()), stream_(options, 0) {
    // A server that stops answering must not hold the run for ever.
    const timeval patience{.tv_sec = std::min(kPatience, options.max_time).count(), .tv_usec = 0};
    ::setsockopt(stream_.descriptor(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(stream_.descriptor(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  }

  Tally run() {
    const std::string label = options_.label.empty() ? "replay" : options_.label;
    Progress progress(label, trace_.size(), options_.quiet);
    const auto start = Clock::now();
    std::size_t looked = 0;
    for (std::size_t n = 0; n < trace_.size() && !tally_.broken;) {
      n += request(n);
      if (n - looked < 4096) continue;
      looked = n;
      if (progress.due()) progress.show(n, hit_ratio());
      if (Clock::now() - start > options_.max_time) tally_.stop("out of time");
    }
    tally_.elapsed = Clock::now() - start;
    return std::move(tally_);
  }

 private:
  static constexpr std::chrono::seconds kPatience{10};

  std::string hit_ratio() const {
    char text[32];
    std::snprintf(text, sizeof text, "hits %.4f", static_cast<double>(tally_.hits) / static_cast<double>(tally_.hits + tally_.misses));
    return text;
  }

  // The next requests of the trace, all for different keys: GETs, then SETs of what was missing. Returns how
  // many.
  std::size_t request(std::size_t first) {
    batch_.clear();
    for (std::size_t n = first; n < trace_.size() && batch_.size() < options_.pipeline; ++n) {
      const Trace::Line line = trace_[n];
      const auto same = [&](const Trace::Line& other) { return other.id == line.id; };
      if (std::any_of(batch_.begin(), batch_.end(), same)) break;
      batch_.push_back(line);
    }
    missed_.clear();
    for (const Trace::Line& line : batch_) protocol_->get(out_, key_of(line));
    exchange(Request::kGet, batch_, [this](const Trace::Line& line, const Reply& reply) { got(line, reply); });
    if (missed_.empty() || tally_.broken) return batch_.size();
    for (const Trace::Line& line : missed_) {
      protocol_->set(out_, key_of(line), values_.of(hash_of(line.id), line.value_bytes), options_.expiry);
    }
    exchange(Request::kSet, missed_, [this](const Trace::Line& line, const Reply& reply) { stored(line, reply); });
    return batch_.size();
  }

  std::string_view key_of(const Trace::Line& line) { return key_.assign("key:").append(line.id); }

  void got(const Trace::Line& line, const Reply& reply) {
    ++tally_.requests;
    if (reply.kind == Reply::Kind::kValue) {
      hit(line, reply.text);
    } else if (reply.kind == Reply::Kind::kMissing) {
      ++tally_.misses;
      tally_.bytes_miss += line.value_bytes;
      missed_.push_back(line);
    } else {
      tally_.error(reply.text);
    }
  }

  void hit(const Trace::Line& line, std::string_view value) {
    ++tally_.hits;
    tally_.bytes_hit += value.size();
    const auto last = last_stored_.find(line.id);
    if (last == last_stored_.end() || last->second != value.size()) {
      tally_.mismatch("a hit whose length is not the one last stored");
    } else if (value != values_.of(hash_of(line.id), value.size())) {
      tally_.mismatch("a hit whose content is not the one stored");
    }
  }

  void stored(const Trace::Line& line, const Reply& reply) {
    if (reply.kind == Reply::Kind::kStored) {
      ++tally_.stored;
      last_stored_[line.id] = line.value_bytes;
    } else if (reply.kind == Reply::Kind::kRefused) {
      tally_.refuse(reply.text);
    } else {
      tally_.error(reply.text);
    }
  }

  // Sends out_, and hands each line its reply. Ends early, with the reason in the tally, when the stream
  // breaks.
  template <typename Take>
  void exchange(Request request, const std::vector<Trace::Line>& lines, Take take) {
    const auto sent_at = Clock::now();
    if (!send_all()) return tally_.stop("the server closed the connection or does not read");
    out_.clear();
    for (auto line = lines.begin(); line != lines.end();) {
      const Reply reply = protocol_->parse(inbox_.view(), request, key_of(*line));
      if (reply.kind == Reply::Kind::kIncomplete) {
        const Inbox::Status status = inbox_.fill(stream_);
        if (status == Inbox::Status::kRead) continue;
        return tally_.stop(status == Inbox::Status::kClosed ? "the server closed the connection" : "the server does not answer");
      }
      if (reply.kind == Reply::Kind::kGarbage) {
        tally_.mismatch(reply.text);
        return tally_.stop("unreadable reply");
      }
      tally_.latency.record(Clock::now() - sent_at);
      take(*line, reply);
      inbox_.drop(reply.used);
      ++line;
    }
    if (inbox_.view().empty()) return;
    tally_.mismatch("bytes after the reply");
    tally_.stop("more bytes than were asked for");
  }

  bool send_all() {
    std::string_view rest = out_;
    while (!rest.empty()) {
      const ssize_t sent = stream_.write(rest.data(), rest.size());
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
  Stream stream_;
  Inbox inbox_;
  std::string out_;
  std::string key_;
  std::vector<Trace::Line> batch_;
  std::vector<Trace::Line> missed_;
  std::unordered_map<std::string_view, std::uint32_t> last_stored_;  // keys point into the trace
  Tally tally_;
};

}  // namespace

Tally replay(const Options& options) {
  const Trace trace(options.trace, options.requests, options.value_bytes);
  Replay run(options, trace);
  return with_cpu_of(options.server, [&run] { return run.run(); });
}

}  // namespace pinfold::load
