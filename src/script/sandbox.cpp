// The globals of scripts: what they are made of, and why they cannot be changed.
//
// Redis has a Lua of its own in which a table can be made read-only. Here scripts see an empty table in the place of each such table, with
// a metatable that reads from the real one and refuses to write. The functions that would notice the difference (next, pairs, rawget,
// rawset, getmetatable, setmetatable, and those of `table`) know such tables. No script ever gets hold of a real one.

#include <cstdlib>
#include <utility>

#include "pinfold/script/state.hpp"

namespace pinfold::script {

namespace {

/// In the metatable of a protected table: the real table.
const char real_key = 0;
/// As before: what getmetatable answers, nothing for nil.
const char visible_key = 0;

void* key_of(const char& key) { return const_cast<char*>(&key); }

constexpr const char* readonly_text = "Attempt to modify a readonly table";

int refuse_write(lua_State* L) { fail_here(L, "%s", readonly_text); }

int refuse_unknown_global(lua_State* L) {
  // As in Redis, the name is read up to a zero byte.
  const char* name = lua_tostring(L, 2);
  fail_here(L, "Script attempted to access nonexistent global variable '%s'", name != nullptr ? name : "(null)");
}

/// Pushes a field of the metatable of the protected table at `index`, or returns false.
bool push_protection(lua_State* L, int index, const char& key) {
  if (lua_type(L, index) != LUA_TTABLE || lua_getmetatable(L, index) == 0) return false;
  lua_pushlightuserdata(L, key_of(real_key));
  lua_rawget(L, -2);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 2);
    return false;
  }
  if (&key != &real_key) {
    lua_pop(L, 1);
    lua_pushlightuserdata(L, key_of(key));
    lua_rawget(L, -2);
  }
  lua_remove(L, -2);
  return true;
}

int base_next(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  if (push_protection(L, 1, real_key)) lua_replace(L, 1);
  if (lua_next(L, 1) != 0) return 2;
  lua_pushnil(L);
  return 1;
}

int base_pairs(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lua_pushnil(L);
  return 3;
}

int base_rawget(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checkany(L, 2);
  lua_settop(L, 2);
  if (push_protection(L, 1, real_key)) lua_replace(L, 1);
  lua_rawget(L, 1);
  return 1;
}

int base_rawset(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checkany(L, 2);
  luaL_checkany(L, 3);
  lua_settop(L, 3);
  refuse_protected(L, 1);
  lua_rawset(L, 1);
  return 1;
}

int base_getmetatable(lua_State* L) {
  luaL_checkany(L, 1);
  if (push_protection(L, 1, visible_key)) return 1;
  if (lua_getmetatable(L, 1) == 0) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushliteral(L, "__metatable");
  lua_rawget(L, -2);
  if (!lua_isnil(L, -1)) return 1;
  lua_pop(L, 1);
  // The metatable may be one that scripts see another table for.
  lua_rawgeti(L, LUA_REGISTRYINDEX, State::of(L).protected_of);
  lua_pushvalue(L, -2);
  lua_rawget(L, -2);
  if (lua_isnil(L, -1)) lua_pop(L, 2);
  return 1;
}

int base_setmetatable(lua_State* L) {
  const int type = lua_type(L, 2);
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_argcheck(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table expected");
  if (luaL_getmetafield(L, 1, "__metatable") != 0) fail_here(L, "cannot change a protected metatable");
  refuse_protected(L, 1);
  lua_settop(L, 2);
  if (push_protection(L, 2, real_key)) lua_replace(L, 2);
  lua_setmetatable(L, 1);
  return 1;
}

/// As Redis' pcall: an error that is a table is caught as the text of its field `err`.
int base_pcall(lua_State* L) {
  State& state = State::of(L);
  lua_pushboolean(L, 1);
  lua_insert(L, 1);
  if (lua_gettop(L) < 2) {
    // Nothing to call: an error of this function, which is caught, too.
    lua_settop(L, 0);
    lua_pushboolean(L, 0);
    lua_pushliteral(L, "attempt to call a boolean value");
    return 2;
  }
  state.charge(L, 1);
  if (lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0) == 0) return lua_gettop(L);
  if (state.ending()) state.end_again(L);
  lua_pushboolean(L, 0);
  lua_replace(L, 1);
  if (lua_istable(L, -1)) {
    lua_getfield(L, -1, "err");
    if (lua_isstring(L, -1) != 0) lua_replace(L, -2);
  }
  return lua_gettop(L);
}

