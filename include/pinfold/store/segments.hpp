#pragma once
// What a table knows of its segments, by id. Not thread-safe.

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "pinfold/base/work.hpp"
#include "pinfold/store/segment.hpp"

namespace pinfold::store {

/// Grows without moving what is there, and copies 128 KB at most: a shard's lock is held. Id 0 is none.
class Segments {
 public:
  /// Throws std::bad_alloc.
  Segments() : chunks_(1), places_(1) { chunks_[0] = std::make_unique<Segment[]>(chunk_size); }

  /// The ids there are, 0 included.
  std::size_t size() const { return places_.size(); }
  Segment& operator[](std::uint32_t id) { return chunks_[id / chunk_size][id % chunk_size]; }
  const Segment& operator[](std::uint32_t id) const { return chunks_[id / chunk_size][id % chunk_size]; }

  /// Adds a free id. False if there is no memory.
  bool add() {
    try {
      reserve_place();
      if (size() == chunks_.size() * chunk_size) chunks_.push_back(std::make_unique<Segment[]>(chunk_size));
    } catch (const std::bad_alloc&) {
      return false;
    }
    places_.push_back(0);
    return true;
  }
  /// Makes `id` a new segment that lies at `base`.
  Segment& begin(std::uint32_t id, char* base) {
    const auto at = reinterpret_cast<std::uintptr_t>(base);
    assert(at % segment_size == 0 && at / segment_size <= UINT32_MAX);
    places_[id] = static_cast<std::uint32_t>(at / segment_size);
    Segment& segment = (*this)[id];
    segment = {};
    segment.base = base;
    return segment;
  }
  /// Where a segment lies that has been begun: what every look-up asks, so it stands by itself and in few bytes.
  char* base(std::uint32_t id) const { return reinterpret_cast<char*>(std::uintptr_t{places_[id]} * segment_size); }

 private:
  static constexpr std::size_t chunk_size = 32;
  static constexpr std::size_t most = std::size_t{1} << 17;  // ids that a reference can name

  // Doubles, but for the last time, which would copy too much.
  void reserve_place() {
    constexpr std::size_t last_doubling = most / 4;
    if (size() < places_.capacity()) return;
    places_.reserve(size() < last_doubling ? 2 * size() : most);
    work::allocation();
    work::bytes(size() * sizeof(places_[0]));
  }

  std::vector<std::unique_ptr<Segment[]>> chunks_;
  std::vector<std::uint32_t> places_;  // by id, in segments from address 0
};

}  // namespace pinfold::store
