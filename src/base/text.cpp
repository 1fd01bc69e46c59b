#include "pinfold/base/text.hpp"

#include <algorithm>

namespace pinfold {

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const auto size = static_cast<std::size_t>(std::ranges::find_if(text, is_space) - text.begin());
    if (size > 0) words.push_back(text.substr(0, size));
    text.remove_prefix(std::min(size + 1, text.size()));
  }
  return words;
}

std::string to_lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), lower);
  return result;
}

std::string to_upper(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), upper);
  return result;
}

void add_word(std::string& line, std::string_view word) {
  if (word.empty()) return;
  if (!line.empty()) line.push_back(' ');
  line.append(word);
}

namespace {

void append_escaped(std::string& out, char c) {
  constexpr char hex[] = "0123456789abcdef";
  switch (c) {
    case '\n':
      out += "\\n";
      break;
    case '\r':
      out += "\\r";
      break;
    case '\t':
      out += "\\t";
      break;
    case '\a':
      out += "\\a";
      break;
    case '\b':
      out += "\\b";
      break;
    default: {
      const auto byte = static_cast<unsigned char>(c);
      out += {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
    }
  }
}

}  // namespace

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (!is_printable(c)) {
      append_escaped(out, c);
      continue;
    }
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
  return out += '"';
}

std::string one_line(std::string_view text) {
  constexpr unsigned char first_printable = ' ';
  constexpr unsigned char rubout = 0x7f;
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < first_printable || byte == rubout) {
      append_escaped(out, c);
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace pinfold
