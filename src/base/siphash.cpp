#include "pinfold/base/siphash.hpp"

#include <bit>
#include <cstdlib>
#include <cstring>

#include <sys/random.h>

namespace pinfold {

static_assert(std::endian::native == std::endian::little, "words are loaded as they lie in memory");

namespace {

struct State {
  std::uint64_t v0, v1, v2, v3;

  void round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
};

std::uint64_t load(const char* at, std::size_t size) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, size);
  return word;
}

// The last 0-7 bytes as one word. Overlapping fixed-size loads instead of a byte loop: this runs once per request.
std::uint64_t load_tail(const char* at, std::size_t size) {
  if (size >= 4) return load(at, 4) | load(at + size - 4, 4) << (8 * (size - 4));
  if (size == 0) return 0;
  const auto byte = [at](std::size_t i) { return static_cast<std::uint64_t>(static_cast<unsigned char>(at[i])); };
  return byte(0) | byte(size / 2) << (8 * (size / 2)) | byte(size - 1) << (8 * (size - 1));
}

}  // namespace

HashKey random_hash_key() {
  HashKey key;
  char* at = reinterpret_cast<char*>(&key);
  std::size_t left = sizeof key;
  while (left > 0) {
    const ssize_t got = getrandom(at, left, 0);
    if (got <= 0) std::abort();
    at += got;
    left -= static_cast<std::size_t>(got);
  }
  return key;
}

std::uint64_t siphash13(const HashKey& key, std::string_view data) {
  State s{0x736f6d6570736575ULL ^ key.k0, 0x646f72616e646f6dULL ^ key.k1, 0x6c7967656e657261ULL ^ key.k0, 0x7465646279746573ULL ^ key.k1};
  const char* at = data.data();
  const char* const whole_words = at + (data.size() & ~std::size_t{7});
  for (; at != whole_words; at += 8) {
    const std::uint64_t word = load(at, 8);
    s.v3 ^= word;
    s.round();
    s.v0 ^= word;
  }
  const std::uint64_t last = load_tail(at, data.size() & 7) | static_cast<std::uint64_t>(data.size()) << 56;
  s.v3 ^= last;
  s.round();
  s.v0 ^= last;
  s.v2 ^= 0xff;
  s.round();
  s.round();
  s.round();
  return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

}  // namespace pinfold
