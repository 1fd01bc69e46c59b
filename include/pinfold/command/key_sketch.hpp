#pragma once
// HeavyKeeper: counts the keys that come most often, among any number of others, in a fixed number of cells (Yang et al., "HeavyKeeper: An
// Accurate Algorithm for Finding Top-k Elephant Flows", 2018 and 2019).
//
// A cell is the fingerprint of a key and a counter. An access to a key that has no cell takes one off the counter of another key with a
// probability that falls exponentially with that counter, and the key takes its place when nothing is left. So keys that come once each
// wear out each other, and hardly a key that comes often. The cells stand eight to a bucket, as in HeavyGuardian (Yang et al., 2018), so an
// update reads one cache line.

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <array>
#include <bit>
#include <cstdint>

namespace pinfold::command {

/// Keys are known by their hashes, which must be keyed. What a cell holds beside the fingerprint is the caller's; it is 0 in a new sketch.
/// Not thread-safe. 16 KB.
struct KeySketch {
  static constexpr unsigned ways = 8;
  static constexpr unsigned bucket_count = 256;

  struct alignas(64) Bucket {
    std::uint32_t fingerprints[ways] = {};
    std::uint32_t cells[ways] = {};

    /// A bit for each cell with this fingerprint.
    unsigned equal(std::uint32_t fingerprint) const {
#ifdef __SSE2__
      const __m128i wanted = _mm_set1_epi32(static_cast<int>(fingerprint));
      const __m128i* const all = reinterpret_cast<const __m128i*>(fingerprints);
      const __m128i low = _mm_cmpeq_epi32(_mm_load_si128(all), wanted);
      const __m128i high = _mm_cmpeq_epi32(_mm_load_si128(all + 1), wanted);
      const __m128i words = _mm_packs_epi32(low, high);
      return static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(words, _mm_setzero_si128())));
#else
      unsigned hits = 0;
      for (unsigned i = 0; i < ways; ++i) hits |= static_cast<unsigned>(fingerprints[i] == fingerprint) << i;
      return hits;
#endif
    }
  };

  static std::uint32_t fingerprint_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash); }
  Bucket& bucket_of(std::uint64_t hash) { return buckets[(hash >> 32) % bucket_count]; }
  /// The bits of the hash that tell keys apart here.
  static std::uint64_t id_of(std::uint64_t hash) { return hash & (bucket_count * (std::uint64_t{1} << 32) - 1); }
  /// The id of the key in a cell.
  std::uint64_t id_at(const Bucket& bucket, unsigned at) const {
    return (static_cast<std::uint64_t>(&bucket - buckets.data()) << 32) | bucket.fingerprints[at];
  }

  /// Whether an access takes one off a counter of so many accesses. `random` is 16 random bits.
  static bool decays(std::uint32_t accesses, std::uint32_t random) { return accesses < decaying && random < chances[accesses]; }

  std::array<Bucket, bucket_count> buckets{};

 private:
  static constexpr unsigned decaying = 64;  // a counter of so many accesses hardly ever decays, and here never
  // The chance, of 65536, by the counter.
  static constexpr std::array<std::uint32_t, decaying> chances = [] {
    constexpr double base = 1.08;  // as the authors recommend
    std::array<std::uint32_t, decaying> found{};
    double chance = 65536;
    for (std::uint32_t& one : found) {
      one = static_cast<std::uint32_t>(chance);
      chance /= base;
    }
    return found;
  }();
};

}  // namespace pinfold::command