int base_xpcall(lua_State* L) {
  State& state = State::of(L);
  luaL_checkany(L, 2);
  lua_settop(L, 2);
  lua_insert(L, 1);
  state.charge(L, 1);
  const int status = lua_pcall(L, 0, LUA_MULTRET, 1);
  if (state.ending()) state.end_again(L);
  lua_pushboolean(L, status == 0 ? 1 : 0);
  lua_replace(L, 1);
  return lua_gettop(L);
}

int base_unpack(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  const std::int64_t from = optional_int(L, 2, 1);
  const std::int64_t to = lua_isnoneornil(L, 3) ? static_cast<std::int64_t>(lua_objlen(L, 1)) : check_int(L, 3);
  if (from > to) return 0;
  // In 64 bits: the number of values does not fit into an int (CVE-2025-46817).
  const std::int64_t count = to - from + 1;
  if (count >= LUAI_MAXCSTACK || lua_checkstack(L, static_cast<int>(count)) == 0) fail_here(L, "too many results to unpack");
  State::of(L).charge(L, static_cast<std::size_t>(count));
  for (std::int64_t i = from; i <= to; ++i) lua_rawgeti(L, 1, static_cast<int>(i));
  return static_cast<int>(count);
}

int base_tonumber(lua_State* L) {
  if (lua_type(L, 1) == LUA_TSTRING) State::of(L).charge(L, 1 + lua_objlen(L, 1));
  const int base = optional_int(L, 2, 10);
  if (base == 10) {
    luaL_checkany(L, 1);
    if (lua_isnumber(L, 1) != 0) {
      lua_pushnumber(L, lua_tonumber(L, 1));
      return 1;
    }
  } else {
    const char* text = luaL_checkstring(L, 1);
    luaL_argcheck(L, 2 <= base && base <= 36, 2, "base out of range");
    char* end = nullptr;
    const unsigned long value = std::strtoul(text, &end, base);
    if (end != text) {
      while (*end == ' ' || (*end >= '\t' && *end <= '\r')) ++end;
      if (*end == '\0') {
        lua_pushnumber(L, static_cast<lua_Number>(value));
        return 1;
      }
    }
  }
  lua_pushnil(L);
  return 1;
}

/// The collector's settings belong to the interpreter, which outlives the script. So a script may ask for a collection, and what else it
/// asks for has no effect.
int base_collectgarbage(lua_State* L) {
  static const char* const options[] = {"stop", "restart", "collect", "count", "step", "setpause", "setstepmul", nullptr};
  enum Option { stop, restart, collect, count, step, set_pause, set_step_multiplier };
  const int option = luaL_checkoption(L, 1, "collect", options);
  const int argument = optional_int(L, 2, 0);
  State& state = State::of(L);
  switch (option) {
    case collect:
      state.collect_all(L);
      lua_pushnumber(L, 0);
      return 1;
    case count:
      lua_pushnumber(L, static_cast<lua_Number>(state.heap()) / 1024);
      return 1;
    case step: {
      bool ended = false;
      for (int i = 0; i <= argument && !ended; ++i) {
        {
          const State::Unlimited unlimited(state);
          ended = lua_gc(L, LUA_GCSTEP, 0) != 0;
        }
        state.charge(L, 64);
      }
      lua_pushboolean(L, ended ? 1 : 0);
      return 1;
    }
    case set_pause:
    case set_step_multiplier:
      lua_pushnumber(L, 200);
      return 1;
    default:
      lua_pushnumber(L, 0);
      return 1;
  }
}

