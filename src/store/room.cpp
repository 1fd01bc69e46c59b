#include "pinfold/store/room.hpp"

#include "pinfold/store/memory.hpp"

namespace pinfold::store {

bool Room::take(Memory& memory, std::uint64_t bytes) {
  // The promise comes before the check. So of two threads that want the same bytes, at least one sees the promise of
  // the other.
  memory.promise(static_cast<std::int64_t>(bytes));
  memory_ = &memory;
  left_ = bytes;
  outer_ = innermost;
  innermost = this;
  if (memory.fits(bytes)) return true;
  release();
  return false;
}

void Room::release() {
  if (memory_ == nullptr) return;
  memory_->promise(-static_cast<std::int64_t>(left_));
  memory_ = nullptr;
  left_ = 0;
  innermost = outer_;
}

void Room::consume_promised(const Memory& memory, std::uint64_t bytes) {
  for (Room* room = innermost; room != nullptr && bytes > 0; room = room->outer_) {
    if (room->memory_ != &memory) continue;
    const std::uint64_t here = std::min(bytes, room->left_);
    room->left_ -= here;
    bytes -= here;
    room->memory_->promise(-static_cast<std::int64_t>(here));
  }
}

std::uint64_t Room::promised_here(const Memory& memory) {
  std::uint64_t sum = 0;
  for (const Room* room = innermost; room != nullptr; room = room->outer_) {
    if (room->memory_ == &memory) sum += room->left_;
  }
  return sum;
}

}  // namespace pinfold::store
