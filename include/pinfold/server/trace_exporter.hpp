#pragma once
// The thread that sends spans to the receiver of trace-endpoint, by OTLP over HTTP. It has a thread of its own, so that a receiver that
// hangs holds up nobody: not clients, not metrics, not the background worker.
//
// Five times a second, or when a batch is there, it sends what waits: 512 spans at most in one request, on a connection of its own. A
// request has five seconds for all of it. Of the answer only the head is read, at most 8 KB. A batch that is not taken is counted and not
// sent again.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/http_url.hpp"
#include "pinfold/base/sleeper.hpp"
#include "pinfold/command/engine.hpp"

namespace pinfold::server {

/// start() and stop() are for the main thread, wake() (Sleeper) for any. The engine must outlive it.
class TraceExporter final : public Sleeper {
 public:
  /// Switches tracing on and off as trace-endpoint says, now and when that changes. Before threads start.
  explicit TraceExporter(command::Engine& engine);
  ~TraceExporter() override { static_cast<void>(stop()); }
  TraceExporter(const TraceExporter&) = delete;
  TraceExporter& operator=(const TraceExporter&) = delete;

  void start();
  /// Sends what waits, if that is possible within a second, and ends the thread. Returns false if it looks up a name and the system does
  /// not answer: then the thread is still there, and neither this object nor the engine may be destroyed. Called when no I/O thread runs.
  [[nodiscard]] bool stop();

 private:
  using Endpoints = boost::asio::ip::tcp::resolver::results_type;
  // Why a batch was not taken; nothing if it was.
  using Failure = std::optional<std::string>;

  void run();
  void wake_now() override;
  bool follow();
  void work();
  void send_waiting();
  Failure send(const std::string& url, std::size_t spans);
  Failure look_up(const std::string& url);
  Failure post(std::string body);
  void tell(const Failure& failure);
  void tell_dropped();

  command::Engine& engine_;
  std::unique_ptr<command::Span[]> batch_;  // while tracing is on; in the account as Use::sampling
  // What trace-endpoint was when it was looked up last, and what came of it.
  std::string url_;
  HttpUrl receiver_;
  Endpoints endpoints_;
  MonoMs looked_up_;
  bool failing_ = false;
  std::uint64_t told_dropped_ = 0;
  MonoMs told_dropped_at_;
  boost::asio::io_context context_{1};
  std::atomic<bool> ending_{false};  // no new request is begun
  std::mutex mutex_;                 // guards the next three
  bool woken_ = false;
  bool stopping_ = false;
  bool stopped_ = false;
  std::condition_variable changed_;
  std::thread thread_;
};

}  // namespace pinfold::server
