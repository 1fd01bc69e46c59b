#pragma once
// A transport that does what a test asks for: brings bytes in pieces of any size, takes as little, blocks, wants to write before it
// reads, shakes hands, holds bytes that the event loop does not see, ends, and fails at any call.
//
// Its descriptor is one end of a pair of sockets, through which no data goes: what lies in them makes it readable or not writable.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pinfold/net/transport.hpp"

namespace pinfold::net {

/// What the test sees of a transport, and does to it. Outlives it.
struct Wire {
  std::string incoming;                  // to be read
  std::size_t taken = 0;                 // of it, what was read
  std::string sent;                      // was written
  std::size_t per_read = SIZE_MAX;       // bytes that one call moves
  std::size_t per_write = SIZE_MAX;      // of a write, after which it takes more at once
  bool blocks_after_write = false;       // what it took is all for now, until let_write()
  bool hides_rest = false;               // what a read leaves is in pending(), and not reported by the event loop
  bool read_waits_for_write = false;     // the next read is blocked until the descriptor is writable
  bool write_waits_for_read = false;     // the next write is blocked until the descriptor is readable
  std::vector<std::uint32_t> handshake;  // what each step of it waits for
  std::string peer = "127.0.0.1:1000";   // the address of the other end
  bool input_ended = false;
  std::size_t calls = 0;  // of read and write
  std::size_t reads = 0;
  std::size_t failing_call = SIZE_MAX;
  std::size_t throwing_call = SIZE_MAX;  // as if its caller had found no memory
  bool shut_down = false;
  int ours = -1;
  int theirs = -1;

  Wire() {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0) throw std::runtime_error("no pair of sockets");
    ours = pair[0];
    theirs = pair[1];
  }
  ~Wire() {
    close_ours();
    if (theirs >= 0) ::close(theirs);
  }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  /// More to be read, of which the event loop tells.
  void deliver(std::string_view bytes) {
    incoming.erase(0, std::exchange(taken, 0));
    incoming += bytes;
    announce();
  }
  /// Has the event loop report that there is something to read.
  void announce() const { check(::send(theirs, "!", 1, MSG_NOSIGNAL) == 1); }
  /// The peer sends no more.
  void end() {
    input_ended = true;
    ::shutdown(theirs, SHUT_WR);
  }
  /// The peer is gone.
  void hang_up() {
    input_ended = true;
    ::close(std::exchange(theirs, -1));
  }
  /// What is still to be read.
  std::string_view rest() const { return std::string_view(incoming).substr(taken); }
  /// From now on nothing can be written.
  void block_writes() const {
    const std::string filling(64 * 1024, '.');
    while (::send(ours, filling.data(), filling.size(), MSG_NOSIGNAL) > 0) continue;
  }
  void let_write() const {
    std::string emptied(64 * 1024, '\0');
    while (::recv(theirs, emptied.data(), emptied.size(), 0) > 0) continue;
  }
  /// Whether the descriptor is readable (POLLIN) or writable (POLLOUT).
  bool is_ready(short events) const {
    pollfd asked{.fd = ours, .events = events, .revents = 0};
    return ::poll(&asked, 1, 0) == 1 && (asked.revents & events) != 0;
  }
  void forget_announcements() const {
    char bytes[256];
    while (::recv(ours, bytes, sizeof bytes, 0) > 0) continue;
  }
  void close_ours() {
    if (ours >= 0) ::close(std::exchange(ours, -1));
  }
  /// What has been sent since the last call.
  std::string take() { return std::exchange(sent, {}); }

 private:
  static void check(bool worked) {
    if (!worked) throw std::runtime_error("the pair of sockets does not work");
  }
};

class FakeTransport final : public Transport {
 public:
  explicit FakeTransport(std::shared_ptr<Wire> wire) : Transport(wire->ours), wire_(std::move(wire)) {
    if (!wire_->handshake.empty()) shake_hands();
  }
  ~FakeTransport() override { shutdown(); }

  Result read(std::span<const iovec> buffers) override {
    Wire& wire = *wire_;
    ++wire.reads;
    if (wire.calls++ == wire.failing_call) return {0, Outcome::failed};
    if (handshake() == Handshake::under_way) {
      step_handshake();
      return {0, Outcome::blocked};
    }
    if (std::exchange(wire.read_waits_for_write, false)) {
      tell({.read = EPOLLOUT, .write = EPOLLOUT}, 0, Handshake::done);
      return {0, Outcome::blocked};
    }
    std::size_t moved = 0;
    for (const iovec& buffer : buffers) {
      const std::size_t count = std::min({buffer.iov_len, wire.rest().size(), wire.per_read - moved});
      std::memcpy(buffer.iov_base, wire.rest().data(), count);
      wire.taken += count;
      moved += count;
    }
    if (wire.rest().empty() || wire.hides_rest) wire.forget_announcements();
    tell({.write = wants().write}, wire.hides_rest ? wire.rest().size() : 0, Handshake::done);
    if (moved > 0) return {moved, Outcome::done};
    return {0, wire.input_ended ? Outcome::ended : Outcome::blocked};
  }

  Result write(std::span<const iovec> runs) override {
    Wire& wire = *wire_;
    const std::size_t call = wire.calls++;
    if (call == wire.throwing_call) throw std::bad_alloc();
    if (call == wire.failing_call || wire.theirs < 0) return {0, Outcome::failed};
    if (handshake() == Handshake::under_way) return {0, Outcome::blocked};
    if (wire.write_waits_for_read && !wire.is_ready(POLLIN)) {
      tell({.read = wants().read, .write = EPOLLIN}, pending(), Handshake::done);
      return {0, Outcome::blocked};
    }
    if (std::exchange(wire.write_waits_for_read, false)) {
      if (wire.rest().empty()) wire.forget_announcements();  // it was there for the write
      tell({.read = wants().read}, pending(), Handshake::done);
    }
    if (!wire.is_ready(POLLOUT)) return {0, Outcome::blocked};
    std::size_t moved = 0;
    for (const iovec& run : runs) {
      const std::size_t count = std::min(run.iov_len, wire.per_write - moved);
      wire.sent.append(static_cast<const char*>(run.iov_base), count);
      moved += count;
    }
    if (!wire.blocks_after_write) return {moved, Outcome::done};
    wire.block_writes();
    return {moved, Outcome::blocked};
  }

  void shutdown() override {
    wire_->shut_down = true;
    wire_->close_ours();
  }

  Addresses addresses() const override { return {.peer = wire_->peer, .local = "192.0.2.2:6379"}; }

 private:
  void shake_hands() { tell({.read = wire_->handshake.front(), .write = 0}, 0, Handshake::under_way); }
  void step_handshake() {
    wire_->handshake.erase(wire_->handshake.begin());
    if (wire_->handshake.empty()) {
      tell({}, wire_->hides_rest ? wire_->rest().size() : 0, Handshake::done);
    } else {
      shake_hands();
    }
    if (wire_->rest().empty() || wire_->hides_rest || !wire_->handshake.empty()) wire_->forget_announcements();
  }

  const std::shared_ptr<Wire> wire_;
};

}  // namespace pinfold::net
