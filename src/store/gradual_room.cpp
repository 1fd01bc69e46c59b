#include "pinfold/store/gradual_room.hpp"

#include <utility>

namespace pinfold::store {

GradualRoom::Result GradualRoom::make(std::uint64_t bytes, std::int64_t end_us, std::uint64_t beside) {
  Memory& memory = keyspace_.memory();
  // Asked once: what remembers evicted entries grows meanwhile, and shrinks again.
  if (!reclaiming_ && !memory.could_fit(bytes + beside)) return Result::none;
  while (made_ < bytes) {
    // Little at a time: other requests take what is free meanwhile, unless it is promised.
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
