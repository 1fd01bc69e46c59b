#pragma once
// Connections whose handshakes wait for their turns. Origins (base/address.hpp) have turns one after the other, and each serves its own
// connections in the order in which they came. So whoever opens thousands of connections waits behind itself, and not others behind it.
// Any connection may leave at any time: thousands may wait, and all of them may be closed in one round.
//
// Not thread-safe. Costs O(log n) for n origins that wait, where nothing else is said.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>

#include "pinfold/base/clock.hpp"

namespace pinfold::net {

class Connection;
class HandshakeQueue;

struct WaitingHandshake {
  Connection* connection;
  MonoMs since;
};

/// Where a connection waits. `queue` is null if it does not.
struct HandshakePlace {
  HandshakeQueue* queue = nullptr;
  std::uint64_t origin = 0;
  std::list<WaitingHandshake>::iterator at;
};

class HandshakeQueue {
 public:
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  std::size_t origins() const { return lines_.size(); }

  /// Puts the connection into the line of `place.origin` and fills in the rest of `place`, which must be that of no queue. Throws
  /// std::bad_alloc, and then nothing has changed. The connection must leave before the queue is used without it.
  void add(Connection& connection, MonoMs since, HandshakePlace& place) {
    std::list<WaitingHandshake> one{{&connection, since}};
    std::list<WaitingHandshake>& line = lines_[place.origin];
    place.at = one.begin();
    place.queue = this;
    line.splice(line.end(), one);
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
    return *line->second.front().connection;
  }

  /// Origins that have waited since a moment or longer: how many, and the first of them.
  struct Late {
    std::size_t origins = 0;
    std::uint64_t first = 0;

    bool other_than(std::uint64_t origin) const { return origins > 1 || (origins == 1 && first != origin); }
  };
  /// O(n).
  Late late(MonoMs moment) const {
    Late found;
    for (const auto& [origin, line] : lines_) {
      if (line.front().since > moment) continue;
      if (found.origins++ == 0) found.first = origin;
    }
    return found;
  }
  /// How many of the origins satisfy `condition`. O(n), and what the condition costs.
  template <class Condition>
  std::size_t count(Condition&& condition) const {
    return static_cast<std::size_t>(std::count_if(lines_.begin(), lines_.end(), [&](const auto& line) { return condition(line.first); }));
  }

 private:
  std::map<std::uint64_t, std::list<WaitingHandshake>> lines_;  // by origin; none is empty
  std::uint64_t last_origin_ = 0;                               // which had the last turn
  std::size_t size_ = 0;
};

}  // namespace pinfold::net
