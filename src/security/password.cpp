#include "pinfold/security/password.hpp"

#include <algorithm>
#include <cstddef>

#include <openssl/sha.h>

#include "pinfold/base/hexadecimal.hpp"

namespace pinfold::security {

PasswordHash hash_of(std::string_view password) {
  PasswordHash hash;
  static_assert(sizeof hash.bytes == SHA256_DIGEST_LENGTH);
  SHA256(reinterpret_cast<const unsigned char*>(password.data()), password.size(), hash.bytes.data());
  return hash;
}

std::string hexadecimal(const PasswordHash& hash) { return pinfold::hexadecimal(hash.bytes); }

std::optional<PasswordHash> parse_hash(std::string_view text) {
  PasswordHash hash;
  if (text.size() != 2 * hash.bytes.size() || !read_hexadecimal(text, hash.bytes)) return std::nullopt;
  return hash;
}

bool equal_in_constant_time(const PasswordHash& a, const PasswordHash& b) {
  volatile std::uint8_t difference = 0;
  for (std::size_t i = 0; i < a.bytes.size(); ++i) {
    difference = static_cast<std::uint8_t>(difference | (a.bytes[i] ^ b.bytes[i]));
  }
  return difference == 0;
}

}  // namespace pinfold::security
