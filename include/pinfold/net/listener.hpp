#pragma once
// A listening socket. An accepted connection goes to the I/O thread that has the fewest connections. A listener runs on the
// loop of the main thread and not on that of an I/O thread, so that many new connections at once do not slow down connected
// clients.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "pinfold/net/io_thread.hpp"
#include "pinfold/net/tls_certificates.hpp"

namespace pinfold::net {

namespace asio = boost::asio;

/// Not thread-safe: used by the thread that runs `context`. All that the constructor gets must outlive the listener.
class Listener {
 public:
  /// With `tls`, the connections speak TLS; null: they do not.
  Listener(asio::io_context& context, command::Engine& engine, std::vector<std::unique_ptr<IoThread>>& threads,
           const TlsCertificates* tls = nullptr);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  /// Whether the text has the form of an address for listen_tcp().
  static bool is_address(const std::string& address);
  /// These two bind and listen. They return an error, or nothing.
  std::optional<std::string> listen_tcp(const std::string& address, unsigned port, int backlog);
  std::optional<std::string> listen_unix(const std::string& path, unsigned permissions, int backlog);
  /// The address for the log: "127.0.0.1:6379", "tls://127.0.0.1:6380", or a path. Called after listen_tcp() or listen_unix().
  const std::string& name() const { return name_; }
  /// Begins to accept.
  void start();
  /// Begins to accept again, after a failure that may have ended accepting.
  void restart();
  void close();

 private:
  using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

  std::optional<std::string> bind(int family, const void* address, std::size_t size, const std::string& name, int backlog);
  void accept();
  void retry_later();
  IoThread& least_loaded();
  // Makes a transport of an accepted socket, and gives it to an I/O thread.
  void adopt(int fd);
  void hand_over(int fd);

  asio::io_context& context_;
  command::Engine& engine_;
  std::vector<std::unique_ptr<IoThread>>& threads_;
  const TlsCertificates* const tls_;
  Acceptor acceptor_;
  asio::steady_timer retry_;
  std::string name_;
  std::string unix_path_;
};

}  // namespace pinfold::net
