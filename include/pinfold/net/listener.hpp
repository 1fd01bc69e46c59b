#pragma once
// A listening socket. Accepted connections go to the I/O thread that has the fewest.

#include <boost/asio/basic_socket_acceptor.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pinfold/net/io_thread.hpp"

namespace pinfold::net {

class Listener {
 public:
  Listener(command::Engine& engine, std::vector<std::unique_ptr<IoThread>>& threads);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  /// Each returns what went wrong, or nothing.
  std::optional<std::string> listen_tcp(const std::string& address, unsigned port, int backlog);
  std::optional<std::string> listen_unix(const std::string& path, unsigned permissions, int backlog);
  void start();
  /// Called when no loop runs any more.
  void close();

 private:
  using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol, asio::io_context::executor_type>;

  std::optional<std::string> bind(int family, const void* address, std::size_t size, const std::string& name,
                                  int backlog);
  void accept();
  void retry_later();
  IoThread& least_loaded();
  void hand_over(Socket socket, IoThread& thread);

  command::Engine& engine_;
  std::vector<std::unique_ptr<IoThread>>& threads_;
  Acceptor acceptor_;
  Timer retry_;
  std::string unix_path_;
};

}  // namespace pinfold::net
