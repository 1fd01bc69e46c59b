// The library `cjson`, with the results, settings and error texts of lua-cjson 2.1. The settings last from script to script, as in Redis.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>

#include "pinfold/base/text.hpp"
#include "pinfold/script/state.hpp"

namespace pinfold::script {

namespace {

/// Values may be nested no deeper, whatever a script sets: each level is a few calls of C++.
constexpr int deepest = 2000;

struct Settings {
  int sparse_convert = 0;
  int sparse_ratio = 2;
  int sparse_safe = 10;
  int encode_max_depth = 1000;
  int decode_max_depth = 1000;
  int number_precision = 14;
  int keep_buffer = 1;
  int encode_invalid_numbers = 0;  // 0 refuse, 1 allow, 2 as null
  int decode_invalid_numbers = 1;
};

/// Of the copy of the library that the function belongs to (cjson.new).
Settings& settings_of(lua_State* L) { return *static_cast<Settings*>(lua_touserdata(L, lua_upvalueindex(1))); }

class Encoder {
 public:
  explicit Encoder(lua_State* L) : L_(L), state_(State::of(L)), settings_(settings_of(L)), buffer_(L) {}

  /// Appends the value on top of the stack.
  void value(int depth) {
    state_.charge(L_, 1);
    switch (lua_type(L_, -1)) {
      case LUA_TSTRING:
        text(text_at(L_, -1));
        return;
      case LUA_TNUMBER:
        number();
        return;
      case LUA_TBOOLEAN:
        buffer_.add(lua_toboolean(L_, -1) != 0 ? "true" : "false");
        return;
      case LUA_TTABLE:
        table(depth + 1);
        return;
      case LUA_TNIL:
        buffer_.add("null");
        return;
      case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L_, -1) == nullptr) {
          buffer_.add("null");
          return;
        }
        [[fallthrough]];
      default:
        refuse("type not supported");
    }
  }
  void push() { buffer_.push(); }

 private:
  [[noreturn]] void refuse(const char* reason) { fail_here(L_, "Cannot serialise %s: %s", luaL_typename(L_, -1), reason); }

  void text(std::string_view bytes) {
    buffer_.add('"');
    for (const char c : bytes) {
      state_.charge(L_, 1);
      const auto code = static_cast<unsigned char>(c);
      if (code >= 0x20 && c != '"' && c != '\\' && c != '/' && code != 0x7f) [[likely]] {
        buffer_.add(c);
        continue;
      }
      static constexpr std::string_view short_codes = "\bb\ff\nn\rr\tt\"\"\\\\//";
      const std::size_t at = code == 0 ? std::string_view::npos : find_short(short_codes, c);
      if (at != std::string_view::npos) {
        buffer_.add('\\');
        buffer_.add(short_codes[at + 1]);
      } else {
        char escape[8];
        std::snprintf(escape, sizeof escape, "\\u%04x", code);
        buffer_.add(std::string_view(escape, 6));
      }
    }
    buffer_.add('"');
  }
  static std::size_t find_short(std::string_view codes, char c) {
    for (std::size_t i = 0; i < codes.size(); i += 2) {
      if (codes[i] == c) return i;
    }
    return std::string_view::npos;
  }

