#pragma once
// What carries the bytes of a connection: a plain socket (socket_transport.hpp), or TLS (tls_transport.hpp). A connection does not
// know which it is.
//
// A transport neither blocks nor calls back. If a read() or write() is blocked, the I/O thread has the event loop watch for the
// events in wants(), and then calls read() or write() again.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/epoll.h>
#include <sys/uio.h>

namespace pinfold::net {

/// Not thread-safe: used by the I/O thread of its connection, which owns it. Errors are results, except that read(), write(), addresses()
/// and established() may throw std::bad_alloc. After that it can only be shut down.
class Transport {
 public:
  /// The result of a read or a write.
  enum class Outcome : std::uint8_t {
    done,     // at least one byte has moved; a write may have taken only a part, and would take more at once
    blocked,  // no more bytes move before the events in wants() come; a write may have taken a part, a read has brought nothing
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

  /// What a handshake has brought.
  struct Established {
    bool resumed = false;
    bool certified = false;  // the peer has shown a certificate of an accepted authority
    /// The names of the peer that may be names of users, or why its certificate names none. Both are empty if the peer has shown no
    /// certificate, or if its names are not asked for.
    std::vector<std::string> names;
    std::string refusal;
  };

  virtual ~Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  /// Puts received bytes into `buffers`, in order. At least one buffer must have room. While a handshake is under way, read()
  /// carries it on, and is blocked until the handshake is done.
  virtual Result read(std::span<const iovec> buffers) = 0;
  /// Sends bytes from `runs`, in order. The caller offers bytes that were not taken again later, as the first bytes of the next
  /// call; they may then lie elsewhere. While a handshake is under way, write() takes nothing.
  virtual Result write(std::span<const iovec> runs) = 0;
  /// Ends both directions without waiting, and closes the descriptor. Bytes that write() has taken are still sent. May be
  /// called twice. No other function may be called afterwards.
  virtual void shutdown() = 0;
  /// The addresses of the two ends. Called before shutdown().
  virtual Addresses addresses() const = 0;
  /// Called once when the handshake is done, before the next read() or write().
  virtual Established established() { return {}; }
  /// Tells a peer whose handshake is not done that it is not served, if there is a way to. Called before shutdown().
  virtual void decline() {}
  /// Why the transport has failed. Empty if it knows no more than that the peer is gone, and the peer has said nothing before. Valid as
  /// long as the transport.
  virtual std::string_view failure() const { return {}; }

  /// The descriptor that the event loop watches. It does not change, and is open until shutdown().
  int descriptor() const { return descriptor_; }
  /// Whether the transport behaves as a plain socket at the moment: reads wait for EPOLLIN and writes for EPOLLOUT, no bytes
  /// are pending, and no handshake is under way. Then the caller need not look at the next three. A plain socket is always
  /// usual.
  bool usual() const { return usual_; }
  Wants wants() const { return wants_; }
  /// How many bytes the transport has received that the next read() returns, although the event loop does not report them.
  std::size_t pending() const { return pending_; }
  Handshake handshake() const { return handshake_; }
  /// The bytes that the transport takes, beyond what a plain socket does. May be an estimate.
  std::size_t memory() const { return memory_; }
  /// The same for a transport whose peer is idle. Only established() changes it.
  std::size_t idle_memory() const { return idle_memory_; }

 protected:
  explicit Transport(int descriptor) : descriptor_(descriptor) {}

  /// Sets what wants(), pending() and handshake() return. A transport calls it in read() and write(). A transport that is
  /// always usual() need not call it.
  void tell(Wants wants, std::size_t pending, Handshake handshake) {
    wants_ = wants;
    pending_ = pending;
    handshake_ = handshake;
    usual_ = wants == Wants{} && pending == 0 && handshake == Handshake::done;
  }

  void set_memory(std::size_t now) { memory_ = now; }
  void set_idle_memory(std::size_t idle) { idle_memory_ = idle; }

  const int descriptor_;

 private:
  bool usual_ = true;
  Handshake handshake_ = Handshake::done;
  Wants wants_;
  std::size_t pending_ = 0;
  std::size_t memory_ = 0;
  std::size_t idle_memory_ = 0;
};

}  // namespace pinfold::net
