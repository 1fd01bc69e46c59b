#pragma once
// The plain transport: a connected TCP or unix socket.

#include <cstdint>

#include "pinfold/net/transport.hpp"

namespace pinfold::net {

class SocketTransport final : public Transport {
 public:
  /// Owns `fd`, which is connected and does not block. For TCP: small replies are sent at once, and a peer that has been silent for
  /// `keepalive_seconds` is asked whether it is still there (0: never).
  SocketTransport(int fd, std::int64_t keepalive_seconds);
  ~SocketTransport() override { shutdown(); }

  Result read(std::span<const iovec> buffers) override;
  Result write(std::span<const iovec> runs) override;
  void shutdown() override;
  Addresses addresses() const override;

 private:
  bool open_ = true;
};

}  // namespace pinfold::net