  void number() {
    const double value = lua_tonumber(L_, -1);
    if (std::isfinite(value)) [[likely]] {
      char digits[40];
      const int size = std::snprintf(digits, sizeof digits, "%.*g", settings_.number_precision, value);
      buffer_.add(std::string_view(digits, static_cast<std::size_t>(size)));
      return;
    }
    if (settings_.encode_invalid_numbers == 0) refuse("must not be NaN or Inf");
    if (settings_.encode_invalid_numbers == 2) {
      buffer_.add("null");
    } else {
      buffer_.add(std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
    }
  }

  void table(int depth) {
    if (depth > std::min(settings_.encode_max_depth, deepest) || lua_checkstack(L_, 4) == 0) {
      fail_here(L_, "Cannot serialise, excessive nesting (%d)", depth);
    }
    const int elements = array_length();
    if (elements > 0) {
      array(elements, depth);
    } else {
      object(depth);
    }
  }

  /// The largest key of an array, or -1 if the table on top of the stack is to be an object.
  int array_length() {
    double largest = 0;
    std::size_t count = 0;
    state_.charge_walk(L_);
    lua_pushnil(L_);
    while (lua_next(L_, -2) != 0) {
      state_.charge(L_, 1);
      lua_pop(L_, 1);
      if (lua_type(L_, -1) == LUA_TNUMBER) {
        const double key = lua_tonumber(L_, -1);
        if (key >= 1 && key == std::floor(key)) {
          largest = std::max(largest, key);
          ++count;
          continue;
        }
      }
      lua_pop(L_, 1);
      return -1;
    }
    const bool sparse =
        settings_.sparse_ratio > 0 && largest > static_cast<double>(count) * settings_.sparse_ratio && largest > settings_.sparse_safe;
    if (sparse || largest > std::numeric_limits<int>::max() - 1) {
      if (settings_.sparse_convert == 0) refuse("excessively sparse array");
      return -1;
    }
    return static_cast<int>(largest);
  }

  void array(int elements, int depth) {
    buffer_.add('[');
    for (int i = 1; i <= elements; ++i) {
      if (i > 1) buffer_.add(',');
      lua_rawgeti(L_, -1, i);
      value(depth);
      lua_pop(L_, 1);
    }
    buffer_.add(']');
  }

  void object(int depth) {
    buffer_.add('{');
    bool first = true;
    state_.charge_walk(L_);
    lua_pushnil(L_);
    while (lua_next(L_, -2) != 0) {
      if (!first) buffer_.add(',');
      first = false;
      lua_pushvalue(L_, -2);
      switch (lua_type(L_, -1)) {
        case LUA_TNUMBER:
          buffer_.add('"');
          number();
          buffer_.add('"');
          break;
        case LUA_TSTRING:
          text(text_at(L_, -1));
          break;
        default:
          refuse("table key must be a number or string");
      }
      lua_pop(L_, 1);
      buffer_.add(':');
      value(depth);
      lua_pop(L_, 1);
    }
    buffer_.add('}');
  }

  lua_State* L_;
  State& state_;
  const Settings& settings_;
  Buffer buffer_;
};

enum class Token : std::uint8_t {
  object_begin,
  object_end,
  array_begin,
  array_end,
  string,
  number,
  boolean,
  null,
  colon,
  comma,
  end,
  error
};

const char* name_of(Token token) {
  static const char* const names[] = {"T_OBJ_BEGIN", "T_OBJ_END", "T_ARR_BEGIN", "T_ARR_END", "T_STRING", "T_NUMBER",
                                      "T_BOOLEAN",   "T_NULL",    "T_COLON",     "T_COMMA",   "T_END",    "T_ERROR"};
  return names[static_cast<int>(token)];
}

class Decoder {
 public:
  Decoder(lua_State* L, std::string_view text) : L_(L), state_(State::of(L)), settings_(settings_of(L)), text_(text), unescaped_(L) {}

  /// Pushes the value of the whole text.
  void run() {
    if (text_.size() >= 2 && (text_[0] == '\0' || text_[1] == '\0')) fail_here(L_, "JSON parser does not support UTF-16 or UTF-32");
    next();
    value();
    next();
    if (token_ != Token::end) expected("the end");
  }

 private:
  // The text ends with a zero byte, as all of Lua's strings do, so that a character may be looked at behind it.
  char at(std::size_t index) const { return text_.data()[index]; }

  [[noreturn]] void expected(const char* what) {
    fail_here(L_, "Expected %s but found %s at character %d", what, token_ == Token::error ? error_ : name_of(token_),
              static_cast<int>(token_at_ + 1));
  }

  void set_error(const char* error) {
    token_ = Token::error;
    token_at_ = position_;
    error_ = error;
  }

