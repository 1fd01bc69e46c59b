#pragma once

#include <cstdint>

namespace pinfold::net {

/// Something that lives in an event loop: a connection, a socket for operators, a link to another server. The loop calls it when its
/// descriptor is ready, and knows nothing else about it.
class EventHandler {
 public:
  /// The descriptor is ready for `events` (of epoll: EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLERR, EPOLLHUP). On the loop's thread, with
  /// nothing locked. Everybody on this thread waits meanwhile: it must not block, and what it leaves is reported again. Must not throw.
  virtual void ready(std::uint32_t events) = 0;

 protected:
  ~EventHandler() = default;
};

}  // namespace pinfold::net
