#include "pinfold/base/real_text.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "pinfold/base/numbers.hpp"

namespace pinfold {
namespace {

char* append(char* to, std::string_view text) {
  std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

char* zeros(char* to, int count) {
  if (count > 0) std::memset(to, '0', static_cast<std::size_t>(count));
  return to + std::max(count, 0);
}

// The digits of a number, and where its point is.
struct Decimal {
  char digits[24];
  int count = 0;
  int exponent = 0;  // of the first digit
};

Decimal decimal_of(double value) {
  char text[most_real_text];
  const char* const end = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific).ptr;
  Decimal decimal;
  const char* at = text;
  for (; at != end && *at != 'e'; ++at) {
    if (*at != '.') decimal.digits[decimal.count++] = *at;
  }
  ++at;                  // the 'e'
  if (*at == '+') ++at;  // which from_chars() does not take
  std::from_chars(at, end, decimal.exponent);
  return decimal;
}

char* write_scientific(char* to, const Decimal& decimal) {
  *to++ = decimal.digits[0];
  if (decimal.count > 1) {
    *to++ = '.';
    to = append(to, {decimal.digits + 1, static_cast<std::size_t>(decimal.count - 1)});
  }
  to = append(to, decimal.exponent < 0 ? "e-" : "e+");
  return write_i64(to, std::abs(decimal.exponent));
}

// A positive number that is no small integer. A few zeros are written out, for more there is an exponent.
char* write_decimal(char* to, const Decimal& decimal, int most_zeros) {
  const int behind_point = decimal.count - 1 - decimal.exponent;
  const std::string_view digits(decimal.digits, static_cast<std::size_t>(decimal.count));
  if (behind_point <= 0 && decimal.exponent < decimal.count + most_zeros) return zeros(append(to, digits), -behind_point);
  if (behind_point <= 0 || (behind_point >= 7 && std::abs(decimal.exponent) >= 4)) return write_scientific(to, decimal);
  if (decimal.exponent < 0) return append(zeros(append(to, "0."), -decimal.exponent - 1), digits);
  const auto before_point = static_cast<std::size_t>(decimal.exponent) + 1;
  to = append(to, digits.substr(0, before_point));
  *to++ = '.';
  return append(to, digits.substr(before_point));
}

}  // namespace

char* write_real(char* to, double value) {
  constexpr double most_integer = 4611686018427387904.0;  // 2^62
  if (value > -most_integer && value < most_integer) [[likely]] {
    const auto integer = static_cast<std::int64_t>(value);
    if (static_cast<double>(integer) == value && (integer != 0 || !std::signbit(value))) return write_i64(to, integer);
  }
  if (std::isnan(value)) return append(to, "nan");
  const bool negative = std::signbit(value);
  if (negative) *to++ = '-';
  if (std::isinf(value)) return append(to, "inf");
  if (value == 0) return append(to, "0");
  return write_decimal(to, decimal_of(std::fabs(value)), negative ? 6 : 7);
}

char* write_distance(char* to, double value) {
  constexpr std::int64_t one = 10'000;
  const std::int64_t rounded = std::llround(std::fabs(value) * static_cast<double>(one));
  if (value < 0 && rounded != 0) *to++ = '-';
  to = write_i64(to, rounded / one);
  *to++ = '.';
  std::int64_t rest = rounded % one;
  for (std::int64_t unit = one / 10; unit > 0; unit /= 10) {
    *to++ = static_cast<char>('0' + rest / unit);
    rest %= unit;
  }
  return to;
}

char* write_coordinate(char* to, double value) {
  constexpr int digits = 17;
  char* end = std::to_chars(to, to + most_real_text, value, std::chars_format::fixed, digits).ptr;
  while (end[-1] == '0') --end;
  return end[-1] == '.' ? end - 1 : end;
}

}  // namespace pinfold
