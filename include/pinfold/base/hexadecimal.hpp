#pragma once
// Bytes to and from hexadecimal digits in lower case, as hashes and identifiers are written. Thread-safe.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace pinfold {

/// Two digits for each byte.
std::string hexadecimal(std::span<const std::uint8_t> bytes);
/// Reads the first two digits of `text` for each byte; `text` must have as many characters. Returns false if one is no digit, or is in
/// upper case; then `bytes` are not to be used.
bool read_hexadecimal(std::string_view text, std::span<std::uint8_t> bytes);

}  // namespace pinfold
