#pragma once
// The plain transport: a connected TCP or unix socket.

#include <cstdint>
#include <string>

#include "pinfold/net/transport.hpp"

namespace pinfold::net {

/// Its functions do what those of Transport promise. It is always usual().
class SocketTransport final : public Transport {
 public:
  /// Takes over `fd`, a connected socket in non-blocking mode, and closes it. On a TCP socket it turns TCP_NODELAY on, so that
  /// small replies are sent at once, and keepalive for a peer that has been silent for `keepalive_seconds` (0: never).
  SocketTransport(int fd, std::int64_t keepalive_seconds);
  ~SocketTransport() override { shutdown(); }

  Result read(std::span<const iovec> buffers) override;
  Result write(std::span<const iovec> runs) override;
  void shutdown() override;
  Addresses addresses() const override;
  /// The address of a connected socket's peer, in the form of Addresses::peer. Throws std::bad_alloc.
  static std::string peer_of(int fd);

 private:
  bool open_ = true;
};

}  // namespace pinfold::net