const char* read_chunk(lua_State* L, void* data, std::size_t* size) {
  Chunk& chunk = *static_cast<Chunk*>(data);
  State& state = State::of(L);
  while (chunk.rest.empty()) {
    if (!chunk.from_function) return nullptr;
    luaL_checkstack(L, 2, "too many nested functions");
    state.charge(L, 16);
    lua_pushvalue(L, 1);
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1)) {
      lua_pop(L, 1);
      return nullptr;
    }
    if (lua_isstring(L, -1) == 0) fail_here(L, "reader function must return a string");
    lua_replace(L, 3);
    chunk.rest = text_at(L, 3);
    if (chunk.rest.empty()) return nullptr;
  }
  // Bytecode is not checked by Lua and could do anything. Behind a space, Lua takes it for text and says what it does not like of it.
  if (!chunk.begun && chunk.rest.front() == LUA_SIGNATURE[0]) {
    chunk.begun = true;
    *size = 1;
    return " ";
  }
  chunk.begun = true;
  const std::string_view piece = chunk.rest.substr(0, Chunk::piece);
  state.charge(L, Chunk::steps_per_piece);
  chunk.rest.remove_prefix(piece.size());
  *size = piece.size();
  return piece.data();
}

int load_chunk(lua_State* L, Chunk& chunk, int name) {
  if (load(L, chunk, name) == 0) return 1;
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

int base_loadstring(lua_State* L) {
  Chunk chunk;
  chunk.rest = check_text(L, 1);
  if (lua_isnoneornil(L, 2)) {
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
  }
  luaL_checkstring(L, 2);
  return load_chunk(L, chunk, 2);
}

int base_load(lua_State* L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  if (lua_isnoneornil(L, 2)) {
    lua_settop(L, 1);
    lua_pushliteral(L, "=(load)");
  }
  luaL_checkstring(L, 2);
  lua_settop(L, 3);
  Chunk chunk;
  chunk.from_function = true;
  return load_chunk(L, chunk, 2);
}

/// Makes a table of what an error is: its text, and where it was raised.
int error_handler(lua_State* L) {
  lua_settop(L, 1);
  lua_Debug at;
  bool known = lua_getstack(L, 1, &at) != 0 && lua_getinfo(L, "Sl", &at) != 0;
  if (known && at.what[0] == 'C') known = lua_getstack(L, 2, &at) != 0 && lua_getinfo(L, "Sl", &at) != 0 && at.what[0] != 'C';
  if (!lua_istable(L, 1)) {
    lua_createtable(L, 0, 3);
    lua_pushliteral(L, "ERR ");
    lua_getglobal(L, "tostring");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    lua_concat(L, 2);
    lua_setfield(L, -2, "err");
    lua_replace(L, 1);
  }
  if (known && !is_protected(L, 1)) {
    lua_pushstring(L, at.source);
    lua_setfield(L, 1, "source");
    lua_pushnumber(L, at.currentline);
    lua_setfield(L, 1, "line");
  }
  return 1;
}

/// Makes a metatable through which the global environment reads from the real table below the top of the stack, and refuses unknown names.
void forbid_unknown_globals(lua_State* L) {
  lua_newtable(L);
  lua_pushcfunction(L, refuse_unknown_global);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
}

/// Adds a library, protected, to the table on top of the stack.
void add_library(lua_State* L, const char* name, void (*add)(lua_State*)) {
  lua_newtable(L);
  add(L);
  protect(L);
  lua_setfield(L, -2, name);
}

/// Fills the table on top of the stack with what scripts and functions both have.
void add_shared_globals(lua_State* L) {
  add_base_functions(L);
  add_library(L, "table", add_table_functions);
  add_library(L, "math", add_math_functions);
  add_library(L, "coroutine", add_coroutine_functions);
  add_library(L, "bit", add_bit_functions);
  add_library(L, "cjson", add_json_functions);
  add_library(L, "cmsgpack", add_message_pack_functions);
  add_library(L, "struct", add_struct_functions);
  add_library(L, "string", add_string_functions);
  lua_pushliteral(L, LUA_VERSION);
  lua_setfield(L, -2, "_VERSION");
}

/// Copies the pairs of the table at `from` to the table on top of the stack.
void copy_pairs(lua_State* L, int from) {
  lua_pushnil(L);
  while (lua_next(L, from) != 0) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
}

/// Adds redis and its other name, `server`, to the globals on top of the stack.
void add_redis(lua_State* L, void (*add)(lua_State*)) {
  lua_newtable(L);
  add(L);
  protect(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "redis");
  lua_setfield(L, -2, "server");
}

/// Pushes the environment for the real globals on top of the stack, and adds it to these as _G.
void push_environment(lua_State* L) {
  lua_pushvalue(L, -1);
  protect(L);
  // getmetatable(_G) has a field __index in Redis, as the metatable has that refuses unknown names.
  lua_getmetatable(L, -1);
  lua_pushlightuserdata(L, key_of(visible_key));
  lua_getmetatable(L, -4);
  protect(L);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "_G");
}

}  // namespace

