// The table `redis` of scripts.

#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

#include "pinfold/base/sha1.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/base/version.hpp"
#include "pinfold/script/state.hpp"

namespace pinfold::script {

namespace {

/// Pushes a table with the error that redis.call raises. A text without a code gets Redis' general one.
void push_error(lua_State* L, const char* text) {
  lua_createtable(L, 0, 1);
  lua_pushfstring(L, "ERR %s", text);
  lua_setfield(L, -2, "err");
}

[[noreturn]] void raise(lua_State* L, const char* text) {
  push_error(L, text);
  lua_error(L);
  std::abort();
}

/// The names of the numbers of a command's arguments.
constexpr std::size_t largest_number = 32;

/// Writes a number as Redis gives it to commands: as an integer if it is one and has at most 17 digits, otherwise in 17 digits.
std::string_view write_number(double value, char (&to)[largest_number]) {
  if (std::fabs(value) < 1e17 && value == std::trunc(value) && !(value == 0 && std::signbit(value))) {
    const auto [end, error] = std::to_chars(to, to + sizeof to, static_cast<std::int64_t>(value));
    return {to, static_cast<std::size_t>(end - to)};
  }
  const int size = std::snprintf(to, sizeof to, "%.17g", value);
  return {to, static_cast<std::size_t>(size)};
}

/// Collects the arguments of the function in State::views. Returns the text of an error, null if there is none.
const char* collect_arguments(lua_State* L, State& state) {
  const int count = lua_gettop(L);
  state.views.clear();
  if (count == 0) return "Please specify at least one argument for this redis lib call";
  for (int i = 1; i <= count; ++i) {
    if (lua_type(L, i) == LUA_TNUMBER) {
      char text[largest_number];
      push_text(L, write_number(lua_tonumber(L, i), text));
      lua_replace(L, i);
    } else if (lua_type(L, i) != LUA_TSTRING) {
      return "Lua redis lib command arguments must be strings or integers";
    }
  }
  for (int i = 1; i <= count; ++i) state.views.push_back(text_at(L, i));
  return nullptr;
}

int call_host(lua_State* L, bool raises) {
  State& state = State::of(L);
  if (const char* error = collect_arguments(L, state)) {
    if (raises) raise(L, error);
    push_error(L, error);
    return 1;
  }
  state.charge(L, 16);
  if (state.host == nullptr) raise(L, "redis.call/pcall can only be called inside a script invocation");
  const Host::Reply reply = state.host->call(state.views, state.resp);
  if (reply.abandon) state.abandon(L);
  const bool failed = !reply.pieces.empty() && reply.pieces.front().starts_with('-');
  push_reply(L, reply.pieces);
  if (failed && raises) lua_error(L);
  return 1;
}

int redis_call(lua_State* L) { return call_host(L, true); }
int redis_pcall(lua_State* L) { return call_host(L, false); }

int redis_acl_check_cmd(lua_State* L) {
  State& state = State::of(L);
  if (const char* error = collect_arguments(L, state)) raise(L, error);
  state.charge(L, 16);
  if (state.host == nullptr) raise(L, "redis.acl_check_cmd can only be called inside a script invocation");
  switch (state.host->may_call(state.views)) {
    case Permission::granted:
      lua_pushboolean(L, 1);
      return 1;
    case Permission::denied:
      lua_pushboolean(L, 0);
      return 1;
    case Permission::no_such_command:
      break;
  }
  raise(L, "Invalid command passed to redis.acl_check_cmd()");
}

/// Makes the table of a reply from the one argument, which must be a string.
bool push_single(lua_State* L, const char* field) {
  if (lua_gettop(L) != 1 || lua_type(L, 1) != LUA_TSTRING) {
    push_error(L, "wrong number or type of arguments");
    return false;
  }
  lua_createtable(L, 0, 1);
  lua_pushvalue(L, 1);
  lua_setfield(L, -2, field);
  return true;
}

int redis_error_reply(lua_State* L) {
  if (lua_gettop(L) != 1 || lua_type(L, 1) != LUA_TSTRING) {
    push_error(L, "wrong number or type of arguments");
    return 1;
  }
  // A text of one word has no code: it gets Redis' general one.
  std::string_view text = text_at(L, 1);
  if (text.starts_with('-')) text.remove_prefix(1);
  const std::size_t space = text.find(' ');
  const bool has_code = space != std::string_view::npos;
  const std::string_view code = has_code ? text.substr(0, space) : "ERR";
  std::string_view message = has_code ? text.substr(space + 1) : text;
  const auto is_break = [](char c) { return c == '\r' || c == '\n'; };
  while (!message.empty() && is_break(message.back())) message.remove_suffix(1);
  while (!message.empty() && is_break(message.front())) message.remove_prefix(1);
  lua_createtable(L, 0, 1);
  push_text(L, code);
  lua_pushliteral(L, " ");
  push_text(L, message);
  lua_concat(L, 3);
  lua_setfield(L, -2, "err");
  return 1;
}

int redis_status_reply(lua_State* L) {
  push_single(L, "ok");
  return 1;
}

int redis_sha1hex(lua_State* L) {
  if (lua_gettop(L) != 1) raise(L, "wrong number of arguments");
  State& state = State::of(L);
  std::size_t size = 0;
  const char* data = lua_tolstring(L, 1, &size);
  std::string_view text(data != nullptr ? data : "", data != nullptr ? size : 0);
  Sha1 hash;
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, 8192);
    state.charge(L, piece.size() / 4);
    hash.add(piece);
    text.remove_prefix(piece.size());
  }
  push_text(L, hash.digits());
  return 1;
}

