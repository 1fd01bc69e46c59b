#include "pinfold/base/trace_context.hpp"

#include <algorithm>
#include <cstddef>
#include <span>

#include "pinfold/base/hexadecimal.hpp"

namespace pinfold {

namespace {

bool is_zero(std::span<const std::uint8_t> id) {
  return std::ranges::all_of(id, [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace

std::optional<TraceContext> parse_traceparent(std::string_view text) {
  // Where the fields begin, and the length of version 00.
  constexpr std::size_t trace_at = 3;
  constexpr std::size_t parent_at = 36;
  constexpr std::size_t flags_at = 53;
  constexpr std::size_t length = 55;
  constexpr std::uint8_t no_version = 0xff;
  if (text.size() < length || text[trace_at - 1] != '-' || text[parent_at - 1] != '-' || text[flags_at - 1] != '-') return std::nullopt;
  TraceContext context;
  std::array<std::uint8_t, 1> version{};
  std::array<std::uint8_t, 1> flags{};
  const bool well_formed = read_hexadecimal(text, version) && read_hexadecimal(text.substr(trace_at), context.trace) &&
                           read_hexadecimal(text.substr(parent_at), context.parent) && read_hexadecimal(text.substr(flags_at), flags);
  if (!well_formed || version[0] == no_version || is_zero(context.trace) || is_zero(context.parent)) return std::nullopt;
  if (text.size() > length && (version[0] == 0 || text[length] != '-')) return std::nullopt;
  context.sampled = (flags[0] & 1U) != 0;
  return context;
}

}  // namespace pinfold
