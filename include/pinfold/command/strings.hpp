#pragma once
// What the families of string commands share: how long a value may be, and positions in it.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "pinfold/command/call.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/table.hpp"

namespace pinfold::command {

/// How long a value may become: proto-max-bulk-len.
inline std::uint64_t longest_string(const Call& call) {
  return static_cast<std::uint64_t>(call.engine.settings.integer(config::Id::proto_max_bulk_len));
}

/// For handlers whose arity is more than the table can say (pairs).
inline void reply_wrong_arity(Call& call) {
  call.reply.error("ERR wrong number of arguments for '" + std::string(call.row.name) + "' command");
}

/// Positions from `first` to `last`, both included.
struct Range {
  std::uint64_t first;
  std::uint64_t last;
  std::uint64_t size() const { return last - first + 1; }
};

/// The range that `first` and `last` mean in `size` elements, negative ones counting from the end, as GETRANGE and
/// BITCOUNT understand them; nothing if it is empty. What lies before the start is taken for the start, so that
/// (0, -100) is the first element; only two negative ones in the wrong order are always empty.
inline std::optional<Range> resolve_range(std::int64_t first, std::int64_t last, std::int64_t size) {
  if (first < 0 && last < 0 && first > last) return std::nullopt;
  if (first < 0) first = std::max<std::int64_t>(size + first, 0);
  if (last < 0) last = std::max<std::int64_t>(size + last, 0);
  last = std::min(last, size - 1);
  if (first > last) return std::nullopt;
  return Range{static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(last)};
}

}  // namespace pinfold::command
