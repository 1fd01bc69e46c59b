#include "pinfold/base/numbers.hpp"

#include <algorithm>
#include <array>
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
  text = up_to_nul(text);
  if (text.empty()) return 0;
  const bool negative = text[0] == '-';
  if (negative || text[0] == '+') text.remove_prefix(1);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return negative ? 0 - value : value;
}

std::optional<long double> parse_real(std::string_view text) {
  // strtold and not from_chars, because Redis accepts hexadecimal and "inf". strtold needs a terminated text, so the text is
  // copied. Redis too takes a text of more than 5 KB for no number.
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

namespace {

struct Measure {
  std::uint64_t number;
  std::string_view unit;
};

// Splits "64 mb" into 64 and "mb".
std::optional<Measure> parse_measure(std::string_view text) {
  Measure measure{};
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, measure.number);
  if (text.empty() || error != std::errc{}) return std::nullopt;
  measure.unit = {end, static_cast<std::size_t>(last - end)};
  const std::size_t spaces = std::min(measure.unit.find_first_not_of(' '), measure.unit.size());
  if (spaces > 0 && spaces == measure.unit.size()) return std::nullopt;
  measure.unit.remove_prefix(spaces);
  return measure;
}

struct DurationUnit {
  std::string_view name;
  std::int64_t ms;
};
constexpr std::array<DurationUnit, 5> duration_units = {{{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};

}  // namespace

std::optional<std::int64_t> parse_duration(std::string_view text) {
  constexpr std::uint64_t longest_ms = 100ULL * 366 * 86'400'000;
  const std::optional<Measure> measure = parse_measure(text);
  if (!measure) return std::nullopt;
  if (measure->unit.empty() && measure->number == 0) return 0;
  for (const DurationUnit& unit : duration_units) {
    if (!iequals(measure->unit, unit.name)) continue;
    if (measure->number > longest_ms / static_cast<std::uint64_t>(unit.ms)) return std::nullopt;
    return static_cast<std::int64_t>(measure->number) * unit.ms;
  }
  return std::nullopt;
}

std::string show_duration(std::int64_t ms) {
  if (ms == 0) return "0";
  for (const DurationUnit& unit : duration_units) {
    if (ms % unit.ms == 0) return std::to_string(ms / unit.ms) + std::string(unit.name);
  }
  return {};
}

std::optional<std::uint64_t> parse_memory(std::string_view text) {
  const std::optional<Measure> measure = parse_measure(text);
  if (!measure) return std::nullopt;
  const std::uint64_t value = measure->number;
  const std::string unit = to_lower(measure->unit);
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

std::string binary_size(std::uint64_t bytes) {
  std::string text = human_size(bytes);
  const char unit = text.back();
  text.pop_back();
  return text.append(" ").append(unit == 'B' ? std::string("B") : unit + std::string("iB"));
}

char* write_i64(char* to, std::int64_t value) {
  // Most values are lengths of few digits.
  if (value < 0 || value > 999) return std::to_chars(to, to + 20, value).ptr;
  const auto small = static_cast<unsigned>(value);
  if (small > 99) *to++ = static_cast<char>('0' + small / 100);
  if (small > 9) *to++ = static_cast<char>('0' + small / 10 % 10);
  *to++ = static_cast<char>('0' + small % 10);
  return to;
}

}  // namespace pinfold
