// The library `cmsgpack`: MessagePack with the results and error texts of lua-cmsgpack 0.4.0.

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "pinfold/script/state.hpp"

namespace pinfold::script {

namespace {

class Packer {
 public:
  explicit Packer(lua_State* L) : L_(L), state_(State::of(L)), buffer_(L) {}

  /// Appends the value on top of the stack.
  void value(int depth) {
    state_.charge(L_, 1);
    switch (lua_type(L_, -1)) {
      case LUA_TSTRING:
        text(text_at(L_, -1));
        return;
      case LUA_TBOOLEAN:
        byte(lua_toboolean(L_, -1) != 0 ? 0xc3 : 0xc2);
        return;
      case LUA_TNUMBER:
        number(lua_tonumber(L_, -1));
        return;
      case LUA_TTABLE:
        // What is nested deeper is left out, so that a table in itself is packed, too.
        if (depth == most_nested) {
          byte(0xc0);
        } else {
          table(depth);
        }
        return;
      default:
        byte(0xc0);
    }
  }
  void push() { buffer_.push(); }

 private:
  static constexpr int most_nested = 16;

  void byte(unsigned value) { buffer_.add(static_cast<char>(value)); }
  /// Appends a byte of type and a number in `size` bytes, the highest first.
  void typed(unsigned type, std::uint64_t value, int size) {
    byte(type);
    for (int i = size - 1; i >= 0; --i) byte(static_cast<unsigned char>(value >> (8 * i)));
  }

  void number(double value) {
    if (value >= -9223372036854775808.0 && value < 9223372036854775808.0 && value == std::trunc(value)) {
      integer(static_cast<std::int64_t>(value));
    } else if (static_cast<double>(static_cast<float>(value)) == value) {
      typed(0xca, std::bit_cast<std::uint32_t>(static_cast<float>(value)), 4);
    } else {
      typed(0xcb, std::bit_cast<std::uint64_t>(value), 8);
    }
  }

  void integer(std::int64_t value) {
    const auto bits = static_cast<std::uint64_t>(value);
    if (value >= 0) {
      if (value <= 0x7f) {
        byte(static_cast<unsigned>(value));
      } else if (value <= 0xff) {
        typed(0xcc, bits, 1);
      } else if (value <= 0xffff) {
        typed(0xcd, bits, 2);
      } else if (value <= 0xffffffff) {
        typed(0xce, bits, 4);
      } else {
        typed(0xcf, bits, 8);
      }
    } else if (value >= -32) {
      byte(static_cast<unsigned char>(bits));
    } else if (value >= std::numeric_limits<std::int8_t>::min()) {
      typed(0xd0, bits, 1);
    } else if (value >= std::numeric_limits<std::int16_t>::min()) {
      typed(0xd1, bits, 2);
    } else if (value >= std::numeric_limits<std::int32_t>::min()) {
      typed(0xd2, bits, 4);
    } else {
      typed(0xd3, bits, 8);
    }
  }

  void text(std::string_view bytes) {
    state_.charge_bytes(L_, bytes.size());
    if (bytes.size() < 32) {
      byte(static_cast<unsigned>(0xa0 | bytes.size()));
    } else if (bytes.size() <= 0xff) {
      typed(0xd9, bytes.size(), 1);
    } else if (bytes.size() <= 0xffff) {
      typed(0xda, bytes.size(), 2);
    } else {
      typed(0xdb, bytes.size(), 4);
    }
    buffer_.add(bytes);
  }

  /// Counts the pairs of the table on top of the stack. Returns whether their keys are the numbers from 1 to the count.
  bool count_pairs(std::size_t& count) {
    double largest = 0;
    bool numbers = true;
    count = 0;
    state_.charge_walk(L_);
    lua_pushnil(L_);
    while (lua_next(L_, -2) != 0) {
      state_.charge(L_, 1);
      lua_pop(L_, 1);
      const double key = lua_type(L_, -1) == LUA_TNUMBER ? lua_tonumber(L_, -1) : 0;
      if (key > 0 && key == std::trunc(key)) {
        if (key > largest) largest = key;
      } else {
        numbers = false;
      }
      ++count;
    }
    return numbers && largest == static_cast<double>(count);
  }

