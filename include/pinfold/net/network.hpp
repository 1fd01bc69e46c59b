#pragma once
// All I/O threads and the listeners that feed them.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "pinfold/command/engine.hpp"

namespace pinfold::net {

class IoThread;
class Listener;

class Network {
 public:
  /// Connections are accepted on `context`, which the caller runs.
  Network(boost::asio::io_context& context, command::Engine& engine);
  ~Network();

  /// Whether there is anything to listen on, and all of it can be an address; what is wrong, or nothing. Opens nothing.
  static std::optional<std::string> check_addresses(const config::Settings& settings);
  /// Binds every address and socket of the settings; returns what went wrong, or nothing.
  std::optional<std::string> listen();
  /// Where it listens, for people: "127.0.0.1:6379 and [::1]:6379". After listen().
  std::string addresses() const;
  void start();
  /// To be called when the context threw: for want of memory, after which nobody may be accepting.
  void accept_again();
  /// Stops listening, closes every connection, ends the threads.
  void stop();

 private:
  boost::asio::io_context& context_;
  command::Engine& engine_;
  std::vector<std::unique_ptr<IoThread>> threads_;
  std::vector<std::unique_ptr<Listener>> listeners_;
};

}  // namespace pinfold::net
