#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "options.h"
#include "socket.h"
#include "tls.h"
#include <sys/types.h>

namespace pinfold::load {

enum class Received { kRead, kNothing, kClosed };

// A connection to the server, plain or over TLS, as the options say.
class Stream {
 public:
  // Connects, as connect_to() does, and ends the handshake; blocks. Throws Failure.
  Stream(const Options& options, std::uint32_t n);

  void make_nonblocking();
  int descriptor() const { return socket_.get(); }

  // As read(2) and send(2) without signals: negative with EAGAIN in errno when there is nothing to be done now.
  ssize_t read(char* data, std::size_t size);
  ssize_t write(const char* data, std::size_t size);
  // Whether there is a byte to be read, without taking it or waiting for it.
  Received look();
  // Bytes that the kernel does not report any more, because they have been read with others.
  bool has_pending() const { return tls_ && SSL_pending(tls_.get()) > 0; }

 private:
  ssize_t result(int outcome);
  void set_blocking(bool blocking);

  Descriptor socket_;
  Tls tls_;  // none: plain
};

// Bytes received and not yet parsed, in one run.
class Inbox {
 public:
  using Status = Received;

  // One read, and what came with it; kNothing when a non-blocking socket has nothing or a blocking one ran into its time-out.
  Status fill(Stream& stream);
  std::string_view view() const { return {bytes_.data() + begin_, end_ - begin_}; }
  void drop(std::size_t count) {
    begin_ += count;
    if (begin_ == end_) begin_ = end_ = 0;
  }

 private:
  void make_room();

  static constexpr std::size_t kRoom = 16 * 1024;
  std::vector<char> bytes_ = std::vector<char>(kRoom);
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace pinfold::load
