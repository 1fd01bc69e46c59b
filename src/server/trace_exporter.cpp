#include "pinfold/server/trace_exporter.hpp"

#include <algorithm>
#include <exception>
#include <new>
#include <span>
#include <utility>

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include "pinfold/base/version.hpp"
#include "pinfold/server/otlp.hpp"

namespace pinfold::server {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using config::Id;

namespace {

constexpr std::chrono::seconds patience{5};         // for a request and the head of its answer
constexpr std::chrono::seconds patience_at_end{1};  // for all of them
constexpr std::uint32_t largest_head = 8 * 1024;

// One request to the receiver. It lives as long as an operation of it is under way, all of which end in time.
class Exchange {
 public:
  Exchange(asio::io_context& context, const HttpUrl& receiver, std::string body) : stream_(context), buffer_(largest_head) {
    request_.method(http::verb::post);
    request_.target(receiver.path);
    request_.version(11);
    request_.keep_alive(false);
    request_.set(http::field::host, receiver.host_header());
    request_.set(http::field::user_agent, std::string("pinfold/").append(version));
    request_.set(http::field::content_type, "application/json");
    request_.body() = std::move(body);
    request_.prepare_payload();
    parser_.header_limit(largest_head);
  }

  void start(const tcp::resolver::results_type& endpoints) {
    stream_.expires_after(patience);
    stream_.async_connect(endpoints, [this](const error_code& error, const tcp::endpoint& /*endpoint*/) {
      if (error) return fail("cannot connect", error);
      write();
    });
  }

  /// Why it has failed; nothing if the receiver has taken the spans.
  const std::optional<std::string>& failure() const { return failure_; }

 private:
  void write() {
    http::async_write(stream_, request_, [this](const error_code& error, std::size_t /*bytes*/) {
      if (error) return fail("cannot send", error);
      read();
    });
  }

  void read() {
    http::async_read_header(stream_, buffer_, parser_, [this](const error_code& error, std::size_t /*bytes*/) {
      if (error) return fail("no valid answer", error);
      const unsigned status = parser_.get().result_int();
      failure_.reset();
      if (status / 100 != 2) failure_ = "it answers with the status " + std::to_string(status);
    });
  }

  void fail(std::string_view what, const error_code& error) {
    const bool late = error == beast::error::timeout;
    failure_ = std::string(what).append(": ").append(late ? "it took more than 5 seconds" : error.message());
  }

  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  http::request<http::string_body> request_;
  http::response_parser<http::empty_body> parser_;
  std::optional<std::string> failure_ = "the server stops";
};

// Memory of the exporter beside its members, in the account while it is there.
class Accounted {
 public:
  Accounted(store::Memory& memory, std::size_t bytes) : memory_(memory), bytes_(static_cast<std::int64_t>(bytes)) {
    memory_.add(store::Use::sampling, bytes_);
  }
  ~Accounted() { memory_.add(store::Use::sampling, -bytes_); }
  Accounted(const Accounted&) = delete;
  Accounted& operator=(const Accounted&) = delete;

 private:
  store::Memory& memory_;
  const std::int64_t bytes_;
};

}  // namespace

TraceExporter::TraceExporter(command::Engine& engine) : engine_(engine) {
  const auto switch_tracing = [this]() -> std::optional<std::string> {
    if (engine_.settings.text(Id::trace_endpoint).empty()) {
      engine_.tracing.switch_off();
    } else {
      engine_.tracing.switch_on();
    }
    wake_now();
    return std::nullopt;
  };
  engine_.settings.on_change(Id::trace_endpoint, switch_tracing);
  switch_tracing();
  engine_.tracing.set_exporter(this);
}

void TraceExporter::start() {
  thread_ = std::thread([this] { run(); });
}

bool TraceExporter::stop() {
  constexpr std::chrono::milliseconds patience_to_abandon{500};
  if (!thread_.joinable()) return true;
  {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    const auto has_stopped = [this] { return stopped_; };
    if (!changed_.wait_for(lock, patience_at_end, has_stopped)) {
      ending_ = true;
      context_.stop();
      if (!changed_.wait_for(lock, patience_to_abandon, has_stopped)) return false;
    }
  }
  thread_.join();
  return true;
}

void TraceExporter::wake_now() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_all();
}

