// The library `string`, as Lua's, with questions to the host in what takes long.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>

#include "pinfold/base/text.hpp"
#include "pinfold/script/pattern_match.hpp"
#include "pinfold/script/state.hpp"

namespace pinfold::script {

namespace {

/// A position that counts from the end if it is negative, as one from the beginning. 0 if it is before the beginning.
std::ptrdiff_t position_from_begin(std::ptrdiff_t position, std::size_t size) {
  if (position < 0) position += static_cast<std::ptrdiff_t>(size) + 1;
  return std::max<std::ptrdiff_t>(position, 0);
}

int string_len(lua_State* L) {
  lua_pushinteger(L, static_cast<lua_Integer>(check_text(L, 1).size()));
  return 1;
}

int string_sub(lua_State* L) {
  const std::string_view text = check_text(L, 1);
  const std::ptrdiff_t from = std::max<std::ptrdiff_t>(position_from_begin(luaL_checkinteger(L, 2), text.size()), 1);
  const std::ptrdiff_t to = std::min(position_from_begin(luaL_optinteger(L, 3, -1), text.size()), static_cast<std::ptrdiff_t>(text.size()));
  const std::string_view part =
      from <= to ? text.substr(static_cast<std::size_t>(from - 1), static_cast<std::size_t>(to - from + 1)) : std::string_view("");
  State::of(L).charge_bytes(L, part.size());
  push_text(L, part);
  return 1;
}

/// Pushes the text of index 1 with each byte replaced.
template <typename Change>
int change_each(lua_State* L, Change change) {
  const std::string_view text = check_text(L, 1);
  State& state = State::of(L);
  Buffer buffer(L);
  char* to = buffer.extend(text.size());
  constexpr std::size_t piece = 4096;
  for (std::size_t begin = 0; begin < text.size(); begin += piece) {
    state.charge(L, piece / 8);
    const std::size_t end = std::min(begin + piece, text.size());
    for (std::size_t i = begin; i < end; ++i) to[i] = change(text, i);
  }
  buffer.push();
  return 1;
}

int string_reverse(lua_State* L) {
  return change_each(L, [](std::string_view text, std::size_t i) { return text[text.size() - 1 - i]; });
}
int string_lower(lua_State* L) {
  return change_each(L, [](std::string_view text, std::size_t i) { return lower(text[i]); });
}
int string_upper(lua_State* L) {
  return change_each(L, [](std::string_view text, std::size_t i) { return upper(text[i]); });
}

int string_rep(lua_State* L) {
  const std::string_view text = check_text(L, 1);
  const int count = check_int(L, 2);
  if (count <= 0 || text.empty()) {
    lua_pushliteral(L, "");
    return 1;
  }
  State& state = State::of(L);
  std::size_t size = 0;
  if (__builtin_mul_overflow(text.size(), static_cast<std::size_t>(count), &size) || size > state.limits.memory) fail_for_memory(L);
  Buffer buffer(L);
  char* to = buffer.extend(size);
  std::memcpy(to, text.data(), text.size());
  // What is there is copied behind itself, in pieces.
  constexpr std::size_t piece = 64 * 1024;
  for (std::size_t done = text.size(); done < size;) {
    const std::size_t copied = std::min({done, size - done, std::max(piece / text.size(), std::size_t{1}) * text.size()});
    state.charge_bytes(L, copied);
    std::memcpy(to + done, to, copied);
    done += copied;
  }
  buffer.push();
  return 1;
}

int string_byte(lua_State* L) {
  const std::string_view text = check_text(L, 1);
  std::ptrdiff_t from = position_from_begin(luaL_optinteger(L, 2, 1), text.size());
  std::ptrdiff_t to = position_from_begin(luaL_optinteger(L, 3, from), text.size());
  from = std::max<std::ptrdiff_t>(from, 1);
  to = std::min(to, static_cast<std::ptrdiff_t>(text.size()));
  if (from > to) return 0;
  const std::ptrdiff_t count = to - from + 1;
  if (count >= LUAI_MAXCSTACK) fail_here(L, "string slice too long");
  luaL_checkstack(L, static_cast<int>(count), "string slice too long");
  State::of(L).charge(L, static_cast<std::size_t>(count));
  for (std::ptrdiff_t i = from - 1; i < to; ++i) lua_pushinteger(L, static_cast<unsigned char>(text[static_cast<std::size_t>(i)]));
  return static_cast<int>(count);
}

int string_char(lua_State* L) {
  const int count = lua_gettop(L);
  Buffer buffer(L);
  for (int i = 1; i <= count; ++i) {
    const int c = check_int(L, i);
    luaL_argcheck(L, c >= 0 && c <= 255, i, "invalid value");
    buffer.add(static_cast<char>(c));
  }
  buffer.push();
  return 1;
}

/// Where `wanted` begins in `text` at or after `from`, npos if nowhere.
std::size_t find_plain(lua_State* L, std::string_view text, std::string_view wanted, std::size_t from) {
  if (wanted.empty()) return from;
  State& state = State::of(L);
  constexpr std::size_t window = 16 * 1024;
  while (text.size() - from >= wanted.size()) {
    const std::size_t last = text.size() - wanted.size();
    const std::size_t looked_at = std::min(last - from + 1, window);
    const void* found = std::memchr(text.data() + from, wanted.front(), looked_at);
    if (found == nullptr) {
      state.charge_bytes(L, looked_at);
      from += looked_at;
      continue;
    }
    const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
    state.charge_bytes(L, at - from + wanted.size());
    if (std::memcmp(found, wanted.data(), wanted.size()) == 0) return at;
    from = at + 1;
  }
  return std::string_view::npos;
}

int find_or_match(lua_State* L, bool find) {
  const std::string_view text = check_text(L, 1);
  const std::string_view pattern = check_text(L, 2);
  std::ptrdiff_t init = position_from_begin(luaL_optinteger(L, 3, 1), text.size()) - 1;
  init = std::clamp<std::ptrdiff_t>(init, 0, static_cast<std::ptrdiff_t>(text.size()));
  if (find && (lua_toboolean(L, 4) != 0 || up_to_nul(pattern).find_first_of("^$*+?.([%-") == std::string_view::npos)) {
    const std::size_t at = find_plain(L, text, pattern, static_cast<std::size_t>(init));
    if (at != std::string_view::npos) {
      lua_pushinteger(L, static_cast<lua_Integer>(at + 1));
      lua_pushinteger(L, static_cast<lua_Integer>(at + pattern.size()));
      return 2;
    }
  } else {
    const bool anchored = pattern.starts_with('^');
    PatternMatch matcher(L, text, pattern.substr(anchored ? 1 : 0));
    const char* end_of_text = text.data() + text.size();
    for (const char* from = text.data() + init; from <= end_of_text; ++from) {
      const char* end = matcher.match_at(from);
      if (end == nullptr) {
        if (anchored) break;
        continue;
      }
      if (!find) return matcher.push_captures(from, end);
      lua_pushinteger(L, from - text.data() + 1);
      lua_pushinteger(L, end - text.data());
      return matcher.push_captures(nullptr, nullptr) + 2;
    }
  }
  lua_pushnil(L);
  return 1;
}

int string_find(lua_State* L) { return find_or_match(L, true); }
int string_match(lua_State* L) { return find_or_match(L, false); }

int gmatch_next(lua_State* L) {
  const std::string_view text = text_at(L, lua_upvalueindex(1));
  PatternMatch matcher(L, text, text_at(L, lua_upvalueindex(2)));
  const char* end_of_text = text.data() + text.size();
  for (const char* from = text.data() + lua_tointeger(L, lua_upvalueindex(3)); from <= end_of_text; ++from) {
    const char* end = matcher.match_at(from);
    if (end == nullptr) continue;
    // After an empty match, the next one begins a character later.
    lua_pushinteger(L, end - text.data() + (end == from ? 1 : 0));
    lua_replace(L, lua_upvalueindex(3));
    return matcher.push_captures(from, end);
  }
  return 0;
}

int string_gmatch(lua_State* L) {
  luaL_checkstring(L, 1);
  luaL_checkstring(L, 2);
  lua_settop(L, 2);
  lua_pushinteger(L, 0);
  lua_pushcclosure(L, gmatch_next, 3);
  return 1;
}

/// Adds the replacement at index 3, a text with captures, to the buffer.
void add_replacement_text(lua_State* L, Buffer& buffer, PatternMatch& matcher, const char* from, const char* to) {
  const std::string_view text = text_at(L, 3);
  State::of(L).charge(L, text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      buffer.add(text[i]);
      continue;
    }
    ++i;
    // Behind the last byte there is a zero, which Lua takes.
    const char c = i < text.size() ? text[i] : '\0';
    if (!is_digit(c)) {
      buffer.add(c);
    } else if (c == '0') {
      buffer.add({from, static_cast<std::size_t>(to - from)});
    } else {
      matcher.push_capture(c - '1', from, to);
      buffer.add(text_at(L, -1));
      lua_pop(L, 1);
    }
  }
}

/// Adds what the match is replaced by.
void add_replacement(lua_State* L, Buffer& buffer, PatternMatch& matcher, const char* from, const char* to) {
  switch (lua_type(L, 3)) {
    case LUA_TNUMBER:
    case LUA_TSTRING:
      add_replacement_text(L, buffer, matcher, from, to);
      return;
    case LUA_TFUNCTION:
      lua_pushvalue(L, 3);
      lua_call(L, matcher.push_captures(from, to), 1);
      break;
    default:
      matcher.push_capture(0, from, to);
      lua_gettable(L, 3);
  }
  if (lua_toboolean(L, -1) == 0) {
    buffer.add({from, static_cast<std::size_t>(to - from)});
  } else if (lua_isstring(L, -1) == 0) {
    fail_here(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
  } else {
    buffer.add(text_at(L, -1));
  }
  lua_pop(L, 1);
}

int string_gsub(lua_State* L) {
  const std::string_view text = check_text(L, 1);
  const std::string_view pattern = check_text(L, 2);
  const int type = lua_type(L, 3);
  const std::int64_t most = lua_isnoneornil(L, 4) ? static_cast<std::int64_t>(text.size()) + 1 : check_int(L, 4);
  luaL_argcheck(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE, 3,
                "string/function/table expected");
  const bool anchored = pattern.starts_with('^');
  PatternMatch matcher(L, text, pattern.substr(anchored ? 1 : 0));
  Buffer buffer(L);
  const char* at = text.data();
  const char* end_of_text = text.data() + text.size();
  std::int64_t count = 0;
  while (count < most) {
    const char* end = matcher.match_at(at);
    if (end != nullptr) {
      ++count;
      add_replacement(L, buffer, matcher, at, end);
    }
    if (end != nullptr && end > at) {
      at = end;
    } else if (at < end_of_text) {
      buffer.add(*at++);
    } else {
      break;
    }
    if (anchored) break;
  }
  if (at < end_of_text) buffer.add({at, static_cast<std::size_t>(end_of_text - at)});
  buffer.push();
  lua_pushinteger(L, static_cast<lua_Integer>(count));
  return 2;
}

/// The conversions of the processor that Redis runs on, for numbers that do not fit.
long to_long(double value) {
  if (value >= -9223372036854775808.0 && value < 9223372036854775808.0) return static_cast<long>(value);
  return std::numeric_limits<long>::min();
}
unsigned long to_unsigned_long(double value) {
  if (value >= 9223372036854775808.0) {
    return value < 18446744073709551616.0 ? static_cast<unsigned long>(value) : 0;
  }
  return static_cast<unsigned long>(to_long(value));
}

/// Reads an item of a format, behind its '%': flags, width and precision. What printf takes is written to `item`, without the letter.
const char* read_item(lua_State* L, const char* p, std::string& item) {
  const char* begin = p;
  while (*p != '\0' && std::strchr("-+ #0", *p) != nullptr) ++p;
  if (p - begin >= 6) fail_here(L, "invalid format (repeated flags)");
  if (is_digit(*p)) ++p;
  if (is_digit(*p)) ++p;
  if (*p == '.') {
    ++p;
    if (is_digit(*p)) ++p;
    if (is_digit(*p)) ++p;
  }
  if (is_digit(*p)) fail_here(L, "invalid format (width or precision too long)");
  item.assign("%").append(begin, p);
  return p;
}

void add_quoted(lua_State* L, Buffer& buffer, std::string_view text) {
  buffer.add('"');
  for (const char c : text) {
    State::of(L).charge(L, 1);
    switch (c) {
      case '"':
      case '\\':
      case '\n':
        buffer.add('\\');
        buffer.add(c);
        break;
      case '\r':
        buffer.add("\\r");
        break;
      case '\0':
        buffer.add("\\000");
        break;
      default:
        buffer.add(c);
    }
  }
  buffer.add('"');
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
/// Adds what printf makes of the value. Width and precision have two digits each, and a number at most 309 before its point.
template <typename Value>
void add_printed(Buffer& buffer, const std::string& item, Value value) {
  char text[512];
  const int size = std::snprintf(text, sizeof text, item.c_str(), value);
  // Up to a zero byte, as in Lua.
  buffer.add(up_to_nul({text, static_cast<std::size_t>(size)}));
}
#pragma GCC diagnostic pop

int string_format(lua_State* L) {
  const std::string_view format = check_text(L, 1);
  const int arguments = lua_gettop(L);
  State& state = State::of(L);
  Buffer buffer(L);
  std::string item;
  int argument = 1;
  const char* end = format.data() + format.size();
  for (const char* p = format.data(); p < end;) {
    state.charge(L, 1);
    if (*p != '%') {
      buffer.add(*p++);
      continue;
    }
    ++p;
    if (*p == '%') {
      buffer.add(*p++);
      continue;
    }
    if (++argument > arguments) luaL_argerror(L, argument, "no value");
    p = read_item(L, p, item);
    const char letter = *p++;
    switch (letter) {
      case 'c':
        add_printed(buffer, item + letter, static_cast<int>(luaL_checknumber(L, argument)));
        break;
      case 'd':
      case 'i':
        add_printed(buffer, item + 'l' + letter, to_long(luaL_checknumber(L, argument)));
        break;
      case 'o':
      case 'u':
      case 'x':
      case 'X':
        add_printed(buffer, item + 'l' + letter, to_unsigned_long(luaL_checknumber(L, argument)));
        break;
      case 'e':
      case 'E':
      case 'f':
      case 'g':
      case 'G':
        add_printed(buffer, item + letter, luaL_checknumber(L, argument));
        break;
      case 'q':
        add_quoted(L, buffer, check_text(L, argument));
        break;
      case 's': {
        const std::string_view text = check_text(L, argument);
        state.charge_bytes(L, text.size());
        if (item.find('.') == std::string::npos && text.size() >= 100) {
          buffer.add(text);
        } else {
          add_printed(buffer, item + letter, text.data());
        }
        break;
      }
      default:
        fail_here(L, "invalid option '%%%c' to 'format'", letter);
    }
  }
  buffer.push();
  return 1;
}

}  // namespace

void add_string_functions(lua_State* L) {
  static const luaL_Reg functions[] = {
      {"byte", string_byte},     {"char", string_char},       {"find", string_find}, {"format", string_format}, {"gfind", string_gmatch},
      {"gmatch", string_gmatch}, {"gsub", string_gsub},       {"len", string_len},   {"lower", string_lower},   {"match", string_match},
      {"rep", string_rep},       {"reverse", string_reverse}, {"sub", string_sub},   {"upper", string_upper},   {nullptr, nullptr}};
  add_functions(L, functions);
  // Lua's own: bytecode may be made, but it is not loaded (read_chunk in sandbox.cpp).
  lua_getglobal(L, "string");
  lua_getfield(L, -1, "dump");
  lua_setfield(L, -3, "dump");
  lua_pop(L, 1);
}

}  // namespace pinfold::script