  void next() {
    while (position_ < text_.size() && (at(position_) == ' ' || at(position_) == '\t' || at(position_) == '\n' || at(position_) == '\r')) {
      ++position_;
      state_.charge(L_, 1);
    }
    state_.charge(L_, 1);
    token_at_ = position_;
    const char c = at(position_);
    switch (c) {
      case '{':
        return single(Token::object_begin);
      case '}':
        return single(Token::object_end);
      case '[':
        return single(Token::array_begin);
      case ']':
        return single(Token::array_end);
      case ':':
        return single(Token::colon);
      case ',':
        return single(Token::comma);
      case '\0':
        token_ = Token::end;
        return;
      case '"':
        return next_string();
      default:
        break;
    }
    const std::string_view rest = text_.substr(position_);
    if (c == '-' || is_digit(c)) {
      if (settings_.decode_invalid_numbers == 0 && is_invalid_number(rest)) return set_error("invalid number");
      next_number();
    } else if (rest.starts_with("true")) {
      boolean_ = true;
      word(Token::boolean, 4);
    } else if (rest.starts_with("false")) {
      boolean_ = false;
      word(Token::boolean, 5);
    } else if (rest.starts_with("null")) {
      word(Token::null, 4);
    } else if (settings_.decode_invalid_numbers != 0 && is_invalid_number(rest)) {
      next_number();
    } else {
      set_error("invalid token");
    }
  }
  void single(Token token) {
    token_ = token;
    ++position_;
  }
  void word(Token token, std::size_t size) {
    token_ = token;
    position_ += size;
  }

  /// Whether what begins here is a number for strtod, but not for JSON.
  static bool is_invalid_number(std::string_view text) {
    if (text.starts_with('+')) return true;
    if (text.starts_with('-')) text.remove_prefix(1);
    if (text.starts_with('0')) return text.size() > 1 && (lower(text[1]) == 'x' || is_digit(text[1]));
    return iequals(text.substr(0, 3), "inf") || iequals(text.substr(0, 3), "nan");
  }

  void next_number() {
    const char* begin = text_.data() + position_;
    char* end = nullptr;
    number_ = std::strtod(begin, &end);
    if (end == begin) return set_error("invalid number");
    state_.charge(L_, static_cast<std::size_t>(end - begin));
    token_ = Token::number;
    position_ += static_cast<std::size_t>(end - begin);
  }

  void next_string() {
    unescaped_.shrink(0);
    ++position_;
    for (;;) {
      std::size_t plain = position_;
      const std::size_t window = std::min(text_.size(), position_ + 1024);
      while (plain < window && at(plain) != '"' && at(plain) != '\\' && at(plain) != '\0') ++plain;
      state_.charge(L_, 1 + (plain - position_) / 8);
      unescaped_.add(text_.substr(position_, plain - position_));
      position_ = plain;
      if (plain == window && window < text_.size()) continue;
      const char c = at(position_);
      if (c == '"') break;
      if (c == '\0') return set_error("unexpected end of string");
      if (const char* error = escape()) return set_error(error);
    }
    ++position_;
    token_ = Token::string;
  }

  /// Reads an escape, at whose backslash the position is. Returns an error, null if there is none.
  const char* escape() {
    const char c = at(position_ + 1);
    if (c == 'u') return unicode();
    static constexpr std::string_view from = "\"\\/bfnrt";
    static constexpr std::string_view to = "\"\\/\b\f\n\r\t";
    const std::size_t index = c == '\0' ? std::string_view::npos : from.find(c);
    if (index == std::string_view::npos) return "invalid escape code";
    unescaped_.add(to[index]);
    position_ += 2;
    return nullptr;
  }

  /// The value of four hexadecimal digits.
  std::optional<unsigned> four_digits(std::size_t from) const {
    unsigned value = 0;
    for (std::size_t i = from; i < from + 4; ++i) {
      if (i >= text_.size()) return std::nullopt;
      const char c = lower(text_[i]);
      if (is_digit(c)) {
        value = value * 16 + static_cast<unsigned>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        value = value * 16 + static_cast<unsigned>(c - 'a' + 10);
      } else {
        return std::nullopt;
      }
    }
    return value;
  }

