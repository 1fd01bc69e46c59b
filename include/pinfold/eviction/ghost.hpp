#pragma once
// A memory of what was evicted lately: fingerprints of hashes, no keys. Not thread-safe.
//
// Approximate on purpose. Each bucket of 8 words holds a 20-bit fingerprint and a 12-bit age; an entry is forgotten
// after about `capacity` newer ones, or when its bucket overflows. A false memory (1 in ~65 000 look-ups) admits a
// key to the main queue that had not been there: harmless. 5 bytes per remembered entry.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pinfold::eviction {

class Ghost {
 public:
  /// Forgets everything and remembers `capacity` entries from now on.
  void reset(std::size_t capacity);
  std::size_t capacity() const { return capacity_; }
  std::size_t memory() const { return words_.capacity() * sizeof(std::uint32_t); }

  void remember(std::uint64_t hash);
  /// Whether `hash` was remembered; it is forgotten by being asked for.
  bool take(std::uint64_t hash);

 private:
  static constexpr unsigned ways = 8;
  static constexpr unsigned age_bits = 12;
  static constexpr std::uint32_t age_mask = (1U << age_bits) - 1;
  static constexpr std::uint32_t lifetime = 1U << (age_bits - 2);  // in ticks; a quarter of the range: wrapped ages are rare

  std::uint32_t* bucket_of(std::uint64_t hash);
  std::uint32_t age(std::uint32_t word) const { return (tick_ - word) & age_mask; }

  std::size_t capacity_ = 0;
  std::size_t per_tick_ = 1;   // insertions
  std::size_t until_tick_ = 1;
  std::uint32_t tick_ = 0;
  std::vector<std::uint32_t> words_;
};

}  // namespace pinfold::eviction
