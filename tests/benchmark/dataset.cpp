#include "dataset.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace pinfold::load {

KeyName::KeyName(std::uint64_t n) {
  std::memcpy(text_.data(), "key:", 4);
  for (std::size_t i = text_.size(); i-- > 4;) {
    text_[i] = static_cast<char>('0' + n % 10);
    n /= 10;
  }
}

std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;  // FNV-1a, then mixed because its low bits alone are weak
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return mix(hash);
}

Lengths::Lengths(std::uint32_t least, std::uint32_t most)
    : least_(least), most_(std::max(least, most)), log_ratio_(most_ == least_ ? 0 : std::log((most_ + 1.0) / least_)) {}

std::uint32_t Lengths::of(std::uint64_t random) const {
  if (log_ratio_ == 0) return least_;
  // The random number also decides where a value's bytes are taken from, so it is mixed once more.
  const double share = static_cast<double>(mix(random) >> 11U) * 0x1p-53;
  return std::min(most_, static_cast<std::uint32_t>(least_ * std::exp(log_ratio_ * share)));
}

Values::Values(std::size_t longest) : block_(longest + kOffsets, '\0') {
  Random random(0x70696e666f6c64);
  for (std::size_t at = 0; at < block_.size(); at += sizeof(std::uint64_t)) {
    const std::uint64_t bits = random.next();
    std::memcpy(block_.data() + at, &bits, std::min(sizeof bits, block_.size() - at));
  }
}

}  // namespace pinfold::load
