#include "pinfold/script/pattern_match.hpp"

#include <cstring>

#include "pinfold/base/text.hpp"
#include "pinfold/script/state.hpp"

namespace pinfold::script {

bool in_class(unsigned char c, unsigned char letter) {
  const auto character = static_cast<char>(c);
  const bool is_alpha = lower(character) >= 'a' && lower(character) <= 'z';
  bool inside = false;
  switch (lower(static_cast<char>(letter))) {
    case 'a':
      inside = is_alpha;
      break;
    case 'c':
      inside = c < 0x20 || c == 0x7f;
      break;
    case 'd':
      inside = is_digit(character);
      break;
    case 'l':
      inside = c >= 'a' && c <= 'z';
      break;
    case 'p':
      inside = c > 0x20 && c < 0x7f && !is_alpha && !is_digit(character);
      break;
    case 's':
      inside = is_space(character);
      break;
    case 'u':
      inside = c >= 'A' && c <= 'Z';
      break;
    case 'w':
      inside = is_alpha || is_digit(character);
      break;
    case 'x':
      inside = is_digit(character) || (lower(character) >= 'a' && lower(character) <= 'f');
      break;
    case 'z':
      inside = c == 0;
      break;
    default:
      return letter == c;
  }
  return inside != (letter >= 'A' && letter <= 'Z');
}

PatternMatch::PatternMatch(lua_State* L, std::string_view subject, std::string_view pattern)
    : L_(L), state_(State::of(L)), begin_(subject.data()), end_(subject.data() + subject.size()) {
  const std::string_view used = up_to_nul(pattern);
  pattern_ = used.data();
  pattern_end_ = used.data() + used.size();
}

const char* PatternMatch::match_at(const char* from) {
  level_ = 0;
  depth_ = 0;
  return match(from, pattern_);
}

const char* PatternMatch::match(const char* s, const char* p) {
  if (++depth_ > deepest) fail_here(L_, "pattern too complex");
  for (;;) {
    state_.charge(L_, 1);
    if (p == pattern_end_) break;
    if (*p == '(') {
      s = p + 1 != pattern_end_ && p[1] == ')' ? begin_capture(s, p + 2, position) : begin_capture(s, p + 1, unfinished);
      break;
    }
    if (*p == ')') {
      s = end_capture(s, p + 1);
      break;
    }
    if (*p == '$' && p + 1 == pattern_end_) {
      if (s != end_) s = nullptr;
      break;
    }
    if (*p == '%' && p + 1 != pattern_end_) {
      if (p[1] == 'b') {
        s = balanced(s, p + 2);
        if (s == nullptr) break;
        p += 4;
        continue;
      }
      if (p[1] == 'f') {
        p += 2;
        if (p == pattern_end_ || *p != '[') fail_here(L_, "missing '[' after '%%f' in pattern");
        const char* end = item_end(p);
        const unsigned char before = s == begin_ ? 0 : static_cast<unsigned char>(s[-1]);
        const unsigned char here = s == end_ ? 0 : static_cast<unsigned char>(*s);
        if (in_set(before, p, end - 1) || !in_set(here, p, end - 1)) {
          s = nullptr;
          break;
        }
        p = end;
        continue;
      }
      if (is_digit(p[1])) {
        s = again(s, p[1]);
        if (s == nullptr) break;
        p += 2;
        continue;
      }
    }
    const char* end = item_end(p);
    const char repetition = end == pattern_end_ ? '\0' : *end;
    if (repetition == '?') {
      if (s < end_ && single(s, p, end)) {
        const char* rest = match(s + 1, end + 1);
        if (rest != nullptr) {
          s = rest;
          break;
        }
      }
      p = end + 1;
      continue;
    }
    if (repetition == '*') {
      s = most(s, p, end);
      break;
    }
    if (repetition == '+') {
      s = s < end_ && single(s, p, end) ? most(s + 1, p, end) : nullptr;
      break;
    }
    if (repetition == '-') {
      s = least(s, p, end);
      break;
    }
    if (s == end_ || !single(s, p, end)) {
      s = nullptr;
      break;
    }
    ++s;
    p = end;
  }
  --depth_;
  return s;
}

const char* PatternMatch::item_end(const char* p) {
  const char c = *p++;
  if (c == '%') {
    if (p == pattern_end_) fail_here(L_, "malformed pattern (ends with '%%')");
    return p + 1;
  }
  if (c != '[') return p;
  if (p != pattern_end_ && *p == '^') ++p;
  const char* from = p;
  // A ']' right at the beginning is an element.
  do {
    if (p == pattern_end_) fail_here(L_, "malformed pattern (missing ']')");
    if (*p++ == '%' && p != pattern_end_) ++p;
  } while (p == pattern_end_ || *p != ']');
  state_.charge(L_, static_cast<std::size_t>(p - from) / 4);
  return p + 1;
}

bool PatternMatch::single(const char* s, const char* p, const char* end) {
  const auto c = static_cast<unsigned char>(*s);
  switch (*p) {
    case '.':
      return true;
    case '%':
      return in_class(c, static_cast<unsigned char>(p[1]));
    case '[':
      return in_set(c, p, end - 1);
    default:
      return static_cast<unsigned char>(*p) == c;
  }
}

bool PatternMatch::in_set(unsigned char c, const char* p, const char* end) {
  state_.charge(L_, static_cast<std::size_t>(end - p) / 4);
  bool found = true;
  if (p[1] == '^') {
    found = false;
    ++p;
  }
  while (++p < end) {
    if (*p == '%') {
      ++p;
      if (in_class(c, static_cast<unsigned char>(*p))) return found;
    } else if (p[1] == '-' && p + 2 < end) {
      p += 2;
      if (static_cast<unsigned char>(p[-2]) <= c && c <= static_cast<unsigned char>(*p)) return found;
    } else if (static_cast<unsigned char>(*p) == c) {
      return found;
    }
  }
  return !found;
}

const char* PatternMatch::most(const char* s, const char* p, const char* end) {
  std::ptrdiff_t count = 0;
  while (s + count < end_ && single(s + count, p, end)) {
    ++count;
    state_.charge(L_, 1);
  }
  for (; count >= 0; --count) {
    const char* rest = match(s + count, end + 1);
    if (rest != nullptr) return rest;
  }
  return nullptr;
}

const char* PatternMatch::least(const char* s, const char* p, const char* end) {
  for (;;) {
    const char* rest = match(s, end + 1);
    if (rest != nullptr) return rest;
    if (s == end_ || !single(s, p, end)) return nullptr;
    ++s;
  }
}

const char* PatternMatch::balanced(const char* s, const char* p) {
  if (pattern_end_ - p < 2) fail_here(L_, "unbalanced pattern");
  if (s == end_ || *s != p[0]) return nullptr;
  int open = 1;
  while (++s < end_) {
    state_.charge(L_, 1);
    if (*s == p[1]) {
      if (--open == 0) return s + 1;
    } else if (*s == p[0]) {
      ++open;
    }
  }
  return nullptr;
}

const char* PatternMatch::begin_capture(const char* s, const char* p, std::ptrdiff_t kind) {
  if (level_ >= most_captures) fail_here(L_, "too many captures");
  captures_[level_] = {s, kind};
  ++level_;
  const char* rest = match(s, p);
  if (rest == nullptr) --level_;
  return rest;
}

const char* PatternMatch::end_capture(const char* s, const char* p) {
  const int index = open_capture();
  captures_[index].size = s - captures_[index].begin;
  const char* rest = match(s, p);
  if (rest == nullptr) captures_[index].size = unfinished;
  return rest;
}

int PatternMatch::open_capture() {
  for (int i = level_ - 1; i >= 0; --i) {
    if (captures_[i].size == unfinished) return i;
  }
  fail_here(L_, "invalid pattern capture");
}

const char* PatternMatch::again(const char* s, char digit) {
  const int index = digit - '1';
  if (index < 0 || index >= level_ || captures_[index].size == unfinished) fail_here(L_, "invalid capture index");
  // A position has no text, and equals the end of none: its size, read as a number without a sign, is larger than any subject's.
  if (captures_[index].size == position) return nullptr;
  const auto size = static_cast<std::size_t>(captures_[index].size);
  state_.charge_bytes(L_, size);
  if (static_cast<std::size_t>(end_ - s) < size || std::memcmp(captures_[index].begin, s, size) != 0) return nullptr;
  return s + size;
}

void PatternMatch::push_capture(int index, const char* from, const char* to) {
  if (index >= level_) {
    if (index != 0) fail_here(L_, "invalid capture index");
    lua_pushlstring(L_, from, static_cast<std::size_t>(to - from));
    return;
  }
  const Capture& capture = captures_[index];
  if (capture.size == unfinished) fail_here(L_, "unfinished capture");
  if (capture.size == position) {
    lua_pushinteger(L_, capture.begin - begin_ + 1);
  } else {
    state_.charge_bytes(L_, static_cast<std::size_t>(capture.size));
    lua_pushlstring(L_, capture.begin, static_cast<std::size_t>(capture.size));
  }
}

int PatternMatch::push_captures(const char* from, const char* to) {
  const int count = captures(from != nullptr);
  luaL_checkstack(L_, count, "too many captures");
  for (int i = 0; i < count; ++i) push_capture(i, from, to);
  return count;
}

}  // namespace pinfold::script
