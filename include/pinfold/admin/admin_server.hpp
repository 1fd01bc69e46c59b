#pragma once
// The admin port: HTTP/1.1 for Prometheus, probes and people, with or without TLS. Its pages are in pages.hpp, who may have them in
// access.hpp. It has a thread of its own. So neither clients nor new connections wait for a scrape, and a scrape waits for no client.
//
// What a peer can make it do is bounded: 64 connections, of which those that are sent no reply make room for others; 8 KB for the head of
// a request and nothing for a body; 10 seconds for a handshake, a request and a reply, and 60 until a next request begins; one reply at a
// time for each connection, and 16 MB of replies that are not read yet for all of them.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <openssl/types.h>

#include "pinfold/command/engine.hpp"

namespace pinfold::admin {

/// All functions are for the main thread, but that set_state() is thread-safe.
class AdminServer {
 public:
  static constexpr std::size_t most_connections = 64;
  /// The file descriptors that it needs, with those of its listening sockets.
  static std::size_t descriptors(const config::Settings& settings);

  /// Whether clients are served: what /ready answers.
  enum class State : std::uint8_t { starting, serving, stopping };

  /// Makes the server's side of a TLS connection, with the certificates of this moment. The caller frees it. Null if there is no memory.
  /// Called by the thread of the admin port.
  using MakeTls = std::function<SSL*()>;

  /// `engine` and what `make_tls` refers to must outlive it. `make_tls` is called only if admin-tls is on.
  AdminServer(command::Engine& engine, MakeTls make_tls);
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  /// Checks the form of the addresses in admin-bind, and that admin-port is a port of its own. Opens nothing. Returns an error, or nothing.
  static std::optional<std::string> check(const config::Settings& settings);
  /// Listens on admin-port at the addresses of admin-bind. Returns an error, or nothing. Does nothing if admin-port is 0.
  std::optional<std::string> listen();
  /// Begins to answer. Does nothing if it does not listen.
  void start();
  void set_state(State state);
  /// Closes all connections and waits for the thread. May be called twice.
  void stop();
  /// Where it listens, for the log: "http://127.0.0.1:9121". Empty if it does not.
  std::string addresses() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace pinfold::admin