int load(lua_State* L, Chunk& chunk, int name) {
  // The parser makes a string of the name, without what follows a zero byte, and keeps it where the collector does not find it
  // (CVE-2025-49844). Equal strings are one in Lua, so it is enough to have it on the stack meanwhile.
  lua_pushstring(L, lua_tostring(L, name));
  const int status = lua_load(L, read_chunk, &chunk, lua_tostring(L, -1));
  State& state = State::of(L);
  if (state.ending()) state.end_again(L);
  lua_remove(L, -2);
  return status;
}

bool is_protected(lua_State* L, int index) {
  if (!push_protection(L, index, real_key)) return false;
  lua_pop(L, 1);
  return true;
}

void refuse_protected(lua_State* L, int index) {
  if (is_protected(L, index)) fail(L, readonly_text);
}

void push_real(lua_State* L, int index) {
  if (!push_protection(L, index, real_key)) lua_pushvalue(L, index);
}

void protect(lua_State* L) {
  lua_newtable(L);
  lua_createtable(L, 0, 3);
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, refuse_write);
  lua_setfield(L, -2, "__newindex");
  lua_pushlightuserdata(L, key_of(real_key));
  lua_pushvalue(L, -4);
  lua_rawset(L, -3);
  lua_setmetatable(L, -2);
  lua_rawgeti(L, LUA_REGISTRYINDEX, State::of(L).protected_of);
  lua_pushvalue(L, -3);
  lua_pushvalue(L, -3);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  lua_remove(L, -2);
}

void add_functions(lua_State* L, const luaL_Reg* functions) {
  for (; functions->name != nullptr; ++functions) {
    lua_pushcfunction(L, functions->func);
    lua_setfield(L, -2, functions->name);
  }
}

void add_base_functions(lua_State* L) {
  // Those of Lua that take a bounded time and reach nothing outside are as they are.
  for (const char* name : {"assert", "error", "gcinfo", "ipairs", "rawequal", "select", "tostring", "type"}) {
    lua_getglobal(L, name);
    lua_setfield(L, -2, name);
  }
  static const luaL_Reg functions[] = {{"collectgarbage", base_collectgarbage},
                                       {"getmetatable", base_getmetatable},
                                       {"load", base_load},
                                       {"loadstring", base_loadstring},
                                       {"next", base_next},
                                       {"pcall", base_pcall},
                                       {"rawget", base_rawget},
                                       {"rawset", base_rawset},
                                       {"setmetatable", base_setmetatable},
                                       {"tonumber", base_tonumber},
                                       {"unpack", base_unpack},
                                       {"xpcall", base_xpcall},
                                       {nullptr, nullptr}};
  add_functions(L, functions);
  lua_getfield(L, -1, "next");
  lua_pushcclosure(L, base_pairs, 1);
  lua_setfield(L, -2, "pairs");
}

