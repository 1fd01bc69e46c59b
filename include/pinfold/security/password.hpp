#pragma once
// Passwords of users, which are kept as SHA-256 hashes only, as in Redis.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pinfold::security {

/// The SHA-256 hash of a password.
struct PasswordHash {
  std::array<std::uint8_t, 32> bytes{};

  friend bool operator==(const PasswordHash&, const PasswordHash&) = default;
};

/// The longest password that a user can have, in bytes.
inline constexpr std::size_t longest_password = 4096;

/// What it takes to find out whether a password is right: the same for users that there are and that there are not.
struct PasswordWork {
  std::size_t hashed = 0;    // bytes
  std::size_t compared = 0;  // hashes
};

/// O(size of the password).
PasswordHash hash_of(std::string_view password);

/// The 64 digits of a hash, in lower case.
std::string hexadecimal(const PasswordHash& hash);
/// Reads what hexadecimal() writes; nothing if `digits` is not exactly that.
std::optional<PasswordHash> parse_hash(std::string_view digits);

/// Compares in a time that depends on nothing.
bool equal_in_constant_time(const PasswordHash& a, const PasswordHash& b);

}  // namespace pinfold::security
