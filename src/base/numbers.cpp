#include "pinfold/base/numbers.hpp"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "pinfold/base/text.hpp"

namespace pinfold {

std::optional<std::int64_t> parse_i64(std::string_view text) {
  if (text.empty() || text.size() > 20) return std::nullopt;
  const std::size_t sign = text[0] == '-' ? 1 : 0;
  const bool leading_zero = text.size() > sign && text[sign] == '0' && text.size() > 1;
  if (leading_zero || text.size() == sign) return std::nullopt;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> parse_cursor(std::string_view text) {
  text = text.substr(0, text.find('\0'));
  if (text.empty()) return 0;
  const bool negative = text[0] == '-';
  if (negative || text[0] == '+') text.remove_prefix(1);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return negative ? 0 - value : value;
}

std::optional<long double> parse_real(std::string_view text) {
  // strtold, not from_chars: hexadecimal and "inf" are accepted by Redis and so here. It wants a terminator, and a
  // value of more than 5 KB is no number to Redis either.
  constexpr std::size_t longest = 5 * 1024;
  if (text.empty() || text.size() >= longest || is_space(text[0])) return std::nullopt;
  const std::string terminated(text);
  char* end = nullptr;
  errno = 0;
  const long double value = std::strtold(terminated.c_str(), &end);
  if (end != terminated.c_str() + terminated.size() || std::isnan(value)) return std::nullopt;
  const bool overflow = errno == ERANGE && (std::isinf(value) || std::fpclassify(value) == FP_ZERO);
  if (overflow) return std::nullopt;
  return value;
}

std::string format_real(long double value) {
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char text[5 * 1024];  // LDBL_MAX has 4933 digits before the point
  const int size = std::snprintf(text, sizeof text, "%.17Lf", value);
  std::string_view view(text, static_cast<std::size_t>(size));
  while (view.back() == '0') view.remove_suffix(1);
  if (view.back() == '.') view.remove_suffix(1);
  return view == "-0" ? "0" : std::string(view);
}

std::optional<std::uint64_t> parse_memory(std::string_view text) {
  std::uint64_t value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (text.empty() || error != std::errc{}) return std::nullopt;
  const std::string unit = to_lower({end, static_cast<std::size_t>(last - end)});
  std::uint64_t factor = 0;
  if (unit.empty() || unit == "b") factor = 1;
  if (unit == "k") factor = 1000;
  if (unit == "kb") factor = 1024;
  if (unit == "m") factor = 1000 * 1000;
  if (unit == "mb") factor = 1024 * 1024;
  if (unit == "g") factor = 1000ULL * 1000 * 1000;
  if (unit == "gb") factor = 1024ULL * 1024 * 1024;
  if (factor == 0 || value > std::numeric_limits<std::int64_t>::max() / factor) return std::nullopt;
  return value * factor;
}

std::string human_size(std::uint64_t bytes) {
  constexpr const char* units[] = {"B", "K", "M", "G", "T", "P"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(units)) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f%s" : "%.2f%s", value, units[unit]);
  return text;
}

char* write_i64(char* to, std::int64_t value) { return std::to_chars(to, to + 20, value).ptr; }

}  // namespace pinfold
