#pragma once
// The Lua state behind an Interpreter: its allocator, its work between two questions to the host, and what the libraries share. For this
// room only. Not thread-safe.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <lua.hpp>

#include "pinfold/script/interpreter.hpp"

namespace pinfold::script {

class State {
 public:
  /// Steps of library functions between two questions to the host.
  static constexpr std::int64_t steps_between_polls = 4096;
  /// Instructions between two questions, as long as the large blocks are no more than `small_blocks` together.
  static constexpr int instructions_between_polls = 4096;
  static constexpr int least_instructions_between_polls = 4;
  /// A block of memory from this size on is a large one.
  static constexpr std::size_t large_block = 16 * 1024;
  static constexpr std::size_t small_blocks = 64 * 1024;
  /// Bytes in which the account is asked.
  static constexpr std::size_t grain = 32 * 1024;
  /// Bytes of the C++ stack that a run may use where one more coroutine begins.
  static constexpr std::size_t stack_for_coroutines = 512 * 1024;
  /// A copy of this many bytes is one step.
  static constexpr std::size_t bytes_per_step = 64;
  /// So much of a table without elements is passed over in one step.
  static constexpr std::size_t bytes_per_walked_step = 512;

  State(Account* account, Limits limits);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  /// The state that `L` belongs to. O(1).
  static State& of(lua_State* L) {
    void* state = nullptr;
    lua_getallocf(L, &state);
    return *static_cast<State*>(state);
  }

  // Work

  /// Counts `steps` and asks the host when there were enough. Raises an error if the host says stop.
  void charge(lua_State* L, std::size_t steps) {
    steps_ -= static_cast<std::int64_t>(steps);
    if (steps_ < 0) [[unlikely]]
      poll(L);
  }
  void charge_bytes(lua_State* L, std::size_t bytes) { charge(L, 1 + bytes / bytes_per_step); }
  /// For the beginning of a walk over a table with lua_next. A table may have few elements, or none, and room for a million, which the walk
  /// passes over. How much it has is not known, so it counts as if all large blocks were its own.
  void charge_walk(lua_State* L) { charge(L, 1 + large_ / bytes_per_walked_step); }
  void poll(lua_State* L);
  /// Whether the run is to end: no error may be caught any more. Who has caught one calls end_again().
  bool ending() const { return ending_; }
  /// Raises the error by which the run ends again.
  [[noreturn]] void end_again(lua_State* L);
  /// Ends the run without an answer.
  [[noreturn]] void abandon(lua_State* L);
  /// Ends the run because the sink takes no more.
  [[noreturn]] void refuse_reply(lua_State* L);

  // Memory

  /// As a lua_Alloc, for libraries that need room for a while. Null if the limit or the account refuses it.
  void* reallocate(void* block, std::size_t old_size, std::size_t new_size);
  std::size_t heap() const { return heap_; }
  /// Collects all garbage, and asks the host meanwhile if there is one.
  void collect_all(lua_State* L);
  /// Whether earlier scripts may have left so much garbage that it would be in the way of the next one.
  bool needs_room() const { return heap_ > baseline + limits.memory / 2 && heap_ > settled_ + limits.memory / 8; }
  /// Collects all garbage if needs_room(). Between runs.
  void make_room();
  /// Collects for `steps` steps of about 2 KB, if there may be much garbage. Returns whether more steps are needed.
  bool collect_some(int steps);
  /// Gives `L` the hook that the amount of memory asks for.
  void refresh_hook(lua_State* L) {
    if (lua_gethookcount(L) != instructions()) set_hook(L);
  }

  /// While it lives, memory is not refused. For calls that must not fail because nobody would catch the error.
  class Unlimited {
   public:
    explicit Unlimited(State& state) : state_(state), before_(state.unlimited_) { state.unlimited_ = true; }
    ~Unlimited() { state_.unlimited_ = before_; }
    Unlimited(const Unlimited&) = delete;
    Unlimited& operator=(const Unlimited&) = delete;

   private:
    State& state_;
    bool before_;
  };

  /// Calls a function with `data` in protected mode, and returns lua_cpcall's status. Memory is not refused until the function calls
  /// enter(), so that it always begins.
  int call_protected(lua_CFunction function, void* data);
  void enter() { unlimited_ = false; }

