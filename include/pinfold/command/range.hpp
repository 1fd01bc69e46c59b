#pragma once
// Positions as GETRANGE, BITCOUNT and BITPOS take them.

#include <algorithm>
#include <cstdint>
#include <optional>

namespace pinfold::command {

/// Positions from `first` to `last`, both included.
struct Range {
  std::uint64_t first;
  std::uint64_t last;
  std::uint64_t size() const { return last - first + 1; }
};

/// The range that `first` and `last` mean in `size` elements, negative ones counting from the end; nothing if
/// it is empty. What lies before the start is taken for the start, so that (0, -100) is the first element.
inline std::optional<Range> resolve_range(std::int64_t first, std::int64_t last, std::int64_t size) {
  if (first < 0) first = std::max<std::int64_t>(size + first, 0);
  if (last < 0) last = std::max<std::int64_t>(size + last, 0);
  last = std::min(last, size - 1);
  if (first > last) return std::nullopt;
  return Range{static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(last)};
}

/// GETRANGE and BITCOUNT take two negative positions in the wrong order for nothing even where resolve_range
/// would make both the first element; BITPOS does not.
inline bool is_backward(std::int64_t first, std::int64_t last) { return first < 0 && last < 0 && first > last; }

}  // namespace pinfold::command
