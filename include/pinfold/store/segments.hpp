#pragma once
// The segments of one table, by id: an array of Segment that grows without moving its elements.

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "pinfold/base/work.hpp"
#include "pinfold/store/segment.hpp"

namespace pinfold::store {

/// Not thread-safe: guarded by the shard's lock. References to elements stay valid. Growth happens with the shard
/// locked, so it copies 128 KB at most. Every function but add() is O(1); add() is O(1) amortized. Id 0 is never used
/// (no_segment).
class Segments {
 public:
  /// Throws std::bad_alloc.
  Segments() : chunks_(1), places_(1) { chunks_[0] = std::make_unique<Segment[]>(chunk_size); }

  /// How many ids there are, 0 included.
  std::size_t size() const { return places_.size(); }
  Segment& operator[](std::uint32_t id) { return chunks_[id / chunk_size][id % chunk_size]; }
  const Segment& operator[](std::uint32_t id) const { return chunks_[id / chunk_size][id % chunk_size]; }

  /// Adds one id, which is free. Returns false if there is no memory.
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
  /// Begins a new segment under a free id. Its memory is at `base`, which must be aligned to segment_size.
  Segment& begin(std::uint32_t id, char* base) {
    const auto at = reinterpret_cast<std::uintptr_t>(base);
    assert(at % segment_size == 0 && at / segment_size <= UINT32_MAX);
    places_[id] = static_cast<std::uint32_t>(at / segment_size);
    Segment& segment = (*this)[id];
    segment = {};
    segment.base = base;
    return segment;
  }
  /// The address of a segment that has been begun. Every lookup needs it, so it is kept apart from the Segment, in 4
  /// bytes.
  char* base(std::uint32_t id) const { return reinterpret_cast<char*>(std::uintptr_t{places_[id]} * segment_size); }

 private:
  static constexpr std::size_t chunk_size = 32;
  static constexpr std::size_t most = std::size_t{1} << 17;  // the number of ids that a reference can name

  // Doubles the capacity. At 32 K ids it reserves the places of all `most` ids at once, because a further doubling would copy
  // more than 128 KB.
  void reserve_place() {
    constexpr std::size_t last_doubling = most / 4;
    if (size() < places_.capacity()) return;
    places_.reserve(size() < last_doubling ? 2 * size() : most);
    work::allocation();
    work::bytes(size() * sizeof(places_[0]));
  }

  std::vector<std::unique_ptr<Segment[]>> chunks_;
  std::vector<std::uint32_t> places_;  // addresses by id, divided by segment_size
};

}  // namespace pinfold::store
