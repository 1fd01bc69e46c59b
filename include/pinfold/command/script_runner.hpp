#pragma once
// Executes the scripts and functions of one I/O thread: which shards are locked for them, what they may do, and how they end.
//
// A script is executed like a transaction: the shards that it needs are locked before it begins and until it has ended, and the commands
// that it executes take the way of those that EXEC executes. What it needs is not known, because a script may use keys that its caller has
// not named. So a script runs with the whole keyspace locked until it has shown that it keeps to the named keys (KeyHabit). Then only their
// shards are locked. If such a script reaches for a key in another shard all the same, that shard is locked as well if no other thread
// holds it. If one does, the run is given up and the script is run anew with everything locked, provided that it has had no effect yet.
// Otherwise the call is answered with an error. A script that has used such a key once is not trusted again.
//
// Locks are held for as long as a script runs, and that time is bounded (script-time-limit).

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pinfold/command/call.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/resp/output.hpp"
#include "pinfold/resp/reply.hpp"
#include "pinfold/script/interpreter.hpp"

namespace pinfold::command {

/// Belongs to one I/O thread. Not thread-safe.
class ScriptRunner final : private script::Host {
 public:
  /// Makes the interpreter, which takes about 100 KB. Throws std::bad_alloc.
  ScriptRunner(Engine& engine, unsigned thread);
  ~ScriptRunner();
  ScriptRunner(const ScriptRunner&) = delete;
  ScriptRunner& operator=(const ScriptRunner&) = delete;

  // These three execute a call whose row has kRunsScript, with nothing locked or, inside EXEC, with the locks of EXEC. They reply.

  Outcome eval(Call& call);
  Outcome eval_by_digest(Call& call);
  Outcome call_function(Call& call);

  // In these two, `group` is that of the transaction, whose time this is a part of; null outside of EXEC.

  /// Compiles a script and puts it into the cache. Returns Redis' error, or an empty text.
  std::string load(std::string_view body, CommandGroup* group, ScriptDigest& digest);
  /// Loads a library, to learn its functions. Returns Redis' error, or an empty text.
  std::string read_library(std::string_view code, bool must_be_new, CommandGroup* group, std::shared_ptr<FunctionLibrary>& library);

  /// Whether EXEC must lock every shard for this command, whose row has kRunsScript. Compiles the script.
  bool needs_all_locks(const Row& row, Args args, CommandGroup& group);

  /// Gives back what was flushed or removed, and collects some garbage.
  void tidy();

 private:
  // The memory of the interpreter.
  class Memory final : public script::Account {
   public:
    explicit Memory(Engine& engine) : engine_(engine) {}
    bool take(std::size_t bytes) override;
    void release(std::size_t bytes) override;

   private:
    Engine& engine_;
  };
  struct Compiled {
    std::shared_ptr<const Script> script;
    script::Handle handle = script::Handle::none;
  };
  struct LoadedLibrary {
    std::shared_ptr<const FunctionLibrary> library;
    std::vector<script::Registered> functions;
  };
  // What is to be executed.
  struct Subject {
    std::string_view name;
    script::Handle handle;
    KeyHabit* habit;  // null: nothing is known, and nothing is learned
    std::uint8_t flags;
    bool has_flags;  // whether the script says which flags it has
    bool is_function;
  };
  // Why a run was given up.
  enum class Abandoned : std::uint8_t { no, needs_locks, stopped };
  // The script that is running.
  struct Run {
    Call* call;
    const Subject* subject;
    std::span<const store::Key> declared;
    unsigned db = 0;             // that of the request: the script may select another one
    std::uint64_t began = 0;     // ticks
    std::uint64_t deadline = 0;  // ticks
    std::uint64_t look_at = 0;   // ticks: when stop() has more to do than a comparison
    bool read_only = false;
    bool no_room = false;        // memory is full, and the script may not ignore that
    bool may_lock_more = false;  // whether it may use keys that were not declared
    bool may_run_again = false;
    bool holds_all = false;
    bool stray = false;  // it has used a key that was not declared
    bool had_effect = false;
    bool has_written = false;
    bool shown = false;
    bool has_new_errors = false;  // in its value, beside those of its commands
    Abandoned abandoned = Abandoned::no;
    std::uint64_t ticks = 0;          // that it has run
    std::string_view late_text = {};  // if there is no call: what is said when the time is up
    std::string_view stop_text = {};  // empty: it goes on
  };
  // Of a command, before the script has called it.
  struct Counted {
    CommandCounters* counters;
    std::uint64_t calls;
    std::uint64_t measured_ticks;
    std::uint64_t unmeasured_ticks;
    std::uint64_t rejected;
    std::uint64_t failed;
  };
  class ReplySink;
  class Running;
  class Compiling;
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  // script::Host
  script::Host::Reply call(std::span<const std::string_view> arguments, int resp) override;
  script::Permission may_call(std::span<const std::string_view> arguments) override;
  void log(script::LogLevel level, std::string_view text) override;
  std::string_view stop() override;