void open_sandbox(lua_State* L) {
  State& state = State::of(L);
  for (const lua_CFunction open : {luaopen_base, luaopen_table, luaopen_string, luaopen_math}) {
    lua_pushcfunction(L, open);
    lua_call(L, 0, 0);
  }
  lua_settop(L, 0);
  lua_newtable(L);
  state.protected_of = luaL_ref(L, LUA_REGISTRYINDEX);

  lua_newtable(L);  // at 1: what scripts and functions both have
  add_shared_globals(L);

  lua_newtable(L);  // at 2: the globals of scripts
  copy_pairs(L, 1);
  add_redis(L, [](lua_State* M) { add_redis_functions(M, false); });
  lua_pushcfunction(L, error_handler);
  lua_pushvalue(L, -1);
  state.error_handler = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_setfield(L, 2, "__redis__err__handler");
  forbid_unknown_globals(L);
  push_environment(L);
  state.script_environment = luaL_ref(L, LUA_REGISTRYINDEX);
  state.globals = luaL_ref(L, LUA_REGISTRYINDEX);

  lua_newtable(L);  // at 2: the globals of functions
  copy_pairs(L, 1);
  add_redis(L, [](lua_State* M) { add_redis_functions(M, true); });
  forbid_unknown_globals(L);
  push_environment(L);
  state.function_environment = luaL_ref(L, LUA_REGISTRYINDEX);
  state.function_globals = luaL_ref(L, LUA_REGISTRYINDEX);

  lua_newtable(L);  // at 2: the globals of a library that is being loaded
  lua_newtable(L);
  add_loading_functions(L);
  forbid_unknown_globals(L);
  protect(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "redis");
  lua_setfield(L, -2, "server");
  forbid_unknown_globals(L);
  state.loading_globals = luaL_ref(L, LUA_REGISTRYINDEX);

  // The metatable of strings, which Lua has made with the real table of functions in it.
  lua_pushliteral(L, "");
  lua_newtable(L);
  lua_getfield(L, 1, "string");
  lua_setfield(L, -2, "__index");
  lua_pushvalue(L, -1);
  protect(L);
  lua_pop(L, 1);
  lua_setmetatable(L, -2);
  lua_settop(L, 0);

  // What functions of Lua were not chosen above are gone.
  lua_rawgeti(L, LUA_REGISTRYINDEX, state.script_environment);
  lua_replace(L, LUA_GLOBALSINDEX);
  lua_pushnil(L);
  lua_setfield(L, LUA_REGISTRYINDEX, "_LOADED");

  // Where a coroutine ends with this error, Lua makes the text while nobody would catch that there is no memory for it. Equal strings are
  // one in Lua, so nothing is made if it is there.
  lua_pushliteral(L, "error in error handling");
  luaL_ref(L, LUA_REGISTRYINDEX);

  // The first reference that is given up makes a field of the registry. State::forget must not allocate.
  lua_newtable(L);
  luaL_unref(L, LUA_REGISTRYINDEX, luaL_ref(L, LUA_REGISTRYINDEX));
}

void show_loading_globals(lua_State* L, bool loading) {
  State& state = State::of(L);
  // Nothing here allocates: the key is one that Lua has itself. So no error is raised, as long as the collector does not run.
  lua_gc(L, LUA_GCSTOP, 0);
  lua_rawgeti(L, LUA_REGISTRYINDEX, state.function_environment);
  lua_getmetatable(L, -1);
  lua_pushliteral(L, "__index");
  lua_rawgeti(L, LUA_REGISTRYINDEX, loading ? state.loading_globals : state.function_globals);
  lua_rawset(L, -3);
  lua_pop(L, 2);
  lua_gc(L, LUA_GCRESTART, 0);
}

}  // namespace pinfold::script