  const char* unicode() {
    static constexpr const char* invalid = "invalid unicode escape code";
    const std::optional<unsigned> first = four_digits(position_ + 2);
    if (!first) return invalid;
    unsigned code = *first;
    std::size_t size = 6;
    if ((code & 0xf800) == 0xd800) {
      // A pair of surrogates: the first must be a high one, and a low one must follow.
      if ((code & 0x400) != 0 || !text_.substr(position_ + 6).starts_with("\\u")) return invalid;
      const std::optional<unsigned> second = four_digits(position_ + 8);
      if (!second || (*second & 0xfc00) != 0xdc00) return invalid;
      code = (((code & 0x3ff) << 10) | (*second & 0x3ff)) + 0x10000;
      size = 12;
    }
    if (code < 0x80) {
      unescaped_.add(static_cast<char>(code));
    } else {
      const int following = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
      static constexpr unsigned marks[] = {0, 0xc0, 0xe0, 0xf0};
      unescaped_.add(static_cast<char>(marks[following] | (code >> (6 * following))));
      for (int i = following - 1; i >= 0; --i) unescaped_.add(static_cast<char>(0x80 | ((code >> (6 * i)) & 0x3f)));
    }
    position_ += size;
    return nullptr;
  }

  /// Pushes the value that begins with the present token.
  void value() {
    switch (token_) {
      case Token::string:
        unescaped_.push();
        return;
      case Token::number:
        lua_pushnumber(L_, number_);
        return;
      case Token::boolean:
        lua_pushboolean(L_, boolean_ ? 1 : 0);
        return;
      case Token::object_begin:
        return object();
      case Token::array_begin:
        return array();
      case Token::null:
        lua_pushlightuserdata(L_, nullptr);
        return;
      default:
        expected("value");
    }
  }

  void descend(int slots) {
    ++depth_;
    if (depth_ > std::min(settings_.decode_max_depth, deepest) || lua_checkstack(L_, slots) == 0) {
      fail_here(L_, "Found too many nested data structures (%d) at character %d", depth_, static_cast<int>(position_));
    }
  }

  void object() {
    descend(3);
    lua_newtable(L_);
    next();
    if (token_ == Token::object_end) {
      --depth_;
      return;
    }
    for (;;) {
      if (token_ != Token::string) expected("object key string");
      unescaped_.push();
      next();
      if (token_ != Token::colon) expected("colon");
      next();
      value();
      lua_rawset(L_, -3);
      next();
      if (token_ == Token::object_end) break;
      if (token_ != Token::comma) expected("comma or object end");
      next();
    }
    --depth_;
  }

  void array() {
    descend(2);
    lua_newtable(L_);
    next();
    if (token_ == Token::array_end) {
      --depth_;
      return;
    }
    for (int i = 1;; ++i) {
      value();
      lua_rawseti(L_, -2, i);
      next();
      if (token_ == Token::array_end) break;
      if (token_ != Token::comma) expected("comma or array end");
      next();
    }
    --depth_;
  }

