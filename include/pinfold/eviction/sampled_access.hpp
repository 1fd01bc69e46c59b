#pragma once
// What the server notes of an access to a sampled key, for the MissRatioCurve.

#include <cstdint>

#include "pinfold/base/clock.hpp"

namespace pinfold::eviction {

/// A hash of a key, mixed once more, because a store chooses shards and buckets by the bits of the hash. A key is sampled if this is at
/// most the threshold of the sample (Waldspurger et al., "Efficient MRC Construction with SHARDS", FAST 2015).
constexpr std::uint64_t sample_position(std::uint64_t hash) { return hash * 0xd6e8feb86659fd93ULL; }
/// The threshold for a sample of one key in 2^halvings.
constexpr std::uint64_t sample_threshold(unsigned halvings) { return UINT64_MAX >> halvings; }

struct SampledAccess {
  enum class Kind : std::uint8_t {
    read,      // that counts as a hit or a miss
    look,      // the same, but the frequency of the entry stays as it is (EXISTS, TTL)
    write,     // a value was stored
    deadline,  // the deadline was set or cleared
    remove,    // a command has removed the entry, or made it stale or negative
    flush,     // all entries of the database were removed
  };

  std::uint64_t position = 0;  // sample_position() of the key's hash
  UnixMs now = 0;
  UnixMs expires_at = 0;    // of the entry after the access; 0: never
  std::uint32_t bytes = 0;  // of the entry after the access; 0: there is none
  Kind kind = Kind::read;
  std::uint8_t database = 0;
  bool found = false;  // whether there was a live entry before the access

  /// The key in its database.
  std::uint64_t key() const { return position ^ (database * std::uint64_t{0x9e3779b1}); }  // changes the lower half only
};

}  // namespace pinfold::eviction
