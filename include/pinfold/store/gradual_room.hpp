#pragma once
// Room that is made in several steps of a task. Room is free memory that is promised to one command (room.hpp).
//
// Evicting 45 MB of small entries from a full cache takes more than a second. So a command that needs a lot of memory
// asks for one piece at a time, and other requests run between the pieces. The pieces that it already has stay promised
// to it; otherwise the other requests would take them.

#include <cstdint>
#include <optional>

#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/room.hpp"

namespace pinfold::store {

/// Not thread-safe, but one thread may make the room and another use it. The destructor withdraws the promise.
/// `keyspace` must outlive it.
class GradualRoom {
 public:
  /// `more`: make() is to be called again. `ready`: the bytes are promised. `none`: the bytes cannot be had.
  enum class Result : std::uint8_t { more, ready, none };

  explicit GradualRoom(Keyspace& keyspace) : keyspace_(keyspace) {}
  ~GradualRoom() { release(); }
  GradualRoom(const GradualRoom&) = delete;
  GradualRoom& operator=(const GradualRoom&) = delete;

  /// Evicts until `bytes` are promised, or until monotonic_us() has reached `end_us`. When the result is `none`,
  /// nothing is promised any more. `kept` bytes are allocated already and have to stay meanwhile. If `bytes` and `kept` could
  /// never fit together, the result is `none`, and nothing is evicted. Must be called with no shard locked.
  Result make(std::uint64_t bytes, std::int64_t end_us, std::uint64_t kept = 0);
  /// Moves the promise into `room`. From now on the bytes are promised to this thread, and its allocations are deducted from
  /// them. Returns false if another thread has taken the memory at that moment; then nothing is promised.
  bool hand_over(Room& room);

 private:
  void release();

  Keyspace& keyspace_;
  std::uint64_t made_ = 0;                          // bytes that are promised
  std::optional<Keyspace::Reclaiming> reclaiming_;  // set while make() has to go on
};

}  // namespace pinfold::store