  lua_State* L_;
  State& state_;
  const Settings& settings_;
  std::string_view text_;
  std::size_t position_ = 0;
  int depth_ = 0;
  Token token_ = Token::end;
  std::size_t token_at_ = 0;
  const char* error_ = "";
  bool boolean_ = false;
  double number_ = 0;
  Buffer unescaped_;
};

int json_encode(lua_State* L) {
  luaL_argcheck(L, lua_gettop(L) == 1, 1, "expected 1 argument");
  Encoder encoder(L);
  encoder.value(0);
  encoder.push();
  return 1;
}

int json_decode(lua_State* L) {
  luaL_argcheck(L, lua_gettop(L) == 1, 1, "expected 1 argument");
  Decoder(L, check_text(L, 1)).run();
  return 1;
}

/// Makes the stack have `count` arguments.
void take_arguments(lua_State* L, int count) {
  luaL_argcheck(L, lua_gettop(L) <= count, count + 1, "found too many arguments");
  lua_settop(L, count);
}

/// Sets a number from the argument at `index`, unless that is nil, and pushes it.
void integer_option(lua_State* L, int index, int& setting, int least, int most) {
  if (!lua_isnil(L, index)) {
    const lua_Integer value = luaL_checkinteger(L, index);
    char error[64];
    std::snprintf(error, sizeof error, "expected integer between %d and %d", least, most);
    luaL_argcheck(L, least <= value && value <= most, 1, error);
    setting = static_cast<int>(value);
  }
  lua_pushinteger(L, setting);
}

constexpr const char* switch_names[] = {"off", "on", nullptr};
constexpr const char* number_names[] = {"off", "on", "null", nullptr};

void switch_option(lua_State* L, int index, int& setting, const char* const* names) {
  if (lua_isboolean(L, index)) {
    setting = lua_toboolean(L, index);
  } else if (!lua_isnil(L, index)) {
    setting = luaL_checkoption(L, index, nullptr, names);
  }
  if (setting <= 1) {
    lua_pushboolean(L, setting);
  } else {
    lua_pushstring(L, names[setting]);
  }
}

int json_encode_sparse_array(lua_State* L) {
  constexpr int most = std::numeric_limits<int>::max();
  take_arguments(L, 3);
  Settings& settings = settings_of(L);
  switch_option(L, 1, settings.sparse_convert, switch_names);
  integer_option(L, 2, settings.sparse_ratio, 0, most);
  integer_option(L, 3, settings.sparse_safe, 0, most);
  return 3;
}

int json_encode_max_depth(lua_State* L) {
  take_arguments(L, 1);
  integer_option(L, 1, settings_of(L).encode_max_depth, 1, std::numeric_limits<int>::max());
  return 1;
}

int json_decode_max_depth(lua_State* L) {
  take_arguments(L, 1);
  integer_option(L, 1, settings_of(L).decode_max_depth, 1, std::numeric_limits<int>::max());
  return 1;
}

int json_encode_number_precision(lua_State* L) {
  take_arguments(L, 1);
  integer_option(L, 1, settings_of(L).number_precision, 1, 14);
  return 1;
}

/// No buffer is kept; the setting is there for scripts that set it.
int json_encode_keep_buffer(lua_State* L) {
  take_arguments(L, 1);
  switch_option(L, 1, settings_of(L).keep_buffer, switch_names);
  return 1;
}

int json_encode_invalid_numbers(lua_State* L) {
  take_arguments(L, 1);
  switch_option(L, 1, settings_of(L).encode_invalid_numbers, number_names);
  return 1;
}

int json_decode_invalid_numbers(lua_State* L) {
  take_arguments(L, 1);
  switch_option(L, 1, settings_of(L).decode_invalid_numbers, switch_names);
  return 1;
}

int json_new(lua_State* L) {
  lua_newtable(L);
  add_json_functions(L);
  return 1;
}

}  // namespace

void add_json_functions(lua_State* L) {
  static const luaL_Reg functions[] = {{"encode", json_encode},
                                       {"decode", json_decode},
                                       {"encode_sparse_array", json_encode_sparse_array},
                                       {"encode_max_depth", json_encode_max_depth},
                                       {"decode_max_depth", json_decode_max_depth},
                                       {"encode_number_precision", json_encode_number_precision},
                                       {"encode_keep_buffer", json_encode_keep_buffer},
                                       {"encode_invalid_numbers", json_encode_invalid_numbers},
                                       {"decode_invalid_numbers", json_decode_invalid_numbers},
                                       {"new", json_new}};
  new (lua_newuserdata(L, sizeof(Settings))) Settings;
  for (const luaL_Reg& function : functions) {
    lua_pushvalue(L, -1);
    lua_pushcclosure(L, function.func, 1);
    lua_setfield(L, -3, function.name);
  }
  lua_pop(L, 1);
  lua_pushlightuserdata(L, nullptr);
  lua_setfield(L, -2, "null");
  lua_pushliteral(L, "cjson");
  lua_setfield(L, -2, "_NAME");
  lua_pushliteral(L, "2.1.0");
  lua_setfield(L, -2, "_VERSION");
}

}  // namespace pinfold::script
