#pragma once
// Numbers to and from text, with the strictness that Redis applies to arguments and values. Thread-safe.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pinfold {

/// Parses a decimal integer in its canonical form only: no sign but '-', no leading zero, no space, no overflow.
/// Redis accepts this as an integer argument and stores it as an integer value.
std::optional<std::int64_t> parse_i64(std::string_view text);

/// Parses a SCAN cursor as leniently as Redis, which uses strtoul: a sign and leading zeros are accepted, an empty text is 0,
/// and everything from a zero byte on is ignored. A leading space is refused.
std::optional<std::uint64_t> parse_cursor(std::string_view text);

/// Parses a floating point number as INCRBYFLOAT does: the number is all of the text, without a leading space, and not NaN.
std::optional<long double> parse_real(std::string_view text);

/// The text that Redis gives a long double in INCRBYFLOAT: 17 digits after the point, trailing zeros dropped.
std::string format_real(long double value);

/// Parses a memory size: a non-negative integer with an optional unit b, k, kb, m, mb, g, gb (k = 1000, kb = 1024), in any case,
/// with or without spaces before the unit.
std::optional<std::uint64_t> parse_memory(std::string_view text);

/// Parses a duration to milliseconds: a non-negative integer with a unit ms, s, m, h or d, in any case, with or without spaces
/// before the unit; 0 needs no unit. At most a hundred years, so that it can be added to a time of day.
std::optional<std::int64_t> parse_duration(std::string_view text);

/// The shortest text that parse_duration reads as `ms`: "90s", "5m".
std::string show_duration(std::int64_t ms);

/// Formats a size for people, as INFO prints it: "1.50M".
std::string human_size(std::uint64_t bytes);
/// The same in a sentence: "1.50 MiB".
std::string binary_size(std::uint64_t bytes);

/// Writes `value` in decimal and returns the end of the text. `to` must have room for 20 characters.
char* write_i64(char* to, std::int64_t value);

}  // namespace pinfold
