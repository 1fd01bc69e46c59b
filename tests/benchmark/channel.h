#pragma once

#include <cstdint>
#include <string>

#include "options.h"
#include "socket.h"
#include "stream.h"

namespace pinfold::load {

// A non-blocking connection in an epoll set: bytes to be sent, and bytes received and not yet parsed.
class Channel {
 public:
  // `tag` is what epoll_wait gives back for this connection; `poll` must outlive it.
  Channel(const Options& options, std::uint32_t n, const Descriptor& poll, void* tag);

  // What to send; append to it and flush().
  std::string& out() { return out_; }
  Inbox& inbox() { return inbox_; }

  // Sends what the kernel takes now; the rest waits for EPOLLOUT. False: the connection is gone.
  bool flush();
  Inbox::Status fill() { return inbox_.fill(stream_); }

 private:
  void watch(int action, std::uint32_t events);

  Stream stream_;
  const Descriptor& poll_;
  void* tag_;
  Inbox inbox_;
  std::string out_;
  std::size_t written_ = 0;  // bytes of out_ that the kernel took
  bool wants_room_ = false;  // waiting for EPOLLOUT
};

}  // namespace pinfold::load