  void size(unsigned small_type, unsigned type, std::size_t count) {
    if (count <= 15) {
      byte(small_type | static_cast<unsigned>(count));
    } else if (count <= 0xffff) {
      typed(type, count, 2);
    } else {
      typed(type + 1, count, 4);
    }
  }

  void table(int depth) {
    luaL_checkstack(L_, 4, "in function mp_encode_lua_table");
    std::size_t count = 0;
    if (count_pairs(count)) {
      size(0x90, 0xdc, count);
      for (std::size_t i = 1; i <= count; ++i) {
        lua_rawgeti(L_, -1, static_cast<int>(i));
        value(depth + 1);
        lua_pop(L_, 1);
      }
      return;
    }
    size(0x80, 0xde, count);
    state_.charge_walk(L_);
    lua_pushnil(L_);
    while (lua_next(L_, -2) != 0) {
      lua_pushvalue(L_, -2);
      value(depth + 1);
      lua_pop(L_, 1);
      value(depth + 1);
      lua_pop(L_, 1);
    }
  }

  lua_State* L_;
  State& state_;
  Buffer buffer_;
};

class Unpacker {
 public:
  Unpacker(lua_State* L, std::string_view bytes) : L_(L), state_(State::of(L)), rest_(bytes) {}

  std::size_t left() const { return rest_.size(); }

  /// Pushes the next value. Memory is taken as elements come, whatever number of them is announced (CVE-2022-24834).
  void value(int depth) {
    state_.charge(L_, 1);
    const unsigned type = static_cast<unsigned char>(take(1).front());
    if (type <= 0x7f) {
      lua_pushnumber(L_, type);
    } else if (type >= 0xe0) {
      lua_pushnumber(L_, static_cast<std::int8_t>(type));
    } else if (type <= 0x8f) {
      map(type & 0x0f, depth);
    } else if (type <= 0x9f) {
      array(type & 0x0f, depth);
    } else if (type <= 0xbf) {
      text(type & 0x1f);
    } else {
      typed(type, depth);
    }
  }

 private:
  /// Values may be nested no deeper: each level is a few calls of C++.
  static constexpr int deepest = 2000;

