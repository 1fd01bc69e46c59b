#pragma once
// Connections whose handshakes wait for their turns, in their order. Any of them may leave, in O(1): thousands may wait, and all of them
// may be closed in one round.

#include <list>

namespace pinfold::net {

class Connection;

using HandshakeQueue = std::list<Connection*>;

/// Where a connection waits. `queue` is null if it does not.
struct HandshakePlace {
  HandshakeQueue* queue = nullptr;
  HandshakeQueue::iterator at;
};

}  // namespace pinfold::net
