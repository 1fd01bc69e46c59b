#include "replies.hpp"

#include <charconv>
#include <cstdint>

namespace fuzz {

namespace {

constexpr std::size_t bad = std::string_view::npos;

std::size_t line_end(std::string_view text, std::size_t at) { return text.find("\r\n", at); }

// The number that is the rest of the line at `at`.
std::optional<std::int64_t> number_at(std::string_view text, std::size_t at, std::size_t end) {
  std::int64_t number = 0;
  const auto [last, problem] = std::from_chars(text.data() + at, text.data() + end, number);
  if (problem != std::errc() || last != text.data() + end) return std::nullopt;
  return number;
}

// The place after the reply at `at`; `bad` if there is no whole one.
std::size_t after_reply(std::string_view text, std::size_t at, unsigned depth) {
  constexpr unsigned deepest = 32;
  if (depth > deepest || at >= text.size()) return bad;
  const std::size_t end = line_end(text, at);
  if (end == bad) return bad;
  const char type = text[at];
  const std::size_t next = end + 2;
  switch (type) {
    case '+':
    case '-':
      return text.substr(at, end - at).find_first_of("\r\n") == bad ? next : bad;
    case '_':
      return end == at + 1 ? next : bad;
    case '#':
      return end == at + 2 && (text[at + 1] == 't' || text[at + 1] == 'f') ? next : bad;
    case ',':
    case '(':
      return end > at + 1 ? next : bad;
    default:
      break;
  }
  const std::optional<std::int64_t> number = number_at(text, at + 1, end);
  if (!number) return bad;
  if (type == ':') return next;
  if (type == '$' || type == '=') {
    if (*number == -1 && type == '$') return next;
    if (*number < 0) return bad;
    const auto size = static_cast<std::size_t>(*number);
    if (text.size() - next < size + 2 || text.substr(next + size, 2) != "\r\n") return bad;
    return next + size + 2;
  }
  if (type != '*' && type != '~' && type != '>' && type != '%') return bad;
  if (*number == -1 && type == '*') return next;
  if (*number < 0) return bad;
  std::size_t place = next;
  for (std::int64_t left = *number * (type == '%' ? 2 : 1); left > 0; --left) {
    place = after_reply(text, place, depth + 1);
    if (place == bad) return bad;
  }
  return place;
}

}  // namespace

std::optional<std::size_t> count_replies(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size(); ++count) {
    at = after_reply(text, at, 0);
    if (at == bad) return std::nullopt;
  }
  return count;
}

}  // namespace fuzz
