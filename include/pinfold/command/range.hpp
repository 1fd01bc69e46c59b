#pragma once
// Positions as GETRANGE, BITCOUNT and BITPOS take them.

#include <algorithm>
#include <cstdint>
#include <optional>

namespace pinfold::command {

/// The positions from `first` to `last`, both included.
struct Range {
  std::uint64_t first;
  std::uint64_t last;
  std::uint64_t size() const { return last - first + 1; }
};

/// Returns the range that `first` and `last` mean in `size` elements, or nothing if it is empty. Negative numbers count from the
/// end. A position before the start is taken for the start, so (0, -100) is the first element.
inline std::optional<Range> resolve_range(std::int64_t first, std::int64_t last, std::int64_t size) {
  if (first < 0) first = std::max<std::int64_t>(size + first, 0);
  if (last < 0) last = std::max<std::int64_t>(size + last, 0);
  last = std::min(last, size - 1);
  if (first > last) return std::nullopt;
  return Range{static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(last)};
}

/// Whether both positions are negative and in the wrong order. GETRANGE and BITCOUNT take that for an empty range, even if
/// resolve_range() would turn both positions into the first element. BITPOS does not.
inline bool is_backward(std::int64_t first, std::int64_t last) { return first < 0 && last < 0 && first > last; }

}  // namespace pinfold::command
