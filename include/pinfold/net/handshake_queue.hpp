#pragma once
// Connections whose handshakes wait for their turns. Origins (base/address.hpp) have turns one after the other, and each serves its own
// connections in the order in which they came. So whoever opens thousands of connections waits behind itself, and not others behind it.
// Any connection may leave at any time: thousands may wait, and all of them may be closed in one round.
//
// Not thread-safe. Costs O(log n) for n origins that wait.

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>

namespace pinfold::net {

class Connection;
class HandshakeQueue;

/// Where a connection waits. `queue` is null if it does not.
struct HandshakePlace {
  HandshakeQueue* queue = nullptr;
  std::uint64_t origin = 0;
  std::list<Connection*>::iterator at;
};

class HandshakeQueue {
 public:
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }

  /// Fills in `place`, which must be that of no queue. The connection must leave before it is destroyed.
  void add(Connection& connection, std::uint64_t origin, HandshakePlace& place) {
    std::list<Connection*>& line = lines_[origin];
    place = {this, origin, line.insert(line.end(), &connection)};
    ++size_;
  }
  /// `place` must be one of this queue, and is that of no queue afterwards.
  void remove(HandshakePlace& place) {
    const auto line = lines_.find(place.origin);
    line->second.erase(place.at);
    if (line->second.empty()) lines_.erase(line);
    place.queue = nullptr;
    --size_;
  }
  /// The connection whose turn it is. It stays in the queue, but the next turn is that of another origin if any waits. The queue must not
  /// be empty.
  Connection& next() {
    auto line = lines_.upper_bound(last_origin_);
    if (line == lines_.end()) line = lines_.begin();
    last_origin_ = line->first;
    return *line->second.front();
  }

 private:
  std::map<std::uint64_t, std::list<Connection*>> lines_;  // by origin; none is empty
  std::uint64_t last_origin_ = 0;                          // which had the last turn
  std::size_t size_ = 0;
};

}  // namespace pinfold::net
