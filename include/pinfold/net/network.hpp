#pragma once
// All I/O threads, and the listeners that give them connections.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "pinfold/base/client_threads.hpp"
#include "pinfold/command/engine.hpp"

namespace pinfold::net {

class IoThread;
class Listener;

class Network final : public ClientThreads {
 public:
  /// Connections are accepted on `context`, which the caller runs.
  Network(boost::asio::io_context& context, command::Engine& engine);
  ~Network();

  /// Checks that the settings name something to listen on, in the form of addresses. Returns an error, or nothing. Opens nothing.
  static std::optional<std::string> check_addresses(const config::Settings& settings);
  /// Binds every address and socket of the settings. Returns an error, or nothing.
  std::optional<std::string> listen();
  /// The addresses as people read them: "127.0.0.1:6379 and [::1]:6379". To be called after listen().
  std::string addresses() const;
  void start();
  /// To be called when the context has thrown for want of memory: some listeners may have stopped to accept.
  void accept_again();
  /// Stops listening, closes every connection and ends the threads.
  void stop();

  void close(const ClientPlace& client) override;
  void end_wait(const ClientPlace& client, std::uint64_t ticket, bool with_error) override;
  void run_task(const ClientPlace& client) override;
  void end_pause() override;
  void deliver(const std::shared_ptr<const Delivery>& answer) override;
  void push(std::vector<ClientPlace> to, std::shared_ptr<const std::string> bytes) override;

 private:
  boost::asio::io_context& context_;
  command::Engine& engine_;
  std::vector<std::unique_ptr<IoThread>> threads_;
  std::vector<std::unique_ptr<Listener>> listeners_;
};

}  // namespace pinfold::net
