#include "pinfold/script/interpreter.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <string>

#include "pinfold/script/state.hpp"

namespace pinfold::script {

namespace {

constexpr std::array<NamedFlag, 5> flags = {{{no_writes, "no-writes"},
                                             {allow_oom, "allow-oom"},
                                             {allow_stale, "allow-stale"},
                                             {no_cluster, "no-cluster"},
                                             {allow_cross_slot_keys, "allow-cross-slot-keys"}}};

constexpr std::string_view script_chunk = "@user_script";
constexpr std::string_view function_chunk = "@user_function";

/// What a protected call works on.
struct Job {
  // for running
  int function = LUA_NOREF;
  bool is_function = false;
  std::string_view name;
  std::span<const std::string_view> keys;
  std::span<const std::string_view> arguments;
  Sink* sink = nullptr;
  Outcome outcome;
  // for compiling
  std::string_view text;
  std::string error;
  int compiled = LUA_NOREF;
};

Job& job_of(lua_State* L) { return *static_cast<Job*>(lua_touserdata(L, 1)); }

/// Makes room if earlier scripts have left much garbage, so that this script does not fail for want of memory. Values that are still in
/// use, such as upvalues of libraries, are not looked through again for each script.
void make_room(lua_State* L, State& state) {
  if (state.needs_room()) state.collect_all(L);
}

void push_list(lua_State* L, std::span<const std::string_view> texts) {
  lua_createtable(L, static_cast<int>(texts.size()), 0);
  int index = 0;
  for (const std::string_view text : texts) {
    push_text(L, text);
    lua_rawseti(L, -2, ++index);
    State::of(L).charge_bytes(L, text.size());
  }
}

/// Gives chunks that are loaded from now on (loadstring) this environment, by its reference.
void set_globals(lua_State* L, int environment) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, environment);
  lua_replace(L, LUA_GLOBALSINDEX);
}

/// The text of the error on top of the stack, as Redis replies it.
std::string error_text(lua_State* L, std::string_view name, bool& counted_before) {
  if (!lua_istable(L, -1)) {
    std::string text = "ERR Error running script ";
    text.append(name).append(", ");
    if (lua_isstring(L, -1) != 0) {
      text += text_at(L, -1).substr(0, 100);
    } else {
      text += "execution failure";
    }
    return text;
  }
  const auto field = [L](const char* key) {
    lua_pushstring(L, key);
    lua_rawget(L, -2);
    return lua_isstring(L, -1) != 0 ? text_at(L, -1) : std::string_view();
  };
  std::string text(field("err"));
  if (lua_isstring(L, -1) == 0) text = "ERR unknown error";
  lua_pop(L, 1);
  const std::string_view source = field("source");
  lua_insert(L, -2);  // kept on the stack for the view
  const std::string_view line = field("line");
  if (!source.empty() && !line.empty()) {
    text.append(" script: ").append(name).append(", on ").append(source).append(":").append(line).append(".");
  }
  lua_pop(L, 1);
  lua_pushliteral(L, "ignore_error_stats_update");
  lua_rawget(L, -2);
  counted_before = lua_toboolean(L, -1) != 0;
  return text;
}

/// Runs the script of the job and gives the result to the sink.
int run_job(lua_State* L) {
  Job& job = job_of(L);
  State& state = State::of(L);
  state.enter();
  make_room(L, state);
  // A function must not find KEYS and ARGV of the script before.
  set_globals(L, job.is_function ? state.function_environment : state.script_environment);
  lua_rawgeti(L, LUA_REGISTRYINDEX, state.error_handler);
  lua_rawgeti(L, LUA_REGISTRYINDEX, job.function);
  int given = 0;
  if (job.is_function) {
    push_list(L, job.keys);
    push_list(L, job.arguments);
    given = 2;
  } else {
    lua_rawgeti(L, LUA_REGISTRYINDEX, state.globals);
    lua_pushliteral(L, "KEYS");
    push_list(L, job.keys);
    lua_rawset(L, -3);
    lua_pushliteral(L, "ARGV");
    push_list(L, job.arguments);
    lua_rawset(L, -3);
    lua_pop(L, 1);
  }
  const int status = lua_pcall(L, given, 1, 2);
  if (state.ending()) state.end_again(L);
  if (status != 0) {
    job.outcome.ended = Ended::failed;
    bool counted_before = false;
    const std::string text = error_text(L, job.name, counted_before);
    job.sink->error(text, counted_before);
    return 0;
  }
  // The result lies as deep on the stack as in Redis, which bounds how deep it may be nested.
  lua_remove(L, 1);
  give(L, *job.sink, state.resp);
  return 0;
}

