// The library `table`, as Lua's, with questions to the host in what takes long.

#include "pinfold/script/state.hpp"

namespace pinfold::script {

namespace {

int check_length(lua_State* L, int index) {
  luaL_checktype(L, index, LUA_TTABLE);
  return static_cast<int>(lua_objlen(L, index));
}

int table_foreach(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  push_real(L, 1);
  const int table = lua_gettop(L);
  State::of(L).charge_walk(L);
  lua_pushnil(L);
  while (lua_next(L, table) != 0) {
    State::of(L).charge(L, 4);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -3);
    lua_pushvalue(L, -3);
    lua_call(L, 2, 1);
    if (!lua_isnil(L, -1)) return 1;
    lua_pop(L, 2);
  }
  return 0;
}

int table_foreachi(lua_State* L) {
  const int length = check_length(L, 1);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  for (int i = 1; i <= length; ++i) {
    State::of(L).charge(L, 4);
    lua_pushvalue(L, 2);
    lua_pushinteger(L, i);
    lua_rawgeti(L, 1, i);
    lua_call(L, 2, 1);
    if (!lua_isnil(L, -1)) return 1;
    lua_pop(L, 1);
  }
  return 0;
}

int table_maxn(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Number largest = 0;
  State::of(L).charge_walk(L);
  lua_pushnil(L);
  while (lua_next(L, 1) != 0) {
    State::of(L).charge(L, 1);
    lua_pop(L, 1);
    if (lua_type(L, -1) == LUA_TNUMBER && lua_tonumber(L, -1) > largest) largest = lua_tonumber(L, -1);
  }
  lua_pushnumber(L, largest);
  return 1;
}

int table_getn(lua_State* L) {
  lua_pushinteger(L, check_length(L, 1));
  return 1;
}

int table_setn(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  fail_here(L, "'setn' is obsolete");
}

int table_insert(lua_State* L) {
  const std::int64_t end = std::int64_t{check_length(L, 1)} + 1;
  if (lua_gettop(L) <= 3) refuse_protected(L, 1);
  std::int64_t position = end;
  switch (lua_gettop(L)) {
    case 2:
      break;
    case 3: {
      position = check_int(L, 2);
      for (std::int64_t i = position > end ? position : end; i > position; --i) {
        State::of(L).charge(L, 1);
        lua_rawgeti(L, 1, static_cast<int>(i - 1));
        lua_rawseti(L, 1, static_cast<int>(i));
      }
      break;
    }
    default:
      fail_here(L, "wrong number of arguments to 'insert'");
  }
  lua_rawseti(L, 1, static_cast<int>(position));
  return 0;
}

int table_remove(lua_State* L) {
  const int end = check_length(L, 1);
  int position = optional_int(L, 2, end);
  if (position < 1 || position > end) return 0;
  lua_rawgeti(L, 1, position);
  for (; position < end; ++position) {
    State::of(L).charge(L, 1);
    lua_rawgeti(L, 1, position + 1);
    lua_rawseti(L, 1, position);
  }
  lua_pushnil(L);
  lua_rawseti(L, 1, end);
  return 1;
}

int table_concat(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  std::size_t separator_size = 0;
  const char* separator_data = luaL_optlstring(L, 2, "", &separator_size);
  const std::string_view separator(separator_data, separator_size);
  const std::int64_t from = optional_int(L, 3, 1);
  const std::int64_t to = lua_isnoneornil(L, 4) ? check_length(L, 1) : check_int(L, 4);
  State& state = State::of(L);
  Buffer buffer(L);
  for (std::int64_t i = from; i <= to; ++i) {
    lua_rawgeti(L, 1, static_cast<int>(i));
    if (lua_isstring(L, -1) == 0) {
      fail_here(L, "invalid value (%s) at index %d in table for 'concat'", luaL_typename(L, -1), static_cast<int>(i));
    }
    const std::string_view text = text_at(L, -1);
    state.charge_bytes(L, text.size() + separator.size());
    buffer.add(text);
    lua_pop(L, 1);
    if (i != to) buffer.add(separator);
  }
  buffer.push();
  return 1;
}

/// Sorts the elements of the table at index 1 by quicksort (Sedgewick), in the order of comparisons of Lua's own sort, so that a function
/// that compares sees the same pairs as in Redis. The function, or nil, is at index 2.
class Sorter {
 public:
  explicit Sorter(lua_State* L) : L_(L), state_(State::of(L)) {}