void TraceExporter::run() {
  constexpr std::chrono::milliseconds period{200};
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const auto woken = [this] { return stopping_ || woken_; };
    if (engine_.tracing.on()) {
      changed_.wait_for(lock, period, woken);
    } else {
      changed_.wait(lock, woken);
    }
    woken_ = false;
    lock.unlock();
    work();
    lock.lock();
  }
  lock.unlock();
  work();
  lock.lock();
  stopped_ = true;
  changed_.notify_all();
}

// Has the memory that it needs while tracing is on. Returns whether it is on.
bool TraceExporter::follow() {
  constexpr auto bytes = static_cast<std::int64_t>(command::Tracing::batch * sizeof(command::Span));
  const bool on = engine_.tracing.on();
  if (on == (batch_ != nullptr)) return on;
  if (on) {
    batch_ = std::make_unique<command::Span[]>(command::Tracing::batch);
  } else {
    batch_.reset();
  }
  engine_.tracing.memory().add(store::Use::sampling, on ? bytes : -bytes);
  return on;
}

// What fails for want of memory is tried again.
void TraceExporter::work() {
  try {
    if (follow()) send_waiting();
    tell_dropped();
  } catch (const std::bad_alloc&) {
  }
}

void TraceExporter::send_waiting() {
  for (std::size_t spans = command::Tracing::batch; spans == command::Tracing::batch && !ending_;) {
    spans = engine_.tracing.take({batch_.get(), command::Tracing::batch});
    if (spans == 0) break;
    tell_dropped();
    const std::string url = engine_.settings.text(Id::trace_endpoint);
    if (url.empty()) return engine_.tracing.drop(spans);
    Failure failure;
    try {
      failure = send(url, spans);
    } catch (const std::exception& error) {  // there is no memory, or no descriptor
      failure = error.what();
    }
    if (failure) {
      engine_.tracing.count_failed(spans);
    } else {
      engine_.tracing.count_exported(spans);
    }
    if (!ending_) tell(failure);
  }
}

TraceExporter::Failure TraceExporter::send(const std::string& url, std::size_t spans) {
  if (Failure failure = look_up(url)) return failure;
  const std::string name = engine_.settings.text(Id::trace_service_name);
  std::string body = otlp_json({name, engine_.run_id}, std::span<const command::Span>(batch_.get(), spans));
  const Accounted accounted(engine_.tracing.memory(), body.capacity());
  return post(std::move(body));
}

// Names are looked up again after half a minute, and after a failure. This may take as long as the system does.
TraceExporter::Failure TraceExporter::look_up(const std::string& url) {
  constexpr std::int64_t valid_ms = 30'000;
  const MonoMs now = monotonic_ms();
  if (url == url_ && !failing_ && !endpoints_.empty() && now - looked_up_ < valid_ms) return std::nullopt;
  std::string wrong;
  const std::optional<HttpUrl> receiver = parse_http_url(url, wrong);
  if (!receiver) return wrong;
  receiver_ = *receiver;
  endpoints_ = Endpoints();
  error_code error;
  const Endpoints found = tcp::resolver(context_).resolve(receiver->host, receiver->port, error);
  if (error) return "its name is not known: " + error.message();
  url_ = url;
  endpoints_ = found;
  looked_up_ = now;
  return std::nullopt;
}

TraceExporter::Failure TraceExporter::post(std::string body) {
  context_.restart();
  if (ending_) return "the server stops";  // else context_.stop() comes later, and ends run()
  Exchange exchange(context_, receiver_, std::move(body));
  exchange.start(endpoints_);
  context_.run();
  return exchange.failure();
}

void TraceExporter::tell(const Failure& failure) {
  if (failing_ == failure.has_value()) return;
  failing_ = failure.has_value();
  engine_.events.note(EventLog::Kind::tracing, [&] {
    if (!failure) return std::string("spans are delivered again");
    return "spans cannot be delivered to " + receiver_.host_header() + ": " + *failure + "; they are dropped and counted";
  });
}

// At most once a minute.
void TraceExporter::tell_dropped() {
  constexpr std::int64_t minute_ms = 60'000;
  const std::uint64_t dropped = engine_.tracing.dropped();
  const MonoMs now = monotonic_ms();
  if (dropped == told_dropped_ || (told_dropped_ != 0 && now - told_dropped_at_ < minute_ms)) return;
  engine_.events.note(EventLog::Kind::tracing, [&] {
    return std::to_string(dropped - told_dropped_) + " spans were dropped: there are more than can be sent. Lower trace-sample-percent";
  });
  told_dropped_ = dropped;
  told_dropped_at_ = now;
}

}  // namespace pinfold::server