/// Compiles the text of the job as a chunk, as Redis does since 7.0.15, and keeps it.
int compile_job(lua_State* L) {
  Job& job = job_of(L);
  State& state = State::of(L);
  state.enter();
  // There may be much garbage, and no host that limits the time to collect it.
  const State::FromNow from_now(state);
  Chunk chunk;
  chunk.rest = job.text;
  push_text(L, script_chunk);
  if (load(L, chunk, -1) != 0) {
    job.error = text_at(L, -1);
    return 0;
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, state.script_environment);
  lua_setfenv(L, -2);
  job.compiled = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

/// Runs the text of the job as a library, which registers its functions.
int load_job(lua_State* L) {
  Job& job = job_of(L);
  State& state = State::of(L);
  state.enter();
  make_room(L, state);
  set_globals(L, state.script_environment);  // in which the error handler finds `tostring`; a library has no loadstring meanwhile
  lua_rawgeti(L, LUA_REGISTRYINDEX, state.error_handler);
  Chunk chunk;
  chunk.rest = job.text;
  push_text(L, function_chunk);
  if (load(L, chunk, -1) != 0) {
    job.error = "Error compiling function: ";
    job.error += text_at(L, -1);
    return 0;
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, state.function_environment);
  lua_setfenv(L, -2);
  const int status = lua_pcall(L, 0, 0, 2);
  if (state.ending()) state.end_again(L);
  if (status != 0) {
    job.error = "Error registering functions: ";
    if (lua_istable(L, -1)) {
      lua_pushliteral(L, "err");
      lua_rawget(L, -2);
    }
    job.error += lua_isstring(L, -1) != 0 ? text_at(L, -1) : std::string_view("execution failure");
  } else if (state.loading->functions.empty()) {
    job.error = "No functions registered";
  }
  return 0;
}

/// Calls `function` with the job in protected mode. Returns the error that it has not handled itself, empty if there is none.
std::string protected_call(State& state, lua_CFunction function, Job& job) {
  lua_State* L = state.main;
  const int status = state.call_protected(function, &job);
  if (status == 0) return {};
  // A number would be made a string, which needs memory.
  return lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "execution failure";
}

/// Values of Lua have sizes of 32 bits in places (CVE-2025-46819 is one of them), so no limit is higher.
constexpr std::size_t most_memory = std::size_t{1} << 30;

Limits checked(Limits limits) { return {.memory = std::min(limits.memory, most_memory)}; }

/// While it lives, a library is being loaded. If there is no memory for what is not Lua's, nothing of it is left.
class Loading {
 public:
  Loading(State& state, Library& library) : state_(state), library_(library), exceptions_(std::uncaught_exceptions()) {
    state.loading = &library;
    state.loading_bytes = 0;
    show_loading_globals(state.main, true);
  }
  ~Loading() {
    state_.loading = nullptr;
    lua_settop(state_.main, 0);
    show_loading_globals(state_.main, false);
    if (std::uncaught_exceptions() > exceptions_) give_up();
  }
  Loading(const Loading&) = delete;
  Loading& operator=(const Loading&) = delete;

  void give_up() const {
    for (const Registered& registered : library_.functions) state_.forget(static_cast<int>(registered.function));
    library_.functions.clear();
  }

 private:
  State& state_;
  Library& library_;
  int exceptions_;
};

}  // namespace

std::span<const NamedFlag> named_flags() { return flags; }

std::optional<Flag> flag_named(std::string_view name) {
  const auto* found = std::find_if(flags.begin(), flags.end(), [name](const NamedFlag& flag) { return flag.name == name; });
  if (found == flags.end()) return std::nullopt;
  return found->flag;
}

Interpreter::Interpreter(Account* account, Limits limits) : state_(std::make_unique<State>(account, checked(limits))) {}

