#include "pinfold/base/text.hpp"

#include <algorithm>
#include <array>

namespace pinfold {

std::string to_lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), lower);
  return result;
}

std::string quoted(std::string_view text) {
  constexpr char hex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '\\': out += "\\\\"; break;
      case '"': out += "\\\""; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\a': out += "\\a"; break;
      case '\b': out += "\\b"; break;
      default:
        if (is_printable(c)) {
          out += c;
        } else {
          const auto byte = static_cast<unsigned char>(c);
          out += {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
        }
    }
  }
  return out += '"';
}

namespace {

struct Class {
  bool matches;
  std::size_t end;  // index after the closing bracket
};

// Matches `c` against the bracket expression that starts after '[' at `at`. An unclosed one ends with the pattern.
Class match_class(std::string_view pattern, std::size_t at, char c, bool ignore_case) {
  const auto fold = [ignore_case](char x) { return ignore_case ? lower(x) : x; };
  const auto byte = [](char x) { return static_cast<unsigned char>(x); };
  const bool negated = at < pattern.size() && pattern[at] == '^';
  if (negated) ++at;
  bool found = false;
  while (at < pattern.size() && pattern[at] != ']') {
    if (pattern[at] == '\\' && at + 1 < pattern.size()) {
      ++at;
      found |= pattern[at] == c;  // an escaped character is literal, whatever the case
      ++at;
    } else if (at + 2 < pattern.size() && pattern[at + 1] == '-') {
      auto [first, last] = std::minmax(pattern[at], pattern[at + 2], [&](char a, char b) { return byte(a) < byte(b); });
      const auto wanted = byte(fold(c));
      found |= wanted >= byte(fold(first)) && wanted <= byte(fold(last));
      at += 3;
    } else {
      found |= fold(pattern[at]) == fold(c);
      ++at;
    }
  }
  return {found != negated, std::min(at + 1, pattern.size())};
}

}  // namespace

bool glob_match(std::string_view pattern, std::string_view text, bool ignore_case) {
  // Only the last '*' ever needs to be retried: what an earlier one could still absorb, the last one can too.
  constexpr std::size_t none = std::string_view::npos;
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = none;
  std::size_t star_text = 0;
  while (t < text.size()) {
    bool ok = false;
    std::size_t next = p;
    if (p < pattern.size()) {
      const char c = pattern[p];
      if (c == '*') {
        star = p++;
        star_text = t;
        continue;
      }
      if (c == '?') {
        ok = true;
        next = p + 1;
      } else if (c == '[') {
        const Class result = match_class(pattern, p + 1, text[t], ignore_case);
        ok = result.matches;
        next = result.end;
      } else {
        const std::size_t literal = c == '\\' && p + 1 < pattern.size() ? p + 1 : p;
        ok = ignore_case ? lower(pattern[literal]) == lower(text[t]) : pattern[literal] == text[t];
        next = literal + 1;
      }
    }
    if (ok) {
      p = next;
      ++t;
    } else if (star != none) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace pinfold