int redis_log(lua_State* L) {
  const int count = lua_gettop(L);
  if (count < 2) raise(L, "redis.log() requires two arguments or more.");
  if (lua_isnumber(L, 1) == 0) raise(L, "First argument must be a number (log level).");
  const double level = lua_tonumber(L, 1);
  if (!(level >= 0 && level < 4)) raise(L, "Invalid debug level.");
  State& state = State::of(L);
  Buffer text(L);
  for (int i = 2; i <= count; ++i) {
    std::size_t size = 0;
    const char* part = lua_tolstring(L, i, &size);
    if (part == nullptr) continue;
    if (i != 2) text.add(' ');
    text.add({part, size});
  }
  state.charge(L, 256);
  if (state.host != nullptr) state.host->log(static_cast<LogLevel>(static_cast<int>(level)), text.text());
  return 0;
}

int redis_setresp(lua_State* L) {
  if (lua_gettop(L) != 1) raise(L, "redis.setresp() requires one argument.");
  const double version = lua_isnumber(L, 1) != 0 ? lua_tonumber(L, 1) : 0;
  if (version != 2 && version != 3) raise(L, "RESP version must be 2 or 3.");
  State::of(L).resp = static_cast<int>(version);
  return 0;
}

/// There is no replication, so what a script asks for is checked and has no effect.
int redis_set_repl(lua_State* L) {
  if (lua_gettop(L) != 1) raise(L, "redis.set_repl() requires two arguments.");
  const double wanted = lua_isnumber(L, 1) != 0 ? lua_tonumber(L, 1) : 0;
  const auto bits = static_cast<std::int64_t>(wanted >= -4 && wanted <= 4 ? wanted : 4);
  if ((bits & ~std::int64_t{3}) != 0) {
    raise(L, "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.");
  }
  return 0;
}

int redis_replicate_commands(lua_State* L) {
  lua_pushboolean(L, 1);
  return 1;
}

/// There is no debugger.
int redis_breakpoint(lua_State* L) {
  lua_pushboolean(L, 0);
  return 1;
}

int redis_debug(lua_State*) { return 0; }

/// Whether `name` may be that of a function.
bool is_name(std::string_view name) {
  for (const char c : name) {
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')) return false;
  }
  return !name.empty();
}

/// Reads the flags on top of the stack into `registered`. Returns false if one is unknown.
bool read_flags(lua_State* L, Registered& registered) {
  for (int i = 1;; ++i) {
    State::of(L).charge(L, 1);
    lua_rawgeti(L, -1, i);
    if (lua_isnil(L, -1)) break;
    const std::optional<Flag> flag = lua_type(L, -1) == LUA_TSTRING ? flag_named(to_lower(text_at(L, -1))) : std::nullopt;
    lua_pop(L, 1);
    if (!flag) return false;
    registered.flags |= *flag;
  }
  lua_pop(L, 1);
  return true;
}

/// redis.register_function with a table of named arguments. The function is left on the stack.
const char* read_named_arguments(lua_State* L, Registered& registered) {
  bool has_name = false;
  bool has_callback = false;
  lua_settop(L, 1);
  lua_pushnil(L);  // at 2: the callback
  State::of(L).charge_walk(L);
  lua_pushnil(L);
  while (lua_next(L, 1) != 0) {
    State::of(L).charge(L, 1);
    // Keys are compared as Redis does: a number is no name.
    const std::string_view key = lua_type(L, -2) == LUA_TSTRING ? text_at(L, -2) : std::string_view();
    const auto text_value = [L]() -> std::optional<std::string> {
      if (lua_isstring(L, -1) == 0) return std::nullopt;
      return std::string(text_at(L, -1));
    };
    if (key == "function_name") {
      const std::optional<std::string> text = text_value();
      if (!text) return "function_name argument given to redis.register_function must be a string";
      registered.name = *text;
      has_name = true;
    } else if (key == "description") {
      const std::optional<std::string> text = text_value();
      if (!text) return "description argument given to redis.register_function must be a string";
      registered.description = *text;
    } else if (key == "callback") {
      if (!lua_isfunction(L, -1)) return "callback argument given to redis.register_function must be a function";
      lua_pushvalue(L, -1);
      lua_replace(L, 2);
      has_callback = true;
    } else if (key == "flags") {
      if (!lua_istable(L, -1)) return "flags argument to redis.register_function must be a table representing function flags";
      if (!read_flags(L, registered)) return "unknown flag given";
    } else {
      return "unknown argument given to redis.register_function";
    }
    lua_pop(L, 1);
  }
  if (!has_name) return "redis.register_function must get a function name argument";
  if (!has_callback) return "redis.register_function must get a callback argument";
  lua_settop(L, 2);
  return nullptr;
}