Interpreter::~Interpreter() = default;

void Interpreter::set_limits(Limits limits) { state_->limits = checked(limits); }

Compiled Interpreter::compile(std::string_view body, Host* host) {
  State& state = *state_;
  Job job;
  job.text = body;
  const std::size_t before = state.heap();
  Compiled compiled;
  {
    std::optional<State::Run> run;
    if (host != nullptr) run.emplace(state, *host);
    const std::string unhandled = protected_call(state, compile_job, job);
    if (!unhandled.empty()) job.error = state.end == State::End::stopped ? std::string(state.stop_text) : unhandled;
    lua_settop(state.main, 0);
  }
  if (job.compiled == LUA_NOREF || !job.error.empty()) {
    compiled.error = job.error;
    return compiled;
  }
  compiled.script = static_cast<Handle>(job.compiled);
  state.keep(job.compiled, state.heap() > before ? state.heap() - before : 0, false);
  return compiled;
}

Outcome Interpreter::run(Handle script, std::string_view name, std::span<const std::string_view> keys,
                         std::span<const std::string_view> arguments, Host& host, Sink& sink) {
  return state_->run(static_cast<int>(script), false, name, keys, arguments, host, sink);
}

Outcome Interpreter::run_function(Handle function, std::string_view name, std::span<const std::string_view> keys,
                                  std::span<const std::string_view> arguments, Host& host, Sink& sink) {
  return state_->run(static_cast<int>(function), true, name, keys, arguments, host, sink);
}

Outcome State::run(int function, bool is_function, std::string_view name, std::span<const std::string_view> keys,
                   std::span<const std::string_view> arguments, Host& new_host, Sink& sink) {
  Job job;
  job.function = function;
  job.is_function = is_function;
  job.name = name;
  job.keys = keys;
  job.arguments = arguments;
  job.sink = &sink;
  const Run run(*this, new_host);
  const std::string unhandled = protected_call(*this, run_job, job);
  switch (end) {
    case End::none:
      if (!unhandled.empty()) {
        // The memory was not enough for the keys or the result.
        job.outcome.ended = Ended::stopped;
        job.outcome.error = "ERR Error running script ";
        job.outcome.error.append(name).append(", ").append(unhandled);
      }
      break;
    case End::stopped:
      job.outcome.ended = Ended::stopped;
      job.outcome.error.assign(stop_text).append(" script: ").append(name).append(", on ");
      job.outcome.error.append(is_function ? function_chunk : script_chunk).append(":").append(std::to_string(stop_line)).append(".");
      break;
    case End::abandoned:
      job.outcome.ended = Ended::abandoned;
      break;
    case End::refused_reply:
      job.outcome.ended = Ended::refused_reply;
      break;
  }
  return job.outcome;
}

Library Interpreter::load_library(std::string_view code, Host& host) {
  State& state = *state_;
  Library library;
  Job job;
  job.text = code;
  const std::size_t before = state.heap();
  {
    const State::Run run(state, host);
    const Loading loading(state, library);
    const std::string unhandled = protected_call(state, load_job, job);
    library.error = job.error;
    if (!unhandled.empty()) {
      library.error = "Error registering functions: ";
      library.error += state.end == State::End::stopped ? state.stop_text : std::string_view(unhandled);
    }
    if (!library.error.empty()) loading.give_up();
  }
  if (library.functions.empty()) return library;
  // What its code is compiled to is in proportion to the code. Values that it has made beyond that count as those of scripts, else each
  // library could bring as much as all scripts may have.
  constexpr std::size_t most_for_a_byte = 64;
  const std::size_t grown = state.heap() > before ? state.heap() - before : 0;
  state.keep(static_cast<int>(library.functions.front().function), std::min(grown, most_for_a_byte * code.size()), true);
  return library;
}

void Interpreter::forget(Handle handle) {
  if (handle != Handle::none) state_->forget(static_cast<int>(handle));
}

bool Interpreter::collect() { return state_->collect_some(256); }

void Interpreter::make_room() { state_->make_room(); }

std::size_t Interpreter::memory() const { return state_->heap(); }

std::uint64_t Interpreter::polls() const { return state_->polls; }

}  // namespace pinfold::script
