#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace pinfold::load {

// SplitMix64's finalizer: a bijection that spreads nearby numbers over all 64 bits.
constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

// Seeded random numbers; the same seed gives the same keys in the same order against every server.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(mix(seed)) {}
  std::uint64_t next() { return mix(state_++); }
  // Uniform in [0, bound), by multiplication instead of division.
  std::uint64_t below(std::uint64_t bound) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>((static_cast<Wide>(next()) * bound) >> 64U);
  }

 private:
  std::uint64_t state_;
};

// The 16-byte name of the n-th key: "key:" and twelve digits.
class KeyName {
 public:
  explicit KeyName(std::uint64_t n);
  std::string_view view() const { return {text_.data(), text_.size()}; }

 private:
  std::array<char, 16> text_;
};

std::uint64_t hash_of(std::string_view text);

// How long values are: all alike, or anything between two bounds, every power of two as often as the next.
class Lengths {
 public:
  // `most` zero: all have `least` bytes.
  Lengths(std::uint32_t least, std::uint32_t most);

  std::uint32_t of(std::uint64_t random) const;
  std::uint32_t least() const { return least_; }
  std::uint32_t most() const { return most_; }

 private:
  std::uint32_t least_;
  std::uint32_t most_;
  double log_ratio_;  // of most + 1 to least; 0 when they are alike
};

// Values are windows into one block of random bytes, at an offset that the key decides. So a value is neither
// made nor stored per key, does not compress, and can still be checked byte by byte, whatever its length.
class Values {
 public:
  explicit Values(std::size_t longest);

  std::string_view of(std::uint64_t key_hash, std::size_t length) const {
    return std::string_view(block_).substr(key_hash & (kOffsets - 1), length);
  }
  std::size_t longest() const { return block_.size() - kOffsets; }

 private:
  static constexpr std::size_t kOffsets = 1U << 16U;
  std::string block_;
};

}  // namespace pinfold::load
