#pragma once
// The context of a distributed trace, as W3C Trace Context 1 writes it into a header `traceparent`:
//
//   00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//   version, id of the trace, id of the caller's span, flags

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pinfold {

using TraceId = std::array<std::uint8_t, 16>;
using SpanId = std::array<std::uint8_t, 8>;

/// A plain value. The ids of a present one are not all zeros.
struct TraceContext {
  TraceId trace{};
  SpanId parent{};
  bool sampled = false;  // whether the caller records its span, and wants ours
};

/// Reads a traceparent, strictly: lower-case hexadecimal digits, no id of zeros, and in version 00 nothing behind the flags. Of a later
/// version only the fields of version 00 are read, and more may follow behind a '-'; ff is no version. Nothing if it is malformed. O(1).
std::optional<TraceContext> parse_traceparent(std::string_view text);

}  // namespace pinfold