  /// While it lives, the limit counts from the memory that is in use now, whatever garbage that is.
  class FromNow {
   public:
    explicit FromNow(State& state) : state_(state), more_(state.heap_ > state.baseline ? state.heap_ - state.baseline : 0) {
      state_.baseline += more_;
    }
    ~FromNow() { state_.baseline -= more_; }
    FromNow(const FromNow&) = delete;
    FromNow& operator=(const FromNow&) = delete;

   private:
    State& state_;
    std::size_t more_;
  };

  /// A run of a script or the loading of a library. While it lives, the host is asked.
  class Run {
   public:
    Run(State& state, Host& host);
    ~Run();
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

   private:
    State& state_;
  };

  Outcome run(int function, bool is_function, std::string_view name, std::span<const std::string_view> keys,
              std::span<const std::string_view> arguments, Host& host, Sink& sink);

  /// Adds `bytes` to what is there without scripts, for the script, or the library, whose function (of a library the first) has this
  /// reference.
  void keep(int reference, std::size_t bytes, bool is_library);
  /// Gives up a reference, and what keep() has added for it. O(1).
  void forget(int reference);

  enum class End : std::uint8_t { none, stopped, abandoned, refused_reply };

  lua_State* main = nullptr;
  /// The coroutine that runs.
  lua_State* current = nullptr;
  Limits limits;
  /// What heap() is without any script's values.
  std::size_t baseline = 0;
  Host* host = nullptr;
  End end = End::none;
  std::string_view stop_text;
  int stop_line = 0;  // of the script
  std::uint64_t polls = 0;
  /// The protocol that redis.setresp has chosen in this run.
  int resp = 2;
  /// drand48's generator (48 bits), which math.random uses. It goes on from script to script, as in Redis 7.
  std::uint64_t random = 0x1234abcd330e;
  /// The library that is being loaded, none else.
  Library* loading = nullptr;
  /// Bytes that its names and descriptions take, which are no values of Lua.
  std::size_t loading_bytes = 0;
  static constexpr std::size_t most_loading_bytes = 1024 * 1024;

  // References in Lua's registry, set by open_sandbox().
  int error_handler = LUA_NOREF;
  int globals = LUA_NOREF;             // the real table of globals of scripts
  int script_environment = LUA_NOREF;  // what scripts see of it
  int function_globals = LUA_NOREF;
  int function_environment = LUA_NOREF;
  int loading_globals = LUA_NOREF;
  int protected_of = LUA_NOREF;  // real table -> what scripts see of it

  /// Views of arguments, used again by each call of the host.
  std::vector<std::string_view> views;

 private:
  friend class Unlimited;

  /// Of keep().
  struct Kept {
    std::size_t bytes = 0;
    bool is_library = false;
  };

  static void* allocate(void* state, void* block, std::size_t old_size, std::size_t new_size);
  static void on_count(lua_State* L, lua_Debug* at);
  void collect_in_time(lua_State* L);
  bool may_grow(std::size_t bytes);
  /// Gives the account back what is granted beyond `needed` bytes.
  void give_back(std::size_t needed);
  void count_large(std::size_t old_size, std::size_t new_size);
  int instructions() const;
  void set_hook(lua_State* L);

  Account* account_;
  std::size_t heap_ = 0;
  std::size_t granted_ = 0;
  std::size_t large_ = 0;
  std::size_t settled_ = 0;       // heap_ when all garbage had been collected
  std::size_t collected_at_ = 0;  // heap_ when collect_in_time() collected last
  int cycles_ = 0;                // of the collector that have ended since the last run or forget()
  std::vector<Kept> kept_;        // by reference
  int hooked_instructions_ = 0;
  bool unlimited_ = false;
  bool ending_ = false;
  std::int64_t steps_ = steps_between_polls;
  const char* stack_ = nullptr;

 public:
  /// Bytes of the C++ stack since the run began.
  std::size_t stack_used() const { return static_cast<std::size_t>(stack_ - stack_here()); }

