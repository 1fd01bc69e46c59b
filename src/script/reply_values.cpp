// Values of the protocol to and from values of Lua, in Redis' forms.

#include <charconv>
#include <cstdlib>
#include <limits>
#include <vector>

#include "pinfold/script/state.hpp"

namespace pinfold::script {

namespace {

/// Reads a reply that comes in pieces.
class Reader {
 public:
  explicit Reader(std::span<const std::string_view> pieces) : pieces_(pieces) { skip_empty(); }

  /// The bytes up to the next line break, which is skipped. Valid until the next call.
  std::string_view line() {
    const std::size_t end = front_.find('\r');
    if (end != std::string_view::npos && end + 1 < front_.size()) [[likely]] {
      const std::string_view found = front_.substr(0, end);
      take(end + 2);
      return found;
    }
    line_.clear();
    for (char c = next(); c != '\r' && !ended_; c = next()) line_ += c;
    next();
    return line_;
  }
  char next() {
    if (front_.empty()) {
      ended_ = true;
      return 0;
    }
    const char c = front_.front();
    take(1);
    return c;
  }
  /// Pushes the next `size` bytes as a string.
  void push(lua_State* L, std::size_t size) {
    State::of(L).charge_bytes(L, size);
    if (size <= front_.size()) [[likely]] {
      lua_pushlstring(L, front_.data(), size);
      take(size);
      return;
    }
    Buffer buffer(L);
    while (size > 0 && !front_.empty()) {
      const std::string_view part = front_.substr(0, size);
      buffer.add(part);
      size -= part.size();
      take(part.size());
    }
    buffer.push();
  }
  void skip_line_break() {
    next();
    next();
  }

 private:
  void take(std::size_t size) {
    front_.remove_prefix(size);
    if (front_.empty()) skip_empty();
  }
  void skip_empty() {
    while (front_.empty() && !pieces_.empty()) {
      front_ = pieces_.front();
      pieces_ = pieces_.subspan(1);
    }
  }

