#include "pinfold/net/arrival.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace pinfold::net {

Arrival::Arrival(store::Keyspace& keyspace, std::size_t size, std::size_t others) : keyspace_(keyspace), size_(size) {
  // For one that can never fit, nothing is evicted.
  constexpr std::uint64_t beside = 256 * 1024;  // what else a command may need, as Keyspace::make_room
  refused_ = !keyspace_.memory().could_fit(size_ + others + beside);
}

void Arrival::refuse() {
  refused_ = true;
  block_ = {};
}

std::span<char> Arrival::space(std::size_t expected) {
  if (!refused_ && received_ == room_ && !grow(expected)) refuse();
  if (refused_) return {};
  return {block_.data() + received_, std::min(room_ - received_, most_per_round)};
}

bool Arrival::grow(std::size_t expected) {
  const std::size_t room = std::min(size_, received_ + std::clamp(received_, expected, BlockHeap::own_mapping));
  store::Room promise;
  if (!keyspace_.make_room(room - room_, &promise)) return false;
  if (!block_) {
    block_ = Blob::allocate(keyspace_.memory().heap(), 0, room);
    if (!block_) return false;
  }
  block_.set_size(received_);
  if (!block_.reserve(room)) return false;
  room_ = room;
  return true;
}

std::size_t Arrival::add(std::string_view bytes) {
  std::size_t used = 0;
  while (used < bytes.size() && !complete()) {
    const std::span<char> to = space(bytes.size() - used);
    const std::size_t count = std::min(refused_ ? left() : to.size(), bytes.size() - used);
    if (!refused_) std::memcpy(to.data(), bytes.data() + used, count);
    add(count);
    used += count;
  }
  return used;
}

Blob Arrival::take() {
  if (block_) block_.set_size(size_);
  return std::move(block_);
}

}  // namespace pinfold::net
