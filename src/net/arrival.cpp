#include "pinfold/net/arrival.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace pinfold::net {

Arrival::Arrival(store::Keyspace& keyspace, std::size_t size) : keyspace_(keyspace), size_(size) {
  // For one that can never fit, nothing is evicted.
  const store::Memory& memory = keyspace_.memory();
  const std::uint64_t fixed = memory.used(store::Use::index) + memory.used(store::Use::ghosts);
  if (memory.limit() != 0 && size_ + fixed > memory.limit()) refused_ = true;
}

void Arrival::refuse() {
  refused_ = true;
  block_ = {};
  drop_pieces();
}

std::span<char> Arrival::space() {
  if (!refused_ && !block_ && received_ == gathered_ && !grow()) refuse();
  if (refused_) return {};
  if (block_) return {block_.data() + received_, std::min(left(), most_per_round)};
  const Piece& last = pieces_.back();
  const std::size_t room = gathered_ - received_;
  return {last.bytes.get() + last.size - room, std::min(room, most_per_round)};
}

// The next piece, or the block.
bool Arrival::grow() {
  const std::size_t half = size_ / 2;
  if (size_ <= at_once || received_ >= half) {
    if (!keyspace_.make_room(size_ - counted_)) return false;
    count_pieces(0);
    block_ = command::ReceivedBlob::allocate(keyspace_, size_);
    return static_cast<bool>(block_);
  }
  const std::size_t size = std::min({std::max(received_, at_once), largest_piece, half - received_});
  if (!keyspace_.make_room(size)) return false;
  std::unique_ptr<char[]> bytes(new (std::nothrow) char[size]);
  if (!bytes) return false;
  pieces_.push_back({std::move(bytes), size});
  gathered_ += size;
  count_pieces(counted_ + size);
  return true;
}

void Arrival::count_pieces(std::size_t bytes) {
  keyspace_.memory().add(store::Use::blobs, static_cast<std::int64_t>(bytes) - static_cast<std::int64_t>(counted_));
  counted_ = bytes;
}

void Arrival::add(std::size_t count) {
  received_ += count;
  if (block_ && moved_ < gathered_) move_pieces(complete() ? gathered_ : std::max(count, at_once));
}

std::size_t Arrival::add(std::string_view bytes) {
  std::size_t used = 0;
  while (used < bytes.size() && !complete()) {
    const std::span<char> to = space();
    const std::size_t count = std::min(refused_ ? left() : to.size(), bytes.size() - used);
    if (!refused_) std::memcpy(to.data(), bytes.data() + used, count);
    add(count);
    used += count;
  }
  return used;
}

void Arrival::move_pieces(std::size_t most) {
  while (most > 0 && moved_ < gathered_) {
    Piece& piece = pieces_.front();
    const std::size_t count = std::min(most, piece.size - piece_moved_);
    std::memcpy(block_.data() + moved_, piece.bytes.get() + piece_moved_, count);
    moved_ += count;
    piece_moved_ += count;
    most -= count;
    if (piece_moved_ < piece.size) continue;
    pieces_.erase(pieces_.begin());
    piece_moved_ = 0;
  }
}

void Arrival::drop_pieces() {
  pieces_.clear();
  count_pieces(0);
}

command::ReceivedBlob Arrival::take() { return std::move(block_); }

}  // namespace pinfold::net