 private:
  // Not the address of a variable, which sanitizers may have put elsewhere.
  static const char* stack_here() { return static_cast<const char*>(__builtin_frame_address(0)); }
};

/// Room that grows, in the account of the script. Its memory is given back at the end of its block, also when an error passes.
class Buffer {
 public:
  explicit Buffer(lua_State* L) : L_(L), state_(State::of(L)) {}
  ~Buffer() {
    if (data_ != local_) state_.reallocate(data_, capacity_, 0);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void add(char c) {
    if (size_ == capacity_) grow(1);
    data_[size_++] = c;
  }
  void add(std::string_view bytes) {
    if (bytes.empty()) return;
    char* to = extend(bytes.size());
    __builtin_memcpy(to, bytes.data(), bytes.size());
  }
  /// Room for `size` more bytes, which count as added.
  char* extend(std::size_t size) {
    if (capacity_ - size_ < size) grow(size);
    char* to = data_ + size_;
    size_ += size;
    return to;
  }
  std::size_t size() const { return size_; }
  char* data() { return data_; }
  std::string_view text() const { return {data_, size_}; }
  void shrink(std::size_t size) { size_ = size; }
  void push() { lua_pushlstring(L_, data_, size_); }

 private:
  void grow(std::size_t size);

  lua_State* L_;
  State& state_;
  char local_[256];
  char* data_ = local_;
  std::size_t size_ = 0;
  std::size_t capacity_ = sizeof local_;
};

/// Raises an error without the position of the script, as errors of the core of Lua in a C function have it.
[[noreturn]] void fail(lua_State* L, std::string_view text);
/// Raises "not enough memory" as Lua itself does.
[[noreturn]] void fail_for_memory(lua_State* L);
/// Raises luaL_error's error with the position, for the compiler's sake in a function that does not return.
[[noreturn]] void fail_here(lua_State* L, const char* format, ...) __attribute__((format(printf, 2, 3)));

inline std::string_view text_at(lua_State* L, int index) {
  std::size_t size = 0;
  const char* text = lua_tolstring(L, index, &size);
  return {text, size};
}
inline std::string_view check_text(lua_State* L, int index) {
  std::size_t size = 0;
  const char* text = luaL_checklstring(L, index, &size);
  return {text, size};
}
inline void push_text(lua_State* L, std::string_view text) { lua_pushlstring(L, text.data(), text.size()); }

/// luaL_checkint and luaL_optint, which have casts in the old style.
inline int check_int(lua_State* L, int index) { return static_cast<int>(luaL_checkinteger(L, index)); }
inline int optional_int(lua_State* L, int index, int otherwise) { return static_cast<int>(luaL_optinteger(L, index, otherwise)); }

// What the sandbox is made of; each adds its functions to the table on top of the stack.
void add_base_functions(lua_State* L);
void add_string_functions(lua_State* L);
void add_table_functions(lua_State* L);
void add_math_functions(lua_State* L);
void add_coroutine_functions(lua_State* L);
void add_bit_functions(lua_State* L);
void add_json_functions(lua_State* L);
void add_message_pack_functions(lua_State* L);
void add_struct_functions(lua_State* L);
/// redis.*, for scripts or for functions, which have a few less.
void add_redis_functions(lua_State* L, bool for_functions);
/// What redis.* has while a library is loaded.
void add_loading_functions(lua_State* L);
/// Adds functions to the table on top of the stack.
void add_functions(lua_State* L, const luaL_Reg* functions);

/// Makes the globals. Runs in protected mode.
void open_sandbox(lua_State* L);
/// Turns on the globals that a library sees while it is loaded, or those that its functions see.
void show_loading_globals(lua_State* L, bool loading);

/// What lua_load reads a chunk from: text, or a function at index 1 that returns pieces of it, for the last of which index 3 is kept.
struct Chunk {
  /// The parser takes about 50 ns for a byte, and more where long conditions make it walk over lists of jumps.
  static constexpr std::size_t piece = 256;
  static constexpr std::size_t steps_per_piece = 1024;

  std::string_view rest;
  bool from_function = false;
  bool begun = false;
};
/// Loads a chunk and pushes the function or the error, as lua_load, which it returns the status of. The name is at the index `name`.
int load(lua_State* L, Chunk& chunk, int name);

/// Whether the value at `index` is a table that scripts must not change.
bool is_protected(lua_State* L, int index);
/// Raises an error if it is.
void refuse_protected(lua_State* L, int index);
/// Pushes the table at `index`, or if it is protected the real one behind it.
void push_real(lua_State* L, int index);
/// Pushes what scripts see of the real table on top of the stack in its place.
void protect(lua_State* L);

/// Pushes the value of a reply.
void push_reply(lua_State* L, std::span<const std::string_view> pieces);
/// Gives the value on top of the stack to the sink, and pops it.
void give(lua_State* L, Sink& sink, int resp);

}  // namespace pinfold::script