const char* read_positional_arguments(lua_State* L, Registered& registered) {
  if (lua_isstring(L, 1) == 0) return "first argument to redis.register_function must be a string";
  registered.name = text_at(L, 1);
  if (!lua_isfunction(L, 2)) return "second argument to redis.register_function must be a function";
  return nullptr;
}

const char* register_function(lua_State* L, State& state) {
  const int count = lua_gettop(L);
  if (count < 1 || count > 2) return "wrong number of arguments to redis.register_function";
  if (count == 1 && !lua_istable(L, 1)) {
    return "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).";
  }
  Registered registered;
  const char* error = count == 1 ? read_named_arguments(L, registered) : read_positional_arguments(L, registered);
  if (error != nullptr) return error;
  if (!is_name(registered.name)) {
    return "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";
  }
  for (const Registered& other : state.loading->functions) {
    state.charge(L, 1);
    if (other.name == registered.name) return "Function already exists in the library";
  }
  state.loading_bytes += sizeof registered + registered.name.size() + registered.description.value_or("").size();
  if (state.loading_bytes > State::most_loading_bytes) fail_for_memory(L);
  lua_settop(L, 2);
  registered.function = static_cast<Handle>(luaL_ref(L, LUA_REGISTRYINDEX));
  state.loading->functions.push_back(std::move(registered));
  return nullptr;
}

int redis_register_function(lua_State* L) {
  State& state = State::of(L);
  if (state.loading == nullptr) {
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "ERR redis.register_function can only be called on FUNCTION LOAD command");
    lua_setfield(L, -2, "err");
    lua_error(L);
  }
  // An object with a destructor would be lost to a raised error only if errors were jumps; here they are exceptions.
  if (const char* error = register_function(L, state)) raise(L, error);
  return 0;
}

void add_numbers(lua_State* L, std::initializer_list<std::pair<const char*, int>> numbers) {
  for (const auto& [name, number] : numbers) {
    lua_pushnumber(L, number);
    lua_setfield(L, -2, name);
  }
}

/// What scripts, functions and libraries that are being loaded have.
void add_common(lua_State* L) {
  static const luaL_Reg functions[] = {{"log", redis_log}, {nullptr, nullptr}};
  add_functions(L, functions);
  add_numbers(L,
              {{"LOG_DEBUG", 0}, {"LOG_VERBOSE", 1}, {"LOG_NOTICE", 2}, {"LOG_WARNING", 3}, {"REDIS_VERSION_NUM", redis_version_number}});
  lua_pushlstring(L, redis_version.data(), redis_version.size());
  lua_setfield(L, -2, "REDIS_VERSION");
}

}  // namespace

void add_redis_functions(lua_State* L, bool for_functions) {
  add_common(L);
  static const luaL_Reg functions[] = {{"call", redis_call},
                                       {"pcall", redis_pcall},
                                       {"acl_check_cmd", redis_acl_check_cmd},
                                       {"error_reply", redis_error_reply},
                                       {"status_reply", redis_status_reply},
                                       {"sha1hex", redis_sha1hex},
                                       {"setresp", redis_setresp},
                                       {"set_repl", redis_set_repl},
                                       {nullptr, nullptr}};
  add_functions(L, functions);
  add_numbers(L, {{"REPL_NONE", 0}, {"REPL_AOF", 1}, {"REPL_REPLICA", 2}, {"REPL_SLAVE", 2}, {"REPL_ALL", 3}});
  if (for_functions) return;
  static const luaL_Reg of_scripts[] = {
      {"replicate_commands", redis_replicate_commands}, {"breakpoint", redis_breakpoint}, {"debug", redis_debug}, {nullptr, nullptr}};
  add_functions(L, of_scripts);
}

void add_loading_functions(lua_State* L) {
  add_common(L);
  lua_pushcfunction(L, redis_register_function);
  lua_setfield(L, -2, "register_function");
}

}  // namespace pinfold::script