  void sort(int lower, int upper) {
    while (lower < upper) {
      order(lower, upper);
      if (upper - lower == 1) return;
      const int middle = lower + (upper - lower) / 2;
      push(middle);
      push(lower);
      if (less(-2, -1)) {
        set(middle, lower);
      } else {
        lua_pop(L_, 1);
        push(upper);
        if (less(-1, -2)) {
          set(middle, upper);
        } else {
          lua_pop(L_, 2);
        }
      }
      if (upper - lower == 2) return;
      push(middle);
      lua_pushvalue(L_, -1);
      push(upper - 1);
      set(middle, upper - 1);
      // The pivot is on the stack, and at upper - 1.
      int i = lower;
      int j = upper - 1;
      for (;;) {
        push(++i);
        while (less(-1, -2)) {
          if (i > upper) fail_here(L_, "invalid order function for sorting");
          lua_pop(L_, 1);
          push(++i);
        }
        push(--j);
        while (less(-3, -1)) {
          if (j < lower) fail_here(L_, "invalid order function for sorting");
          lua_pop(L_, 1);
          push(--j);
        }
        if (j < i) {
          lua_pop(L_, 3);
          break;
        }
        set(i, j);
      }
      push(upper - 1);
      push(i);
      set(upper - 1, i);
      // The smaller part by a call, so that calls are nested at most 32 deep, and the larger one in this loop.
      int from = 0;
      int to = 0;
      if (i - lower < upper - i) {
        from = lower;
        to = i - 1;
        lower = i + 1;
      } else {
        from = i + 1;
        to = upper;
        upper = i - 1;
      }
      sort(from, to);
    }
  }

 private:
  void push(int index) { lua_rawgeti(L_, 1, index); }
  /// Sets the element at `i` to the value on top of the stack, and that at `j` to the value below.
  void set(int i, int j) {
    lua_rawseti(L_, 1, i);
    lua_rawseti(L_, 1, j);
  }
  void order(int lower, int upper) {
    push(lower);
    push(upper);
    if (less(-1, -2)) {
      set(lower, upper);
    } else {
      lua_pop(L_, 2);
    }
  }
  bool less(int a, int b) {
    state_.charge(L_, 4);
    if (lua_isnil(L_, 2)) {
      if (lua_type(L_, a) == LUA_TSTRING) state_.charge_bytes(L_, lua_objlen(L_, a));
      return lua_lessthan(L_, a, b) != 0;
    }
    lua_pushvalue(L_, 2);
    lua_pushvalue(L_, a - 1);
    lua_pushvalue(L_, b - 2);
    lua_call(L_, 2, 1);
    const bool result = lua_toboolean(L_, -1) != 0;
    lua_pop(L_, 1);
    return result;
  }

  lua_State* L_;
  State& state_;
};

int table_sort(lua_State* L) {
  const int length = check_length(L, 1);
  luaL_checkstack(L, 200, "");
  if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  Sorter(L).sort(1, length);
  return 0;
}

}  // namespace

void add_table_functions(lua_State* L) {
  static const luaL_Reg functions[] = {
      {"concat", table_concat}, {"foreach", table_foreach}, {"foreachi", table_foreachi}, {"getn", table_getn}, {"insert", table_insert},
      {"maxn", table_maxn},     {"remove", table_remove},   {"setn", table_setn},         {"sort", table_sort}, {nullptr, nullptr}};
  add_functions(L, functions);
}

}  // namespace pinfold::script
