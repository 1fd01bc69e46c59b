#pragma once
// Keyed hashing of keys: SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012).
//
// The key is drawn from getrandom(2) once per process and never shown, so that a client cannot choose keys that
// collide. All functions are thread-safe.

#include <cstdint>
#include <string_view>

namespace pinfold {

struct HashKey {
  std::uint64_t k0 = 0;
  std::uint64_t k1 = 0;
};

/// Returns a key from the system's random source. Aborts if there is none.
HashKey random_hash_key();

/// SipHash-1-3 of `data` under `key`. O(size).
std::uint64_t siphash13(const HashKey& key, std::string_view data);

}  // namespace pinfold
