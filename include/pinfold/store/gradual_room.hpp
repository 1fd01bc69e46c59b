#pragma once
// Room that is made over several steps of a task.
//
// To evict 45 MB from a full cache of small entries takes more than a second. So whoever needs much asks for a piece at a time, lets other
// requests go between, and keeps what it has got so far promised: they would take it.

#include <cstdint>
#include <optional>

#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/room.hpp"

namespace pinfold::store {

/// Not thread-safe; may go from one thread to another.
class GradualRoom {
 public:
  enum class Result : std::uint8_t { more, ready, none };

  explicit GradualRoom(Keyspace& keyspace) : keyspace_(keyspace) {}
  ~GradualRoom() { release(); }
  GradualRoom(const GradualRoom&) = delete;
  GradualRoom& operator=(const GradualRoom&) = delete;

  /// Goes on until `bytes` are promised, or it is `end_us` by monotonic_us(). `none`: they cannot be had, and nothing is promised any
  /// more. Nothing is evicted if they could never be had `beside` others that stay. With no shard locked.
  Result make(std::uint64_t bytes, std::int64_t end_us, std::uint64_t beside = 0);
  /// Promises to this thread what has been made. False: it was lost on the way to others.
  bool hand_over(Room& room);

 private:
  void release();

  Keyspace& keyspace_;
  std::uint64_t made_ = 0;
  std::optional<Keyspace::Reclaiming> reclaiming_;  // while it goes on
};

}  // namespace pinfold::store
