#pragma once
// Helpers for ASCII text. The C library's functions depend on the locale of the process and are slow, so they are not used.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pinfold {

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }
constexpr char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c & ~0x20) : c; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
constexpr bool is_printable(char c) { return c >= 0x20 && c < 0x7f; }

/// Equal but for the case of ASCII letters.
constexpr bool iequals(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

/// `text` as C would read it: up to its first NUL.
constexpr std::string_view up_to_nul(std::string_view text) { return text.substr(0, text.find('\0')); }

/// The words of `text`, which white space separates. They are views into it.
std::vector<std::string_view> words_of(std::string_view text);

std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);

/// Appends `word` to a line of words that have a space between them. An empty word is none.
void add_word(std::string& line, std::string_view word);

/// Returns `text` in double quotes. Unprintable bytes are escaped as in C and in Redis' sdscatrepr, so the result is safe for a log line.
std::string quoted(std::string_view text);
/// Returns `text` with its control characters escaped in that way, so that it is one line. All other bytes stay as they are.
std::string one_line(std::string_view text);

}  // namespace pinfold
