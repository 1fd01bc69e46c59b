#pragma once

#include <cstdint>

namespace pinfold::net {

/// A handler of one descriptor in an event loop: a connection, a socket for operators, a link to another server. The loop calls
/// it when the descriptor is ready, and knows nothing else about it.
class EventHandler {
 public:
  /// Called on the loop's thread, with nothing locked, when the descriptor is ready for `events` (those of epoll: EPOLLIN,
  /// EPOLLOUT, EPOLLRDHUP, EPOLLERR, EPOLLHUP). Must not throw. Must not block, because all other handlers of the thread wait
  /// meanwhile. It may leave work undone: the loop reports the descriptor again as long as it is ready.
  virtual void ready(std::uint32_t events) = 0;

 protected:
  ~EventHandler() = default;
};

}  // namespace pinfold::net