  script::Compiled compile_text(std::string_view text, CommandGroup* group);
  const Compiled* find_compiled(const ScriptDigest& digest, CommandGroup* group);
  std::string compile(std::string_view body, const ScriptDigest& digest, const Shebang& shebang, bool loaded, CommandGroup* group,
                      const Compiled*& compiled);
  LoadedLibrary* load_library(const std::shared_ptr<const FunctionLibrary>& library, CommandGroup* group, std::string& error);
  void forget(const ScriptDigest& digest);
  void forget_removed(bool all);
  static Subject subject_of(const Compiled& compiled);
  void follow_libraries();
  const LibrarySet::Found* find_function(std::string_view name);

  Outcome execute(Call& call, const Subject& subject);
  Outcome execute_locked(Call& call, const Subject& subject, Run& run);
  bool is_too_large(std::string_view body) const;
  static void lock(Call& call, Run& run, bool all);
  static std::string shown(const Subject& subject, const Call& call);
  void note_long(const Call& call, const Subject& subject, const Run& run);
  std::string used_by(std::span<const store::Key> keys, const Row& row);
  void note_stray(std::span<const store::Key> keys, const Row& row);
  void take_back_counts(Call& call, const store::ReadCounts& before);
  void remember_counts(const Row& row);
  script::Outcome interpret(Call& call, const Subject& subject, Run& run);
  std::span<const std::string_view> pieces_of_reply();
  void execute_command(Args args);
  bool may_execute(const Row& row, Args args);
  bool is_declared(const store::Key& key);
  bool reach(std::span<const store::Key> keys, const Row& row, Args args);
  bool reach_beyond(const Row& row, std::span<const store::Key> keys, bool whole_keyspace);
  bool note_effect(const Row& row);
  std::string_view look_at_time(std::uint64_t now);
  void refuse(const Row* row, std::string_view error);

  Engine& engine_;
  const unsigned thread_;
  Memory memory_;
  script::Interpreter interpreter_;
  std::unordered_map<std::string, Compiled, Hash, std::equal_to<>> compiled_;  // by digest
  std::uint64_t removals_seen_ = 0;
  std::shared_ptr<const LibrarySet> libraries_;
  std::uint64_t libraries_version_ = 0;
  std::unordered_map<const FunctionLibrary*, LoadedLibrary> loaded_;
  Run* run_ = nullptr;                   // set while a script runs
  std::vector<std::uint64_t> declared_;  // the hashes of many declared keys, in order; empty until they are needed
  std::vector<Counted> counted_;         // of the run, as long as it may be made anew
  // The reply of a command of the script, and room for its keys.
  resp::Output output_;
  resp::Reply reply_;
  std::vector<std::string_view> pieces_;
  std::vector<store::Key> keys_;
  std::vector<std::uint32_t> positions_;
};

}  // namespace pinfold::command
