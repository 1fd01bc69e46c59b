#include "pinfold/base/sha1.hpp"

namespace pinfold {

TEST_CASE("SHA-1 gives the hashes of its standard") {
  CHECK(sha1_digits("") == "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  CHECK(sha1_digits("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d");
  CHECK(sha1_digits("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") == "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  CHECK(sha1_digits(std::string(1000000, 'a')) == "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

TEST_CASE("SHA-1 does not depend on how the text is cut") {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i);
  for (std::size_t size = 0; size <= text.size(); ++size) {
    const std::string whole = sha1_digits(std::string_view(text).substr(0, size));
    for (const std::size_t piece : {1, 55, 63, 64, 65}) {
      Sha1 hash;
      for (std::size_t at = 0; at < size; at += piece) hash.add(std::string_view(text).substr(at, std::min(piece, size - at)));
      REQUIRE(hash.digits() == whole);
    }
  }
}

}  // namespace pinfold
