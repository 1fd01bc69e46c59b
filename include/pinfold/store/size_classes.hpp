#pragma once
// How many values there are of which size.

#include <array>
#include <cstddef>
#include <cstdint>

namespace pinfold::store {

/// Classes of values by their size. The first three are values that lie in the log, by the bytes of the value. The others are values with
/// a block of their own, by the memory that it takes.
struct SizeClasses {
  static constexpr std::size_t in_log = 3;
  static constexpr std::size_t outside = 4;
  static constexpr std::uint64_t kilobyte = 1024;
  /// The largest size of each class but the last.
  static constexpr std::array<std::uint64_t, in_log + outside - 1> largest = {
      64, kilobyte, 16 * kilobyte, 256 * kilobyte, kilobyte* kilobyte, 16 * kilobyte* kilobyte};

  std::array<std::uint64_t, in_log + outside> keys{};

  /// The class, of those outside the log, of a value that takes `memory` bytes.
  static std::size_t outside_class(std::uint64_t memory) {
    std::size_t found = 0;
    while (found + 1 < outside && memory > largest[in_log + found]) ++found;
    return found;
  }
  /// The class, of those in the log, of a value of `bytes`.
  static std::size_t in_log_class(std::uint64_t bytes) { return bytes <= largest[0] ? 0 : (bytes <= largest[1] ? 1 : 2); }
};

}  // namespace pinfold::store
