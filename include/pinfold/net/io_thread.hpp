#pragma once
// One I/O thread: an event loop and the connections that live on it. A connection never changes threads.

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <unordered_map>
#include <vector>

#include "pinfold/command/dispatch.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/net/batch.hpp"
#include "pinfold/resp/output.hpp"

namespace pinfold::net {

namespace asio = boost::asio;

// The concrete executor, not any_io_executor: a type-erased call per operation is a measurable part of a request.
using Socket = asio::basic_stream_socket<asio::generic::stream_protocol, asio::io_context::executor_type>;
using Timer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>,
                               asio::io_context::executor_type>;

class Connection;

class IoThread {
 public:
  IoThread(command::Engine& engine, unsigned index);
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  void start();
  /// Closes all connections and ends the loop; returns when the thread has ended.
  void stop();

  asio::io_context& context() { return context_; }
  std::size_t load() const { return load_.load(std::memory_order_relaxed); }
  /// Counts a connection that is about to be handed over, so that the next one goes elsewhere.
  void expect_connection() { load_.fetch_add(1, std::memory_order_relaxed); }

  /// Takes over an accepted socket; called on this thread.
  void adopt(Socket socket, bool unix_socket);
  /// Closes the connection with this client id, if it still lives here. Called on this thread.
  void close(std::uint64_t id);
  /// Lets every connection that waits for the end of a pause look again. Called on this thread.
  void resume_paused();

  // For connections, on this thread.
  command::Engine& engine() { return engine_; }
  command::Dispatcher& dispatcher() { return dispatcher_; }
  resp::Output& output() { return output_; }
  Batch& batch() { return batch_; }
  unsigned index() const { return index_; }
  void destroy(Connection& connection);
  void wait_for_pause_end();

 private:
  void run();
  void tick();
  void schedule_tick();

  command::Engine& engine_;
  const unsigned index_;
  asio::io_context context_;
  command::Dispatcher dispatcher_;
  Timer ticker_;
  Timer pause_timer_;
  resp::Output output_;  // replies of the command batch at hand
  Batch batch_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::atomic<std::size_t> load_{0};
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace pinfold::net
