// The libraries `math` and `coroutine`: Lua's, but for random numbers and for the nesting and the work of coroutines.

#include <cmath>
#include <limits>

#include "pinfold/script/state.hpp"

namespace pinfold::script {

namespace {

/// The next number of lrand48 (Redis has a generator of its own for scripts that gives the same).
std::uint32_t next_random(State& state) {
  state.random = (state.random * 0x5deece66d + 0xb) & ((std::uint64_t{1} << 48) - 1);
  return static_cast<std::uint32_t>(state.random >> 17);
}

int math_random(lua_State* L) {
  constexpr std::uint32_t largest = 0x7fffffff;
  const double real = static_cast<double>(next_random(State::of(L)) % largest) / largest;
  switch (lua_gettop(L)) {
    case 0:
      lua_pushnumber(L, real);
      return 1;
    case 1: {
      const int upper = check_int(L, 1);
      luaL_argcheck(L, 1 <= upper, 1, "interval is empty");
      lua_pushnumber(L, std::floor(real * upper) + 1);
      return 1;
    }
    case 2: {
      const int lower = check_int(L, 1);
      const int upper = check_int(L, 2);
      luaL_argcheck(L, lower <= upper, 2, "interval is empty");
      lua_pushnumber(L, std::floor(real * (static_cast<double>(upper) - lower + 1)) + lower);
      return 1;
    }
    default:
      fail_here(L, "wrong number of arguments");
  }
}

int math_randomseed(lua_State* L) {
  const int seed = check_int(L, 1);
  State::of(L).random = (std::uint64_t{static_cast<std::uint32_t>(seed)} << 16) | 0x330e;
  return 0;
}

/// The thread at `index`, or the argument's error.
lua_State* check_coroutine(lua_State* L, int index) {
  lua_State* co = lua_tothread(L, index);
  luaL_argcheck(L, co != nullptr, index, "coroutine expected");
  return co;
}

enum class Status { running, suspended, normal, dead };

Status status_of(lua_State* L, lua_State* co) {
  if (L == co) return Status::running;
  switch (lua_status(co)) {
    case LUA_YIELD:
      return Status::suspended;
    case 0: {
      lua_Debug at;
      if (lua_getstack(co, 0, &at) > 0) return Status::normal;
      return lua_gettop(co) == 0 ? Status::dead : Status::suspended;
    }
    default:
      return Status::dead;
  }
}

const char* name_of(Status status) {
  static const char* const names[] = {"running", "suspended", "normal", "dead"};
  return names[static_cast<int>(status)];
}

int coroutine_status(lua_State* L) {
  lua_pushstring(L, name_of(status_of(L, check_coroutine(L, 1))));
  return 1;
}

/// Runs `co` with the topmost `given` values. Returns the number of results that were pushed, or -1 after an error that was pushed.
int resume(lua_State* L, lua_State* co, int given) {
  State& state = State::of(L);
  // Instructions are counted for each coroutine alone, so many short ones could go on for long without a question to the host.
  state.poll(L);
  const Status status = status_of(L, co);
  bool has_room = false;
  {
    // Nothing runs in `co` yet that would catch its error: Lua would end the process.
    const State::Unlimited unlimited(state);
    has_room = lua_checkstack(co, given) != 0;
  }
  if (!has_room) fail_here(L, "too many arguments to resume");
  if (status != Status::suspended) {
    lua_pushfstring(L, "cannot resume %s coroutine", name_of(status));
    return -1;
  }
  // Lua counts nested calls for each coroutine alone, too (CVE-2021-43519).
  if (state.stack_used() > State::stack_for_coroutines) {
    lua_pushliteral(L, "C stack overflow");
    return -1;
  }
  lua_xmove(L, co, given);
  state.current = co;
  state.refresh_hook(co);
  const int ended = lua_resume(co, given);
  state.current = L;
  state.refresh_hook(L);
  if (state.ending()) state.end_again(L);
  if (ended != 0 && ended != LUA_YIELD) {
    lua_xmove(co, L, 1);
    return -1;
  }
  const int results = lua_gettop(co);
  if (lua_checkstack(L, results + 1) == 0) fail_here(L, "too many results to resume");
  lua_xmove(co, L, results);
  return results;
}

int coroutine_resume(lua_State* L) {
  lua_State* co = check_coroutine(L, 1);
  const int results = resume(L, co, lua_gettop(L) - 1);
  lua_pushboolean(L, results >= 0 ? 1 : 0);
  const int returned = (results < 0 ? 1 : results) + 1;
  lua_insert(L, -returned);
  return returned;
}

int coroutine_create(lua_State* L) {
  luaL_argcheck(L, lua_isfunction(L, 1) && !lua_iscfunction(L, 1), 1, "Lua function expected");
  State::of(L).charge(L, 64);
  lua_State* co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  return 1;
}

int resume_wrapped(lua_State* L) {
  lua_State* co = lua_tothread(L, lua_upvalueindex(1));
  const int results = resume(L, co, lua_gettop(L));
  if (results >= 0) return results;
  if (lua_isstring(L, -1) != 0) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

int coroutine_wrap(lua_State* L) {
  coroutine_create(L);
  lua_pushcclosure(L, resume_wrapped, 1);
  return 1;
}

int coroutine_running(lua_State* L) {
  if (lua_pushthread(L) != 0) lua_pushnil(L);
  return 1;
}

int coroutine_yield(lua_State* L) { return lua_yield(L, lua_gettop(L)); }

}  // namespace

void add_math_functions(lua_State* L) {
  lua_getglobal(L, "math");
  lua_pushnil(L);
  while (lua_next(L, -2) != 0) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -5);
  }
  lua_pop(L, 1);
  static const luaL_Reg functions[] = {{"random", math_random}, {"randomseed", math_randomseed}, {nullptr, nullptr}};
  add_functions(L, functions);
}

void add_coroutine_functions(lua_State* L) {
  static const luaL_Reg functions[] = {{"create", coroutine_create},
                                       {"resume", coroutine_resume},
                                       {"running", coroutine_running},
                                       {"status", coroutine_status},
                                       {"wrap", coroutine_wrap},
                                       {"yield", coroutine_yield},
                                       {nullptr, nullptr}};
  add_functions(L, functions);
}

}  // namespace pinfold::script
