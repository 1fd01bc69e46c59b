#include "pinfold/command/scripting.hpp"

#include <algorithm>
#include <utility>

#include "pinfold/base/thread_clock.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/script_runner.hpp"

namespace pinfold::command {

void RunningScript::show(Shown shown) {
  const std::lock_guard lock(mutex_);
  shown_ = std::move(shown);
}

void RunningScript::hide() {
  std::optional<Shown> before;  // freed when the mutex is free
  const std::lock_guard lock(mutex_);
  before.swap(shown_);
  killed_.store(false, std::memory_order_relaxed);
}

bool RunningScript::note_write() {
  const std::lock_guard lock(mutex_);
  if (is_killed()) return false;
  if (shown_) shown_->has_written = true;
  return true;
}

RunningScript::Killed RunningScript::kill(bool function) {
  const std::lock_guard lock(mutex_);
  if (!shown_) return Killed::none;
  if (shown_->is_function != function) return shown_->is_function ? Killed::is_function : Killed::is_script;
  if (shown_->has_written) return Killed::has_written;
  killed_.store(true, std::memory_order_relaxed);
  return Killed::yes;
}

std::optional<RunningScript::Shown> RunningScript::shown() const {
  const std::lock_guard lock(mutex_);
  return shown_;
}

Scripting::Scripting(Engine& engine, store::Memory& memory, unsigned threads)
    : cache(memory), libraries(memory), engine_(engine), threads_(threads) {}

Scripting::~Scripting() = default;

ScriptRunner& Scripting::of_thread(unsigned thread) {
  std::unique_ptr<ScriptRunner>& runner = threads_[thread].runner;
  if (runner == nullptr) [[unlikely]]
    runner = std::make_unique<ScriptRunner>(engine_, thread);
  return *runner;
}

void Scripting::tick(unsigned thread) {
  if (threads_[thread].runner != nullptr) threads_[thread].runner->tidy();
}

unsigned Scripting::running_count() const {
  const auto runs = [](const PerThread& one) { return one.running.shown().has_value(); };
  return static_cast<unsigned>(std::count_if(threads_.begin(), threads_.end(), runs));
}

std::uint64_t Scripting::time_limit() const {
  constexpr std::uint64_t ns_per_ms = 1'000'000;
  return ThreadClock::ticks_of(static_cast<std::uint64_t>(engine_.settings.integer(config::Id::script_time_limit)) * ns_per_ms);
}

std::size_t Scripting::memory_limit() const {
  constexpr std::uint64_t least = 1024 * 1024;
  const auto set = static_cast<std::uint64_t>(engine_.settings.integer(config::Id::script_memory_limit));
  const std::uint64_t all = engine_.keyspace.memory().limit();
  return all == 0 ? set : std::min(set, std::max(all / 8, least));
}

}  // namespace pinfold::command
