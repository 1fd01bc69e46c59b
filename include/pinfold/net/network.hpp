#pragma once
// All I/O threads, and the listeners that give them connections.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "pinfold/base/client_threads.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/net/tls_context.hpp"

namespace pinfold::net {

class IoThread;
class Listener;
class TlsCertificates;

/// Owns the threads and the listeners. The functions of ClientThreads and make_tls() are thread-safe; all others are called by the main
/// thread. `context` and `engine` must outlive it.
class Network final : public ClientThreads {
 public:
  /// Connections are accepted on `context`, which the caller runs.
  Network(boost::asio::io_context& context, command::Engine& engine);
  ~Network();

  /// Checks that the settings name at least one address or socket to listen on, and that addresses have the right form. Opens
  /// nothing. Returns an error, or nothing.
  static std::optional<std::string> check_addresses(const config::Settings& settings);
  /// Checks that the settings of TLS fit together and that their files can be used, if there is to be TLS. Adds to `warnings`. Returns an
  /// error, or nothing.
  static std::optional<std::string> check_tls(const config::Settings& settings, std::vector<std::string>& warnings);
  /// Binds every address and socket of the settings. Returns an error, or nothing.
  std::optional<std::string> listen();
  /// The addresses for the log: "127.0.0.1:6379 and [::1]:6379". Called after listen().
  std::string addresses() const;
  /// Starts the threads, and begins to accept.
  void start();
  /// Reads the certificates again.
  void reload_certificates();
  /// Makes the server's side of a TLS connection of another port, with the certificates of this moment; null if there is no memory. Called
  /// after listen(), if admin-tls is on. No session is resumed on it.
  TlsOwned<SSL> make_tls() const;
  /// Begins to accept again. Called when `context` has thrown std::bad_alloc, because some listeners may then have stopped
  /// accepting.
  void accept_again();
  /// Stops listening, closes every connection and ends the threads.
  void stop();

  void close(const ClientPlace& client) override;
  void end_wait(const ClientPlace& client, std::uint64_t ticket, bool with_error) override;
  void wake_task(const ClientPlace& client) override;
  void end_pause() override;
  void deliver(const std::shared_ptr<const Delivery>& answer) override;
  void push(std::vector<ClientPlace> to, std::shared_ptr<const std::string> bytes, Audience audience) override;
  void send(unsigned thread, std::shared_ptr<const Mail> mail) override;
  std::uint64_t mail_number(unsigned thread) const override;

 private:
  std::optional<std::string> listen_tcp(unsigned port, const TlsCertificates* tls);
  void connect_tls_settings();
  void watch_certificates();

  boost::asio::io_context& context_;
  command::Engine& engine_;
  std::unique_ptr<TlsCertificates> tls_;
  boost::asio::steady_timer look_at_certificates_;
  std::vector<std::unique_ptr<IoThread>> threads_;
  std::vector<std::unique_ptr<Listener>> listeners_;
};

}  // namespace pinfold::net
