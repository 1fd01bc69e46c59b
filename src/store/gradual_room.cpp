#include "pinfold/store/gradual_room.hpp"

#include <utility>

namespace pinfold::store {

GradualRoom::Result GradualRoom::make(std::uint64_t bytes, std::int64_t end_us, std::uint64_t kept) {
  Memory& memory = keyspace_.memory();
  // Asked only once, because the answer may change for a while: the ghosts grow during the eviction, and shrink again.
  if (!reclaiming_ && !memory.could_fit(bytes + kept)) return Result::none;
  while (made_ < bytes) {
    // A little at a time, and promised at once: other requests take whatever is free and not promised.
    Room room;
    switch (keyspace_.make_room(Room::least, &room, reclaiming_, end_us)) {
      case Keyspace::MadeRoom::no:
        release();
        return Result::none;
      case Keyspace::MadeRoom::unfinished:
        return Result::more;
      case Keyspace::MadeRoom::yes:
        break;
    }
    memory.promise(static_cast<std::int64_t>(Room::least));
    made_ += Room::least;
  }
  reclaiming_.reset();
  return Result::ready;
}

bool GradualRoom::hand_over(Room& room) {
  const std::uint64_t bytes = made_;
  release();
  return bytes == 0 || room.take(keyspace_.memory(), bytes);
}

void GradualRoom::release() {
  reclaiming_.reset();
  keyspace_.memory().promise(-static_cast<std::int64_t>(std::exchange(made_, 0)));
}

}  // namespace pinfold::store
