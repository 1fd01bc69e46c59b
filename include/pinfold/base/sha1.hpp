#pragma once
// SHA-1 (FIPS 180-4), by which clients name scripts. Not for anything that needs a secure hash. Not thread-safe.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pinfold {

class Sha1 {
 public:
  /// Takes more of the text. O(size), about 500 MB in a second.
  void add(std::string_view bytes);
  /// The hash of all that was added, in 40 hexadecimal digits of lower case. Nothing may be added afterwards.
  std::string digits();

 private:
  void block(const std::uint8_t* bytes);

  std::array<std::uint32_t, 5> state_ = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  std::array<std::uint8_t, 64> pending_{};
  std::size_t pending_size_ = 0;
  std::uint64_t size_ = 0;
};

/// The hash of `text` in 40 hexadecimal digits.
std::string sha1_digits(std::string_view text);

}  // namespace pinfold
