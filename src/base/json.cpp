#include "pinfold/base/json.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "pinfold/base/text.hpp"

namespace pinfold {

namespace {

constexpr std::string_view digits = "0123456789abcdef";

// The character at the beginning of `text`, and how many bytes it takes; 0 bytes if there is no valid one (Unicode 15, table 3-7).
struct Decoded {
  char32_t character = 0;
  std::size_t size = 0;
};

Decoded decode(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return {first, 1};
  const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < size) return {};
  char32_t character = first & (0x7fU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) return {};
    character = character << 6 | (byte(i) & 0x3fU);
  }
  constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x1'0000};
  const bool surrogate = character >= 0xd800 && character <= 0xdfff;
  if (character < least[size] || surrogate || character > 0x10'ffff) return {};
  return {character, size};
}

struct Range {
  char32_t from;
  char32_t to;
};
// What is not shown as it is: controls, format characters, what fills no space, private use, and noncharacters.
constexpr Range kHidden[] = {
    {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},     {0x34f, 0x34f},   {0x61c, 0x61c},     {0x115f, 0x1160},    {0x17b4, 0x17b5},
    {0x180b, 0x180f}, {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164},   {0xe000, 0xf8ff},    {0xfe00, 0xfe0f},
    {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfdd0, 0xfdef}, {0xfff0, 0xffff}, {0x1d173, 0x1d17a}, {0xe0000, 0x10ffff},
};

bool is_hidden(char32_t character) {
  for (const Range& range : kHidden) {
    if (character >= range.from && character <= range.to) return true;
  }
  return false;
}

void append_hexadecimal(std::string& to, char32_t number) {
  std::array<char, 8> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), static_cast<std::uint32_t>(number), 16).ptr;
  to.append(text.data(), end);
}

}  // namespace

bool append_json_bytes(std::string& to, std::string_view bytes, std::size_t most) {
  constexpr std::size_t longest_escape = 6;
  const std::size_t begin = to.size();
  for (const char c : bytes) {
    if (to.size() - begin + longest_escape > most) return false;
    if (c == '"' || c == '\\') {
      to.append({'\\', c});
    } else if (is_printable(c)) {
      to += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      to.append("\\u00").append({digits[byte >> 4], digits[byte & 15]});
    }
  }
  return true;
}

std::string presentable(std::string_view text, std::size_t most) {
  std::string shown;
  while (!text.empty()) {
    if (shown.size() >= most) return shown.append("...");
    const Decoded next = decode(text);
    if (next.size == 0) {
      const auto byte = static_cast<unsigned char>(text[0]);
      shown.append("\\x").append({digits[byte >> 4], digits[byte & 15]});
    } else if (is_hidden(next.character)) {
      shown.append("\\u{");
      append_hexadecimal(shown, next.character);
      shown += '}';
    } else {
      shown.append(text.substr(0, next.size));
    }
    text.remove_prefix(next.size == 0 ? 1 : next.size);
  }
  return shown;
}

void JsonWriter::comma() {
  if (!first_) text_ += ',';
  first_ = false;
}

JsonWriter& JsonWriter::open(char bracket) {
  comma();
  text_ += bracket;
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  text_ += bracket;
  first_ = false;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  comma();
  text_.append("\"").append(name).append("\":");
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) {
  comma();
  text_ += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') text_ += '\\';
    text_ += c;
  }
  text_ += '"';
  return *this;
}

JsonWriter& JsonWriter::value(bool truth) {
  comma();
  text_.append(truth ? "true" : "false");
  return *this;
}

JsonWriter& JsonWriter::value(double number) {
  comma();
  if (!std::isfinite(number)) {
    text_.append("null");
    return *this;
  }
  std::array<char, 32> text{};
  text_.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr);
  return *this;
}

}  // namespace pinfold