  std::string_view take(std::size_t size) {
    if (size > rest_.size()) fail_here(L_, "Missing bytes in input.");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  std::uint64_t unsigned_number(std::size_t size) {
    std::uint64_t value = 0;
    for (const char c : take(size)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }

  void typed(unsigned type, int depth) {
    switch (type) {
      case 0xc0:
        lua_pushnil(L_);
        return;
      case 0xc2:
      case 0xc3:
        lua_pushboolean(L_, type == 0xc3 ? 1 : 0);
        return;
      case 0xca:
        lua_pushnumber(L_, std::bit_cast<float>(static_cast<std::uint32_t>(unsigned_number(4))));
        return;
      case 0xcb:
        lua_pushnumber(L_, std::bit_cast<double>(unsigned_number(8)));
        return;
      case 0xcc:
      case 0xcd:
      case 0xce:
      case 0xcf:
        // As a number with a sign also when it has 8 bytes.
        lua_pushnumber(L_, static_cast<double>(static_cast<std::int64_t>(unsigned_number(std::size_t{1} << (type - 0xcc)))));
        return;
      case 0xd0:
        lua_pushnumber(L_, static_cast<std::int8_t>(unsigned_number(1)));
        return;
      case 0xd1:
        lua_pushnumber(L_, static_cast<std::int16_t>(unsigned_number(2)));
        return;
      case 0xd2:
        lua_pushnumber(L_, static_cast<std::int32_t>(unsigned_number(4)));
        return;
      case 0xd3:
        lua_pushnumber(L_, static_cast<double>(static_cast<std::int64_t>(unsigned_number(8))));
        return;
      case 0xd9:
      case 0xda:
      case 0xdb:
        text(unsigned_number(std::size_t{1} << (type - 0xd9)));
        return;
      case 0xdc:
      case 0xdd:
        array(unsigned_number(type == 0xdc ? 2 : 4), depth);
        return;
      case 0xde:
      case 0xdf:
        map(unsigned_number(type == 0xde ? 2 : 4), depth);
        return;
      default:
        fail_here(L_, "Bad data format in input.");
    }
  }

  void text(std::size_t size) {
    const std::string_view bytes = take(size);
    state_.charge_bytes(L_, size);
    push_text(L_, bytes);
  }

  void check_depth(int depth, const char* text) {
    if (depth >= deepest || lua_checkstack(L_, 4) == 0) fail_here(L_, "stack overflow (%s)", text);
  }

  void array(std::uint64_t count, int depth) {
    check_depth(depth, "in function mp_decode_to_lua_array");
    lua_newtable(L_);
    for (std::uint64_t i = 1; i <= count; ++i) {
      value(depth + 1);
      lua_rawseti(L_, -2, static_cast<int>(i));
    }
  }

  void map(std::uint64_t count, int depth) {
    check_depth(depth, "in function mp_decode_to_lua_hash");
    lua_newtable(L_);
    for (std::uint64_t i = 0; i < count; ++i) {
      value(depth + 1);
      value(depth + 1);
      lua_rawset(L_, -3);
    }
  }

  lua_State* L_;
  State& state_;
  std::string_view rest_;
};

int pack(lua_State* L) {
  const int count = lua_gettop(L);
  if (count == 0) return luaL_argerror(L, 0, "MessagePack pack needs input.");
  if (lua_checkstack(L, count) == 0) return luaL_argerror(L, 0, "Too many arguments for MessagePack pack.");
  Packer packer(L);
  for (int i = 1; i <= count; ++i) {
    lua_pushvalue(L, i);
    packer.value(0);
    lua_pop(L, 1);
  }
  packer.push();
  return 1;
}

/// Pushes up to `limit` values that begin at `offset`, all of them if both are 0. If not, before them the offset of the next value, or -1
/// at the end.
int unpack(lua_State* L, int limit, int offset) {
  const std::string_view bytes = check_text(L, 1);
  const auto size = static_cast<int>(bytes.size());
  if (offset < 0 || limit < 0) fail_here(L, "Invalid request to unpack with offset of %d and limit of %d.", offset, size);
  if (static_cast<std::size_t>(offset) > bytes.size()) fail_here(L, "Start offset %d greater than input length %d.", offset, size);
  const bool all = limit == 0 && offset == 0;
  if (all) limit = std::numeric_limits<int>::max();
  lua_settop(L, 1);
  Unpacker unpacker(L, bytes.substr(static_cast<std::size_t>(offset)));
  int count = 0;
  for (; unpacker.left() > 0 && count < limit; ++count) {
    luaL_checkstack(L, 2, "too many return values at once; use unpack_one or unpack_limit instead.");
    unpacker.value(0);
  }
  if (all) return count;
  luaL_checkstack(L, 1, "too many return values at once; use unpack_one or unpack_limit instead.");
  lua_pushinteger(L, unpacker.left() == 0 ? -1 : static_cast<lua_Integer>(bytes.size() - unpacker.left()));
  lua_insert(L, 2);
  return count + 1;
}

int unpack_all(lua_State* L) { return unpack(L, 0, 0); }
int unpack_one(lua_State* L) { return unpack(L, 1, optional_int(L, 2, 0)); }
int unpack_limit(lua_State* L) {
  const int limit = check_int(L, 2);
  return unpack(L, limit, optional_int(L, 3, 0));
}

}  // namespace

void add_message_pack_functions(lua_State* L) {
  static const luaL_Reg functions[] = {
      {"pack", pack}, {"unpack", unpack_all}, {"unpack_one", unpack_one}, {"unpack_limit", unpack_limit}, {nullptr, nullptr}};
  add_functions(L, functions);
  // As lua-cmsgpack says of itself; scripts may ask.
  lua_pushliteral(L, "cmsgpack");
  lua_setfield(L, -2, "_NAME");
  lua_pushliteral(L, "lua-cmsgpack 0.4.0");
  lua_setfield(L, -2, "_VERSION");
  lua_pushliteral(L, "Pinfold");
  lua_setfield(L, -2, "_COPYRIGHT");
  lua_pushliteral(L, "MessagePack for Lua");
  lua_setfield(L, -2, "_DESCRIPTION");
}

}  // namespace pinfold::script