  std::span<const std::string_view> pieces_;
  std::string_view front_;
  std::string line_;
  bool ended_ = false;
};

std::int64_t to_integer(std::string_view text) {
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// Puts the value on top of the stack into a table with one field, as Redis marks values of RESP3.
void wrap(lua_State* L, const char* field) {
  lua_createtable(L, 0, 1);
  lua_insert(L, -2);
  lua_setfield(L, -2, field);
}

void push_value(lua_State* L, Reader& reader, int depth) {
  // What the server replies is not nested deeper.
  if (depth > 128 || lua_checkstack(L, 8) == 0) fail(L, "reached lua stack limit");
  State::of(L).charge(L, 1);
  const char type = reader.next();
  switch (type) {
    case ':':
      lua_pushnumber(L, static_cast<lua_Number>(to_integer(reader.line())));
      return;
    case '+':
      push_text(L, reader.line());
      wrap(L, "ok");
      return;
    case '-':
      lua_createtable(L, 0, 2);
      push_text(L, reader.line());
      lua_setfield(L, -2, "err");
      // The command that failed has counted it.
      lua_pushboolean(L, 1);
      lua_setfield(L, -2, "ignore_error_stats_update");
      return;
    case '$': {
      const std::int64_t size = to_integer(reader.line());
      if (size < 0) {
        lua_pushboolean(L, 0);
        return;
      }
      reader.push(L, static_cast<std::size_t>(size));
      reader.skip_line_break();
      return;
    }
    case '*':
    case '>': {
      const std::int64_t size = to_integer(reader.line());
      if (size < 0) {
        lua_pushboolean(L, 0);
        return;
      }
      lua_createtable(L, static_cast<int>(size), 0);
      for (int i = 1; i <= size; ++i) {
        push_value(L, reader, depth + 1);
        lua_rawseti(L, -2, i);
      }
      return;
    }
    case '%': {
      const std::int64_t size = to_integer(reader.line());
      lua_createtable(L, 0, static_cast<int>(size));
      for (std::int64_t i = 0; i < size; ++i) {
        push_value(L, reader, depth + 1);
        push_value(L, reader, depth + 1);
        lua_rawset(L, -3);
      }
      wrap(L, "map");
      return;
    }
    case '~': {
      const std::int64_t size = to_integer(reader.line());
      lua_createtable(L, 0, static_cast<int>(size));
      for (std::int64_t i = 0; i < size; ++i) {
        push_value(L, reader, depth + 1);
        lua_pushboolean(L, 1);
        lua_rawset(L, -3);
      }
      wrap(L, "set");
      return;
    }
    case '_':
      reader.line();
      lua_pushnil(L);
      return;
    case '#':
      lua_pushboolean(L, reader.line() == "t" ? 1 : 0);
      return;
    case ',':
      lua_pushnumber(L, std::strtod(std::string(reader.line()).c_str(), nullptr));
      wrap(L, "double");
      return;
    case '(':
      push_text(L, reader.line());
      wrap(L, "big_number");
      return;
    case '=': {
      const std::int64_t size = to_integer(reader.line());
      lua_createtable(L, 0, 2);
      reader.push(L, 3);
      lua_setfield(L, -2, "format");
      reader.next();
      reader.push(L, static_cast<std::size_t>(size > 4 ? size - 4 : 0));
      lua_setfield(L, -2, "string");
      reader.skip_line_break();
      wrap(L, "verbatim_string");
      return;
    }
    case '|': {
      const std::int64_t size = to_integer(reader.line());
      for (std::int64_t i = 0; i < 2 * size; ++i) {
        push_value(L, reader, depth + 1);
        lua_pop(L, 1);
      }
      push_value(L, reader, depth + 1);
      return;
    }
    default:
      // The server's replies have no other types.
      lua_pushnil(L);
      return;
  }
}

/// Gives a value to a sink. Tables may be nested as deep as Lua's stack is, so no function calls itself: what is under way is in a list.
class Giver {
 public:
  Giver(lua_State* L, Sink& sink, int resp) : L_(L), state_(State::of(L)), sink_(sink), resp_(resp) {}

  void run() {
    value();
    while (!under_way_.empty()) proceed();
  }

 private:
  enum class Kind : std::uint8_t { array, map_key, map_value, set };
  struct Level {
    Kind kind;
    int next = 1;
    std::size_t size = 0;
  };

  void ask(std::size_t bytes) {
    state_.charge_bytes(L_, bytes);
    if (!sink_.takes(bytes + 32)) state_.refuse_reply(L_);
  }

  /// Goes on with the innermost table. What is on the stack for an array is the table; for maps and sets, the table around, the one with
  /// the elements, and the last key; for a map whose key was given, the value.
  void proceed() {
    Level& level = under_way_.back();
    switch (level.kind) {
      case Kind::array:
        if (static_cast<std::size_t>(level.next) > level.size) break;
        lua_rawgeti(L_, -1, level.next++);
        value();
        return;
      case Kind::map_key:
        if (lua_next(L_, -2) == 0) {
          lua_pop(L_, 1);
          break;
        }
        lua_pushvalue(L_, -2);
        level.kind = Kind::map_value;
        value();
        return;
      case Kind::map_value:
        level.kind = Kind::map_key;
        value();
        return;
      case Kind::set:
        if (lua_next(L_, -2) == 0) {
          lua_pop(L_, 1);
          break;
        }
        lua_pop(L_, 1);
        lua_pushvalue(L_, -1);
        value();
        return;
    }
    lua_pop(L_, 1);
    under_way_.pop_back();
  }

  /// Gives the value on top of the stack and pops it, or begins a table.
  void value() {
    if (lua_checkstack(L_, 4) == 0) {
      ask(0);
      sink_.error("ERR reached lua stack limit", false);
      lua_pop(L_, 1);
      return;
    }
    switch (lua_type(L_, -1)) {
      case LUA_TSTRING: {
        const std::string_view text = text_at(L_, -1);
        ask(text.size());
        sink_.bulk(text);
        break;
      }
      case LUA_TBOOLEAN:
        ask(0);
        if (resp_ >= 3) {
          sink_.boolean(lua_toboolean(L_, -1) != 0);
        } else if (lua_toboolean(L_, -1) != 0) {
          sink_.integer(1);
        } else {
          sink_.null();
        }
        break;
      case LUA_TNUMBER:
        ask(0);
        sink_.integer(integer(lua_tonumber(L_, -1)));
        break;
      case LUA_TTABLE:
        if (table()) return;
        break;
      default:
        ask(0);
        sink_.null();
    }
    lua_pop(L_, 1);
  }

  /// The conversion of the processor that Redis runs on, which gives the smallest integer for what does not fit.
  static std::int64_t integer(double value) {
    if (value >= -9223372036854775808.0 && value < 9223372036854775808.0) return static_cast<std::int64_t>(value);
    return std::numeric_limits<std::int64_t>::min();
  }

  /// Pushes the field of the table on top of the stack. If it is of another type, pops it again and returns false.
  bool push_field(const char* name, int type) {
    lua_pushstring(L_, name);
    lua_rawget(L_, -2);
    if (lua_type(L_, -1) == type) return true;
    lua_pop(L_, 1);
    return false;
  }

  /// Gives the table on top of the stack. Returns whether it is under way; if not, all of it was given.
  bool table() {
    if (push_field("err", LUA_TSTRING)) {
      const std::string_view text = text_at(L_, -1);
      ask(text.size());
      lua_pushliteral(L_, "ignore_error_stats_update");
      lua_rawget(L_, -3);
      sink_.error(text, lua_toboolean(L_, -1) != 0);
      lua_pop(L_, 1);
    } else if (push_field("ok", LUA_TSTRING)) {
      const std::string_view text = text_at(L_, -1);
      ask(text.size());
      sink_.status(text);
    } else if (push_field("double", LUA_TNUMBER)) {
      ask(0);
      sink_.real(lua_tonumber(L_, -1));
    } else if (push_field("map", LUA_TTABLE)) {
      begin(Kind::map_key);
      return true;
    } else if (push_field("set", LUA_TTABLE)) {
      begin(Kind::set);
      return true;
    } else if (push_field("big_number", LUA_TSTRING)) {
      const std::string_view text = text_at(L_, -1);
      ask(text.size());
      sink_.big_number(text);
    } else if (push_field("verbatim_string", LUA_TTABLE) && verbatim()) {
    } else {
      std::size_t size = 0;
      for (;; ++size) {
        state_.charge(L_, 1);
        lua_rawgeti(L_, -1, static_cast<int>(size + 1));
        const bool ended = lua_isnil(L_, -1);
        lua_pop(L_, 1);
        if (ended) break;
      }
      ask(size);
      sink_.array(size);
      under_way_.push_back({Kind::array, 1, size});
      return true;
    }
    lua_pop(L_, 1);
    return false;
  }

  /// Begins the map or set on top of the stack.
  void begin(Kind kind) {
    std::size_t size = 0;
    state_.charge_walk(L_);
    lua_pushnil(L_);
    while (lua_next(L_, -2) != 0) {
      state_.charge(L_, 1);
      lua_pop(L_, 1);
      ++size;
    }
    ask(size);
    if (kind == Kind::set) {
      sink_.set(size);
    } else {
      sink_.map(size);
    }
    state_.charge_walk(L_);
    lua_pushnil(L_);
    under_way_.push_back({kind});
  }

  /// Gives the verbatim string whose table is on top of the stack. If it is none, pops the table and returns false.
  bool verbatim() {
    if (push_field("string", LUA_TSTRING)) {
      lua_insert(L_, -2);
      if (push_field("format", LUA_TSTRING)) {
        const std::string_view text = text_at(L_, -3);
        ask(text.size());
        sink_.verbatim(text_at(L_, -1), text);
        lua_pop(L_, 2);
        return true;
      }
      lua_pop(L_, 1);
    }
    lua_pop(L_, 1);
    return false;
  }

  lua_State* L_;
  State& state_;
  Sink& sink_;
  int resp_;
  std::vector<Level> under_way_;
};

}  // namespace

void push_reply(lua_State* L, std::span<const std::string_view> pieces) {
  Reader reader(pieces);
  push_value(L, reader, 0);
}

void give(lua_State* L, Sink& sink, int resp) { Giver(L, sink, resp).run(); }

}  // namespace pinfold::script
