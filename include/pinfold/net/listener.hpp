#pragma once
// A listening socket. Accepted connections go to the I/O thread that has the fewest. Lives on the loop that it is
// given, which is not an I/O thread's: a storm of connections must not slow those who are connected.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "pinfold/net/io_thread.hpp"

namespace pinfold::net {

namespace asio = boost::asio;

class Listener {
 public:
  Listener(asio::io_context& context, command::Engine& engine, std::vector<std::unique_ptr<IoThread>>& threads);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  /// Whether listen_tcp() can make anything of it.
  static bool is_address(const std::string& address);
  /// Each returns what went wrong, or nothing.
  std::optional<std::string> listen_tcp(const std::string& address, unsigned port, int backlog);
  std::optional<std::string> listen_unix(const std::string& path, unsigned permissions, int backlog);
  /// Where it listens, for people: "127.0.0.1:6379", a path. After listen_tcp() or listen_unix().
  const std::string& name() const { return name_; }
  void start();
  /// Begins to accept anew, after something failed that may have ended it.
  void restart();
  void close();

 private:
  using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

  std::optional<std::string> bind(int family, const void* address, std::size_t size, const std::string& name, int backlog);
  void accept();
  void retry_later();
  IoThread& least_loaded();
  void hand_over(int fd);

  asio::io_context& context_;
  command::Engine& engine_;
  std::vector<std::unique_ptr<IoThread>>& threads_;
  Acceptor acceptor_;
  asio::steady_timer retry_;
  std::string name_;
  std::string unix_path_;
};

}  // namespace pinfold::net
