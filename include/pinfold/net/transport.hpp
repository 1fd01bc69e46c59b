#pragma once
// What carries the bytes of a connection: a plain socket (socket_transport.hpp), and soon TLS. Nothing above knows which it is.
//
// A transport does not block and does not call back. It is used by one I/O thread, which asks the event loop for the events that
// wants() names and then calls read() or write() again.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <sys/epoll.h>
#include <sys/uio.h>

namespace pinfold::net {

class Transport {
 public:
  enum class Outcome : std::uint8_t {
    done,     // at least one byte has been moved; a write may have taken a part, and takes more at once
    blocked,  // nothing more goes before the events in wants() come; a write may have taken a part, a read has brought nothing
    ended,    // the peer sends no more; only from read()
    failed,   // the connection is broken
  };
  struct Result {
    std::size_t bytes = 0;
    Outcome outcome = Outcome::done;
  };

  /// The events that read() and write() wait for after they were blocked. A read may have to wait until it can send, and a write
  /// until it can receive.
  struct Wants {
    std::uint32_t read = EPOLLIN;
    std::uint32_t write = EPOLLOUT;
    bool operator==(const Wants&) const = default;
  };

  enum class Handshake : std::uint8_t { under_way, done };

  /// The two ends, as CLIENT LIST shows them.
  struct Addresses {
    std::string peer;
    std::string local;
    bool unix_socket = false;
  };

  virtual ~Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  /// Puts received bytes into `buffers`, in order. Some of them must have room.
  /// While the handshake is under way it is read() that drives it: it is blocked until the handshake is done.
  virtual Result read(std::span<const iovec> buffers) = 0;
  /// Sends from `runs`, in order. What was not taken is offered again later, as the first bytes and perhaps from other addresses.
  /// While the handshake is under way it takes nothing.
  virtual Result write(std::span<const iovec> runs) = 0;
  /// Ends both directions without waiting, and closes the descriptor. Bytes that were taken are still sent. May be called twice;
  /// after it nothing else may be called.
  virtual void shutdown() = 0;
  /// Takes memory. Before shutdown().
  virtual Addresses addresses() const = 0;

  /// What the event loop watches. Constant; open until shutdown().
  int descriptor() const { return descriptor_; }
  /// Whether reads wait for EPOLLIN and writes for EPOLLOUT, nothing is pending and no handshake under way. With a plain socket that is
  /// always so, and the three below need not be looked at.
  bool usual() const { return usual_; }
  Wants wants() const { return wants_; }
  /// Bytes that it has received, and that the next read() brings although the event loop reports nothing.
  std::size_t pending() const { return pending_; }
  Handshake handshake() const { return handshake_; }

 protected:
  explicit Transport(int descriptor) : descriptor_(descriptor) {}

  /// What has become of these in a call of read() or write(). A transport for which they never change need not say so.
  void tell(Wants wants, std::size_t pending, Handshake handshake) {
    wants_ = wants;
    pending_ = pending;
    handshake_ = handshake;
    usual_ = wants == Wants{} && pending == 0 && handshake == Handshake::done;
  }

  const int descriptor_;

 private:
  bool usual_ = true;
  Handshake handshake_ = Handshake::done;
  Wants wants_;
  std::size_t pending_ = 0;
};

}  // namespace pinfold::net
