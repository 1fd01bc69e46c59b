#include "pinfold/security/password.hpp"

#include <algorithm>
#include <cstddef>

#include <openssl/sha.h>

namespace pinfold::security {
namespace {

constexpr std::string_view digits = "0123456789abcdef";

}  // namespace

PasswordHash hash_of(std::string_view password) {
  PasswordHash hash;
  static_assert(sizeof hash.bytes == SHA256_DIGEST_LENGTH);
  SHA256(reinterpret_cast<const unsigned char*>(password.data()), password.size(), hash.bytes.data());
  return hash;
}

std::string hexadecimal(const PasswordHash& hash) {
  std::string text;
  text.reserve(2 * hash.bytes.size());
  for (const std::uint8_t byte : hash.bytes) {
    text.push_back(digits[byte >> 4]);
    text.push_back(digits[byte & 15]);
  }
  return text;
}

std::optional<PasswordHash> parse_hash(std::string_view text) {
  PasswordHash hash;
  if (text.size() != 2 * hash.bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t digit = digits.find(text[i]);
    if (digit == std::string_view::npos) return std::nullopt;
    hash.bytes[i / 2] = static_cast<std::uint8_t>(hash.bytes[i / 2] << 4 | digit);
  }
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
