#include "handshakes.h"

#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cpu_clock.h"
#include "failure.h"
#include "histogram.h"
#include "json.h"
#include "progress.h"
#include "socket.h"
#include "tls.h"
#include <sys/epoll.h>

#include <openssl/err.h>

namespace pinfold::load {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kQuestion = "PING\r\n";
constexpr std::string_view kAnswer = "+PONG\r\n";
// So many source ports are used in turn, of as many addresses as they need, while the kernel keeps those of closed connections.
constexpr std::uint64_t kSources = 100'000;

struct Attempt {
  Descriptor socket;
  Tls tls;
  Clock::time_point began;
  bool asked = false;
  std::string said;
};

class Handshakes {
 public:
  explicit Handshakes(const Options& options)
      : options_(options), poll_(::epoll_create1(EPOLL_CLOEXEC)), context_(make_tls_context(options)) {
    if (poll_.get() < 0) fail_system("epoll_create1");
    allow_descriptors(options.connections + 64);
    if (options.resume) {
      SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
      SSL_CTX_set_app_data(context_.get(), this);
      SSL_CTX_sess_set_new_cb(context_.get(), &Handshakes::keep);
    }
    attempts_.resize(options.connections);
  }

  Tally run(std::uint64_t count) {
    counts_ = {};
    started_ = 0;
    to_start_ = count;
    tally_ = Tally{};
    Progress progress(options_.label.empty() ? "handshakes" : options_.label, count, options_.quiet);
    const auto start = Clock::now();
    for (Attempt& attempt : attempts_) begin(attempt);
    std::array<epoll_event, 256> events;
    for (std::uint64_t turn = 0; counts_.ended() < count && !tally_.broken; ++turn) {
      constexpr int kWaitMs = 100;
      const int ready = ::epoll_wait(poll_.get(), events.data(), static_cast<int>(events.size()), kWaitMs);
      if (Clock::now() > start + options_.max_time) tally_.stop("out of time");
      for (int i = 0; i < ready; ++i) {
        auto& attempt = *static_cast<Attempt*>(events[static_cast<std::size_t>(i)].data.ptr);
        if (attempt.tls) go_on(attempt);
      }
      if (turn % 64 == 0 && progress.due()) progress.show(counts_.ended());
    }
    tally_.requests = counts_.ended();
    tally_.elapsed = Clock::now() - start;
    return std::move(tally_);
  }

  bool print(const Tally& tally) const {
    const double elapsed = std::chrono::duration<double>(tally.elapsed).count();
    const auto micros = [](std::chrono::nanoseconds time) { return std::chrono::duration<double, std::micro>(time).count(); };
    JsonObject json;
    json.add("mode", name_of(options_.mode)).add("valid", valid(tally)).add("problem", problem(tally));
    json.add("answered", counts_.answered).add("resumed", counts_.resumed).add("refused", counts_.refused).add("refusal", refusal_);
    json.add("failed", counts_.failed).add("seconds", elapsed);
    json.add("errors", counts_.failed).add("wrong", std::uint64_t{0}).add("misses", std::uint64_t{0});
    if (tally.server_cpu_seconds >= 0) {
      json.add("server_cpu_seconds", tally.server_cpu_seconds).add("cpu_clock", tally.cpu_clock);
      if (tally.server_cpu_seconds > 0) json.add("per_cpu_second", static_cast<double>(counts_.answered) / tally.server_cpu_seconds);
    }
    JsonObject times;
    times.add("p50", micros(tally.latency.percentile(0.5))).add("p99", micros(tally.latency.percentile(0.99)));
    times.add("p99.9", micros(tally.latency.percentile(0.999))).add("max", micros(tally.latency.max()));
    json.add("latency_us", times);
    std::puts(json.line().c_str());
    return valid(tally);
  }

 private:
  struct Counts {
    std::uint64_t answered = 0;
    std::uint64_t resumed = 0;  // of those that were answered
    std::uint64_t refused = 0;
    std::uint64_t failed = 0;

    std::uint64_t ended() const { return answered + refused + failed; }
  };

