#include "pinfold/script/state.hpp"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <new>
#include <utility>

namespace pinfold::script {

namespace {

/// What is thrown to end a run. Lua takes any exception for an error, which is without a value here.
struct Ending {};

/// Is called for an error that no pcall is there to catch, which is a fault of this room.
int panic(lua_State* L) {
  std::fprintf(stderr, "Lua error outside of a protected call: %s\n", lua_tostring(L, -1));
  std::abort();
}

}  // namespace

State::State(Account* account, Limits wanted) : limits(wanted), account_(account) {
  const auto give_up = [this] {
    if (main != nullptr) lua_close(main);
    give_back(0);
    throw std::bad_alloc();
  };
  // The limit is for what comes on top of the sandbox.
  baseline = std::numeric_limits<std::size_t>::max() / 2;
  main = lua_newstate(allocate, this);
  if (main == nullptr) give_up();
  current = main;
  lua_atpanic(main, panic);
  const auto open = [](lua_State* L) {
    open_sandbox(L);
    lua_gc(L, LUA_GCSETPAUSE, 150);
    lua_gc(L, LUA_GCCOLLECT, 0);
    return 0;
  };
  if (lua_cpcall(main, open, nullptr) != 0) give_up();
  baseline = heap_;
}

State::~State() {
  lua_close(main);
  give_back(0);
}

void State::give_back(std::size_t needed) {
  const std::size_t kept = (needed + grain - 1) / grain * grain;
  if (account_ == nullptr || kept >= granted_) return;
  account_->release(granted_ - kept);
  granted_ = kept;
}

void* State::allocate(void* state, void* block, std::size_t old_size, std::size_t new_size) {
  return static_cast<State*>(state)->reallocate(block, old_size, new_size);
}

void* State::reallocate(void* block, std::size_t old_size, std::size_t new_size) {
  if (new_size > old_size && !may_grow(new_size - old_size)) return nullptr;
  if (std::max(old_size, new_size) >= large_block) [[unlikely]]
    count_large(old_size, new_size);
  if (new_size == 0) {
    std::free(block);
    heap_ -= old_size;
    return nullptr;
  }
  void* grown = std::realloc(block, new_size);
  if (grown == nullptr) {
    if (std::max(old_size, new_size) >= large_block) count_large(new_size, old_size);
    // A smaller block cannot be refused: Lua relies on it.
    return new_size > old_size ? nullptr : block;
  }
  heap_ = heap_ - old_size + new_size;
  return grown;
}

bool State::may_grow(std::size_t bytes) {
  if (heap_ + bytes > baseline + limits.memory && !unlimited_) [[unlikely]]
    return false;
  if (heap_ + bytes <= granted_) [[likely]]
    return true;
  const std::size_t wanted = (heap_ + bytes - granted_ + grain - 1) / grain * grain;
  if (account_ != nullptr && !account_->take(wanted)) return unlimited_;
  granted_ += wanted;
  return true;
}

void State::count_large(std::size_t old_size, std::size_t new_size) {
  if (old_size >= large_block) large_ -= old_size;
  if (new_size >= large_block) large_ += new_size;
  if (host != nullptr && instructions() < hooked_instructions_) set_hook(current);
}

int State::instructions() const {
  if (ending_) return 1;
  if (large_ <= small_blocks) return instructions_between_polls;
  return std::max<int>(least_instructions_between_polls, static_cast<int>(instructions_between_polls * small_blocks / large_));
}

void State::set_hook(lua_State* L) {
  hooked_instructions_ = instructions();
  lua_sethook(L, on_count, LUA_MASKCOUNT, hooked_instructions_);
}

void State::on_count(lua_State* L, lua_Debug*) {
  State& state = of(L);
  state.poll(L);
  state.collect_in_time(L);
  state.refresh_hook(L);
}

void State::collect_in_time(lua_State* L) {
  // The garbage of a script must not be what it fails for when its values need little. Lua by itself begins to collect when the
  // memory has grown by half, which may be beyond the limit. The work is in proportion to what was allocated.
  collected_at_ = std::min(collected_at_, heap_);
  if (heap_ <= baseline + limits.memory / 2 || heap_ < collected_at_ + grain) return;
  const Unlimited unlimited(*this);
  lua_gc(L, LUA_GCSTEP, static_cast<int>(3 * (heap_ - collected_at_) / 1024));
  collected_at_ = heap_;
}

void State::poll(lua_State* L) {
  steps_ = steps_between_polls;
  if (host == nullptr) return;
  if (ending_) end_again(L);
  ++polls;
  const std::string_view reason = host->stop();
  if (reason.empty()) [[likely]]
    return;
  stop_text = reason;
  stop_line = 0;
  lua_Debug at;
  for (int level = 0; stop_line == 0 && lua_getstack(L, level, &at) != 0 && lua_getinfo(L, "Sl", &at) != 0; ++level) {
    if (at.currentline > 0) stop_line = at.currentline;
  }
  end = End::stopped;
  ending_ = true;
  end_again(L);
}

void State::end_again(lua_State* L) {
  set_hook(L);
  // Not by lua_error: that would call the function of an xpcall, and within a hook the instructions of that would not be counted.
  throw Ending();
}

void State::abandon(lua_State* L) {
  end = End::abandoned;
  ending_ = true;
  end_again(L);
}

void State::refuse_reply(lua_State* L) {
  end = End::refused_reply;
  ending_ = true;
  end_again(L);
}

int State::call_protected(lua_CFunction function, void* data) {
  unlimited_ = true;
  const int status = lua_cpcall(main, function, data);
  unlimited_ = false;
  return status;
}

void State::keep(int reference, std::size_t bytes, bool is_library) {
  const auto index = static_cast<std::size_t>(reference);
  // As many as there may be soon, so that this fails rarely; then the bytes count as the scripts'.
  if (index >= kept_.size()) {
    try {
      kept_.resize(std::max(index + 1, kept_.size() * 2));
    } catch (const std::bad_alloc&) {
      return;
    }
  }
  kept_[index] = {bytes, is_library};
  baseline += bytes;
}

void State::forget(int reference) {
  const auto index = static_cast<std::size_t>(reference);
  if (index < kept_.size()) {
    const Kept kept = std::exchange(kept_[index], {});
    baseline -= kept.bytes;
    // It is garbage now, and so are the values of a library, however many they have become since.
    settled_ = kept.is_library ? 0 : settled_ - std::min(settled_, kept.bytes);
    cycles_ = 0;
  }
  const Unlimited unlimited(*this);
  luaL_unref(main, LUA_REGISTRYINDEX, reference);
}

void State::collect_all(lua_State* L) {
  // The first cycle may have begun before some values became garbage, so two are needed.
  for (int cycles = 0; cycles < 2;) {
    {
      const Unlimited unlimited(*this);
      cycles += lua_gc(L, LUA_GCSTEP, 0);
    }
    charge(L, 64);
  }
  settled_ = heap_;
}

void State::make_room() {
  if (!needs_room()) return;
  const auto collect = [](lua_State* L) {
    of(L).collect_all(L);
    return 0;
  };
  const Unlimited unlimited(*this);
  static_cast<void>(lua_cpcall(main, collect, nullptr));
  lua_settop(main, 0);
}

bool State::collect_some(int steps) {
  constexpr std::size_t tolerated = 256 * 1024;
  bool more = heap_ > std::max(settled_, baseline) + tolerated;
  if (more) {
    // The collector allocates when it makes the table of strings smaller, which fails if the system has no memory.
    const auto collect = [](lua_State* L) {
      State& state = of(L);
      for (int left = *static_cast<int*>(lua_touserdata(L, 1)); left > 0 && state.cycles_ < 2; --left) {
        state.cycles_ += lua_gc(L, LUA_GCSTEP, 0);
      }
      return 0;
    };
    const Unlimited unlimited(*this);
    const bool failed = lua_cpcall(main, collect, &steps) != 0;
    lua_settop(main, 0);
    // After two cycles, what is left are values that are still in use, such as upvalues of libraries.
    more = cycles_ < 2 && !failed;
    if (cycles_ >= 2) settled_ = heap_;
  }
  if (granted_ > heap_ + 8 * grain) give_back(heap_ + grain);
  return more;
}

State::Run::Run(State& state, Host& host) : state_(state) {
  state.stack_ = stack_here();
  state.host = &host;
  state.end = End::none;
  state.ending_ = false;
  state.steps_ = steps_between_polls;
  state.resp = 2;
  state.current = state.main;
  state.collected_at_ = state.heap_;
  state.set_hook(state.main);
}

State::Run::~Run() {
  state_.host = nullptr;
  state_.ending_ = false;
  state_.current = state_.main;
  lua_sethook(state_.main, nullptr, 0, 0);
  lua_settop(state_.main, 0);
  state_.cycles_ = 0;
  state_.collect_some(64);
}

void Buffer::grow(std::size_t size) {
  const std::size_t needed = size_ + size;
  if (needed < size) fail_for_memory(L_);
  const std::size_t capacity = std::max(needed, capacity_ * 2);
  state_.charge_bytes(L_, size_);
  void* grown = state_.reallocate(data_ == local_ ? nullptr : data_, data_ == local_ ? 0 : capacity_, capacity);
  if (grown == nullptr) fail_for_memory(L_);
  if (data_ == local_) __builtin_memcpy(grown, local_, size_);
  data_ = static_cast<char*>(grown);
  capacity_ = capacity;
}

void fail(lua_State* L, std::string_view text) {
  push_text(L, text);
  lua_error(L);
  std::abort();
}

void fail_for_memory(lua_State* L) { fail(L, "not enough memory"); }

void fail_here(lua_State* L, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  luaL_where(L, 1);
  lua_pushvfstring(L, format, arguments);
  va_end(arguments);
  lua_concat(L, 2);
  lua_error(L);
  std::abort();
}

}  // namespace pinfold::script
