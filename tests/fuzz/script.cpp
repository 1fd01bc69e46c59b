#include "script.hpp"

#include <algorithm>
#include <charconv>

namespace fuzz {

namespace {

constexpr std::string_view kinds = "@+~!^$%#";

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool is_plain(char c) { return c > ' ' && c < 0x7f && c != '\\'; }

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    if (end > at) words.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

}  // namespace

Script parse_script(std::string_view text) {
  Script script;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    char kind = ' ';
    if (!line.empty() && kinds.find(line[0]) != std::string_view::npos) {
      kind = line[0];
      line.remove_prefix(1);
    }
    std::vector<std::string> words = split(line);
    if (kind != '#' && (kind != ' ' || !words.empty())) script.push_back({kind, std::move(words)});
  }
  return script;
}

std::string write_script(const Script& script) {
  std::string text;
  for (const Line& line : script) {
    if (line.kind != ' ') text += line.kind;
    for (std::size_t i = 0; i < line.words.size(); ++i) text.append(i > 0 ? " " : "").append(line.words[i]);
    text += '\n';
  }
  return text;
}

std::string expand_word(std::string_view word, const Remembered& remembered, std::size_t most) {
  std::string bytes;
  for (std::size_t at = 0; at < word.size(); ++at) {
    if (word[at] != '\\' || at + 1 == word.size()) {
      bytes += word[at];
      continue;
    }
    const char what = word[++at];
    const std::string_view rest = word.substr(at + 1);
    if (what == 'x' && rest.size() >= 2 && digit_of(rest[0]) >= 0 && digit_of(rest[1]) >= 0) {
      bytes += static_cast<char>(digit_of(rest[0]) * 16 + digit_of(rest[1]));
      at += 2;
    } else if (what == '*') {
      std::size_t times = 0;
      const auto [end, problem] = std::from_chars(rest.data(), rest.data() + rest.size(), times);
      const auto digits = static_cast<std::size_t>(end - rest.data());
      if (problem != std::errc() || digits == rest.size() || rest[digits] != ';') continue;
      at += digits + 1;
      if (!bytes.empty() && times > 1) bytes.append(std::min(times - 1, most - std::min(most, bytes.size())), bytes.back());
    } else if (what == 't') {
      bytes += remembered.token;
    } else if (what == 'c') {
      bytes += remembered.cursor;
    } else if (what == '_') {
      bytes += ' ';
    } else if (what != 'e') {
      bytes += what;
    }
  }
  return bytes;
}

std::string quote_word(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  if (bytes.empty()) return "\\e";
  std::string word;
  for (const char c : bytes) {
    if (is_plain(c)) {
      word += c;
    } else if (c == '\\') {
      word += "\\\\";
    } else {
      word.append("\\x").append(1, digits[static_cast<unsigned char>(c) >> 4]).append(1, digits[c & 15]);
    }
  }
  return word;
}

std::int64_t number_of(const Line& line, std::size_t index, std::int64_t least, std::int64_t most) {
  if (index >= line.words.size()) return 0;
  const std::string& word = line.words[index];
  std::int64_t number = 0;
  if (std::from_chars(word.data(), word.data() + word.size(), number).ec != std::errc()) return 0;
  return std::clamp(number, least, most);
}

}  // namespace fuzz