  bool valid(const Tally& tally) const { return !tally.broken && counts_.failed == 0; }
  std::string problem(const Tally& tally) const { return tally.broken ? tally.problem() : failure_; }

  // A session that was given, for the next connection.
  static int keep(SSL* tls, SSL_SESSION* session) {
    auto* self = static_cast<Handshakes*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(tls)));
    constexpr std::size_t kMostSessions = 100'000;
    if (self->sessions_.size() >= kMostSessions) return 0;
    self->sessions_.emplace_back(session);
    return 1;  // it is this program's now
  }

  void begin(Attempt& attempt) {
    if (started_ == to_start_) return;
    ++started_;
    attempt.began = Clock::now();
    attempt.socket = begin_connecting(options_, static_cast<std::uint32_t>(opened_++ % kSources));
    attempt.tls = make_tls(*context_, attempt.socket.get());
    attempt.asked = false;
    attempt.said.clear();
    if (options_.resume && !sessions_.empty()) {
      SSL_set_session(attempt.tls.get(), sessions_.back().get());
      sessions_.pop_back();
    }
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.ptr = &attempt;
    if (::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, attempt.socket.get(), &event) != 0) fail_system("epoll_ctl");
  }

  void go_on(Attempt& attempt) {
    SSL* tls = attempt.tls.get();
    ERR_clear_error();
    if (!attempt.asked) {
      const int outcome = SSL_do_handshake(tls);
      if (outcome != 1) return wait_or_fail(attempt, outcome);
      const int sent = SSL_write(tls, kQuestion.data(), static_cast<int>(kQuestion.size()));
      if (sent != static_cast<int>(kQuestion.size())) return wait_or_fail(attempt, sent);
      attempt.asked = true;
    }
    for (;;) {
      std::array<char, 512> part;
      const int got = SSL_read(tls, part.data(), static_cast<int>(part.size()));
      if (got <= 0) return wait_or_fail(attempt, got);
      attempt.said.append(part.data(), static_cast<std::size_t>(got));
      if (attempt.said == kAnswer) return answered(attempt);
    }
  }

  void answered(Attempt& attempt) {
    ++counts_.answered;
    if (SSL_session_reused(attempt.tls.get()) == 1) ++counts_.resumed;
    tally_.latency.record(Clock::now() - attempt.began);
    // Before TLS 1.3 a session is for any number of connections, and a resumed one brings no new one.
    if (options_.resume && SSL_version(attempt.tls.get()) == TLS1_2_VERSION && SSL_session_reused(attempt.tls.get()) == 1) {
      sessions_.emplace_back(SSL_get1_session(attempt.tls.get()));
    }
    SSL_shutdown(attempt.tls.get());
    end(attempt);
  }

  void wait_or_fail(Attempt& attempt, int outcome) {
    const int error = SSL_get_error(attempt.tls.get(), outcome);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return;
    const bool alerted = ERR_GET_REASON(ERR_peek_error()) == SSL_R_TLSV1_ALERT_ACCESS_DENIED;
    if (alerted || (!attempt.said.empty() && attempt.said.front() == '-')) {
      ++counts_.refused;
      if (refusal_.empty()) refusal_ = alerted ? tls_error() : attempt.said;
    } else {
      ++counts_.failed;
      if (failure_.empty()) failure_ = tls_error();
    }
    end(attempt);
  }

  void end(Attempt& attempt) {
    attempt.tls.reset();
    attempt.socket = Descriptor();
    begin(attempt);
  }

  const Options& options_;
  Descriptor poll_;
  TlsContext context_;
  std::vector<TlsSession> sessions_;
  std::vector<Attempt> attempts_;
  Tally tally_;
  Counts counts_;
  std::string refusal_;
  std::string failure_;
  std::uint64_t to_start_ = 0;
  std::uint64_t started_ = 0;
  std::uint64_t opened_ = 0;
};

}  // namespace

bool handshakes(const Options& options) {
  constexpr std::uint64_t kDefault = 10'000;
  Handshakes load(options);
  if (options.warmup > 0) load.run(options.warmup);
  return load.print(with_cpu_of(options.server, [&] { return load.run(options.requests == 0 ? kDefault : options.requests); }));
}

}  // namespace pinfold::load
