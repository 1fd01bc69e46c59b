#pragma once
// What I/O threads share for scripts: the cache of scripts, the libraries of functions, and which scripts are running.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/command/function_libraries.hpp"
#include "pinfold/command/request_words.hpp"
#include "pinfold/command/script_cache.hpp"

namespace pinfold::command {

class Engine;
class ScriptRunner;

/// The script that an I/O thread runs, as other threads see it. A script is shown only when it has run for ten milliseconds, so the many
/// that are short pay nothing. Thread-safe: a mutex guards all but the flag that the script looks at.
class RunningScript {
 public:
  static constexpr std::int64_t shown_after_us = 10'000;

  enum class Killed : std::uint8_t { none, is_script, is_function, has_written, yes };
  struct Shown {
    std::string name;
    RequestWords words;
    const Row* row = nullptr;
    unsigned db = 0;            // that of the request
    std::int64_t since_us = 0;  // monotonic
    bool is_function = false;
    bool has_written = false;
  };

  // For the thread that runs it.
  void show(Shown shown);
  /// Called at the end of a script that was shown.
  void hide();
  bool is_killed() const { return killed_.load(std::memory_order_relaxed); }
  /// A script that was shown is about to write. Returns false if it was killed before: then it must not write.
  bool note_write();

  // For any thread.

  /// Ends the script if it has not written. SCRIPT KILL ends scripts, FUNCTION KILL functions.
  Killed kill(bool function);
  std::optional<Shown> shown() const;

 private:
  mutable std::mutex mutex_;
  std::optional<Shown> shown_;
  std::atomic<bool> killed_{false};
};

/// Thread-safe, except where a function says otherwise.
class Scripting {
 public:
  Scripting(Engine& engine, store::Memory& memory, unsigned threads);
  ~Scripting();
  Scripting(const Scripting&) = delete;
  Scripting& operator=(const Scripting&) = delete;

  ScriptCache cache;
  FunctionLibraries libraries;
  /// The longest time for which a script has kept shards locked since the last reset, in ticks (ThreadClock).
  std::atomic<std::uint64_t> longest_hold{0};
  /// What the interpreters take, in bytes.
  std::atomic<std::uint64_t> interpreter_bytes{0};

  /// The scripts of an I/O thread. Made at the first call. Called by that thread only. Throws std::bad_alloc.
  ScriptRunner& of_thread(unsigned thread);
  /// Called by an I/O thread about once a second: what was flushed or removed is given back, and some garbage is collected.
  void tick(unsigned thread);
  RunningScript& running(unsigned thread) { return threads_[thread].running; }
  unsigned thread_count() const { return static_cast<unsigned>(threads_.size()); }
  /// How many scripts are shown as running.
  unsigned running_count() const;

  /// Ends the scripts that run, and those that begin from now on, soon: the server ends.
  void stop() { stopping_.store(true, std::memory_order_relaxed); }
  bool stopping() const { return stopping_.load(std::memory_order_relaxed); }

  /// The longest time that a script may run, in ticks.
  std::uint64_t time_limit() const;
  /// What all scripts of one thread may have allocated, in bytes: script-memory-limit, but not more than an eighth of maxmemory, or 1 MB if
  /// that is more.
  std::size_t memory_limit() const;

 private:
  struct PerThread {
    RunningScript running;
    std::unique_ptr<ScriptRunner> runner;
  };

  Engine& engine_;
  std::vector<PerThread> threads_;
  std::atomic<bool> stopping_{false};
};

}  // namespace pinfold::command
