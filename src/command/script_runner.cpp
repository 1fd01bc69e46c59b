#include "pinfold/command/script_runner.hpp"

#include <algorithm>
#include <cassert>
#include <new>
#include <optional>
#include <utility>

#include "pinfold/base/sleeper.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/audit.hpp"
#include "pinfold/command/cache_reads.hpp"
#include "pinfold/command/dispatch.hpp"
#include "pinfold/command/monitor_feed.hpp"
#include "pinfold/command/rights.hpp"
#include "pinfold/command/tracking.hpp"
#include "pinfold/command/transaction.hpp"

namespace pinfold::command {
namespace {

constexpr std::string_view no_such_script = "NOSCRIPT No matching script. Please use EVAL.";
constexpr std::string_view killed_text = "ERR Script killed by user with SCRIPT KILL...";
constexpr std::string_view late_text = "ERR The script was stopped: it has run for longer than script-time-limit.";
constexpr std::string_view late_after_write_text =
    "ERR The script was stopped: it has run for longer than script-time-limit. What it had written before stays.";
constexpr std::string_view shutdown_text = "ERR The script was stopped: the server is shutting down.";
constexpr std::string_view load_timeout_text = "ERR FUNCTION LOAD timeout";
constexpr std::string_view compile_timeout_text = "it takes too long";
constexpr std::int64_t most_compile_ms = 500;
constexpr std::string_view not_read_only = "ERR Can not execute a script with write flag using *_ro command.";
constexpr std::string_view undeclared_text = "ERR The script uses keys that its caller has not declared (undeclared-keys error): ";
constexpr std::string_view undeclared_busy_text =
    "ERR The script uses a key that its caller has not declared, which another client is using: send it again, it will then lock all keys";
constexpr std::string_view too_large_text = "ERR the script is larger than script-cache-size";
constexpr std::string_view no_memory_text = "OOM The script was ended: there was no memory for one of its commands";

constexpr std::size_t kept_output = 16 * 1024;
constexpr std::int64_t ns_per_us = 1000;
constexpr std::int64_t ns_per_ms = 1'000'000;

// The choices of undeclared-keys.
enum UndeclaredKeys : std::int64_t { allow, error };

bool allows_undeclared(const config::Settings& settings) { return settings.integer(config::Id::undeclared_keys) == UndeclaredKeys::allow; }

// In a trusted script, what may be locked meanwhile by others is locked by itself.
bool is_stale(const Script& script) { return !script.cached.load(std::memory_order_relaxed); }

void touch(const Script& script, MonoMs now) {
  constexpr std::int64_t rarely_ms = 1000;
  if (now.ms - script.used.load(std::memory_order_relaxed) >= rarely_ms) script.used.store(now.ms, std::memory_order_relaxed);
}

std::uint64_t room_for(Args args) {
  constexpr std::uint64_t for_its_writes = 4096;
  std::uint64_t bytes = for_its_writes;
  for (const std::string_view arg : args) bytes += arg.size();
  return bytes;
}

// Whether commands of this row change something that a second run would find changed. Reads may be given leases by policies.
bool has_effect(const Row& row, const Engine& engine) {
  if ((row.flags & (kWrite | kMayReplicate)) != 0) return true;
  if (row.keys[0].kind == KeySpec::Kind::none || row.keys[0].use == KeyUse::peek) return false;
  return engine.cache.guards_reads() || row.name.starts_with("cache.");
}

EventLog::Kind kind_of(script::LogLevel level) {
  constexpr EventLog::Kind kinds[] = {EventLog::Kind::scripts_debug, EventLog::Kind::scripts_verbose, EventLog::Kind::scripts_notice,
                                      EventLog::Kind::scripts_warning};  // in the order of LogLevel
  return kinds[static_cast<std::size_t>(level)];
}

// Redis' words for what its ACL refuses a script.
std::string denial_in_script(const RightsVerdict& verdict) {
  using Denied = RightsVerdict::Denied;
  switch (verdict.denied) {
    case Denied::key:
    case Denied::all_keys:
    case Denied::too_costly:
      return "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments";
    case Denied::channel:
      return "ERR The user executing the script can't publish to the channel mentioned in the command";
    case Denied::database:
      return "ERR The user executing the script can't access the database";
    case Denied::no:
    case Denied::command:
      break;
  }
  return "ERR The user executing the script can't run this command or subcommand";
}

// Selects the database again that was selected, whatever a script selects while this exists.
class KeepDatabase {
 public:
  explicit KeepDatabase(Session& session) : session_(session), db_(session.db) {}
  ~KeepDatabase() {
    if (session_.db != db_) session_.select(db_);
  }
  KeepDatabase(const KeepDatabase&) = delete;
  KeepDatabase& operator=(const KeepDatabase&) = delete;

 private:
  Session& session_;
  const unsigned db_;
};

// Sets a flag as long as it exists.
class While {
 public:
  explicit While(bool& flag) : flag_(flag), before_(std::exchange(flag, true)) {}
  ~While() { flag_ = before_; }
  While(const While&) = delete;
  While& operator=(const While&) = delete;

 private:
  bool& flag_;
  const bool before_;
};

}  // namespace

// Writes the value that a script returns as the reply of its command. The script has ended by then, so nothing needs to be locked any more:
// a value may be large. It must not throw, so it remembers that there was no memory.
class ScriptRunner::ReplySink final : public script::Sink {
 public:
  explicit ReplySink(Call& call) : call_(call), reply_(call.reply) {}

  bool has_failed() const { return failed_; }
  /// Whether there is an error in the value that no command of the script was counted for.
  bool has_new_errors() const { return new_errors_; }

  bool takes(std::size_t /*bytes*/) override {
    release();
    return !failed_ && reply_.output().overflow() == resp::Output::Overflow::none;
  }
  void null() override {
    write([&] { reply_.null(); });
  }
  void integer(std::int64_t value) override {
    write([&] { reply_.integer(value); });
  }
  void bulk(std::string_view bytes) override {
    write([&] { reply_.bulk(bytes); });
  }
  void status(std::string_view text) override {
    write([&] { reply_.status(text); });
  }
  void error(std::string_view text, bool counted_before) override {
    new_errors_ = new_errors_ || !counted_before;
    write([&] { reply_.error(text); });
  }
  void array(std::size_t size) override {
    write([&] { reply_.array(size); });
  }
  void map(std::size_t pairs) override {
    write([&] { reply_.map(pairs); });
  }
  void set(std::size_t size) override {
    write([&] { reply_.set(size); });
  }
  void boolean(bool value) override {
    write([&] { reply_.boolean(value); });
  }
  void real(double value) override {
    write([&] { reply_.real(value); });
  }
  void big_number(std::string_view digits) override {
    write([&] { reply_.big_number(digits); });
  }
  void verbatim(std::string_view format, std::string_view text) override {
    write([&] { reply_.verbatim(format, text); });
  }

 private:
  template <class Write>
  void write(Write&& write) {
    if (failed_) return;
    release();
    try {
      write();
    } catch (const std::bad_alloc&) {
      failed_ = true;
    }
  }

  void release() {
    if (!call_.in_transaction && !call_.held.empty()) call_.held.release();
  }

  Call& call_;
  resp::Reply& reply_;
  bool failed_ = false;
  bool new_errors_ = false;
};

// The script that runs, as long as it exists.
class ScriptRunner::Running {
 public:
  Running(ScriptRunner& runner, Run& run) : runner_(runner), run_(run) { runner.run_ = &run; }
  ~Running() {
    runner_.run_ = nullptr;
    runner_.output_.clear(kept_output);  // the last reply may refer to a stored block
    if (run_.shown) runner_.engine_.scripting.running(runner_.thread_).hide();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  ScriptRunner& runner_;
  Run& run_;
};

bool ScriptRunner::Memory::take(std::size_t bytes) {
  engine_.keyspace.memory().add(store::Use::scripts, static_cast<std::int64_t>(bytes));
  engine_.scripting.interpreter_bytes.fetch_add(bytes, std::memory_order_relaxed);
  return true;
}

void ScriptRunner::Memory::release(std::size_t bytes) {
  engine_.keyspace.memory().add(store::Use::scripts, -static_cast<std::int64_t>(bytes));
  engine_.scripting.interpreter_bytes.fetch_sub(bytes, std::memory_order_relaxed);
}

ScriptRunner::ScriptRunner(Engine& engine, unsigned thread)
    : engine_(engine),
      thread_(thread),
      memory_(engine),
      interpreter_(&memory_, {.memory = engine.scripting.memory_limit()}),
      libraries_(engine.scripting.libraries.get()),
      reply_(output_) {}

ScriptRunner::~ScriptRunner() = default;

// --- scripts and libraries of this thread ---

const ScriptRunner::Compiled* ScriptRunner::find_compiled(const ScriptDigest& digest, CommandGroup* group) {
  forget_removed(false);
  if (const auto found = compiled_.find(text_of(digest)); found != compiled_.end()) {
    if (!is_stale(*found->second.script)) [[likely]]
      return &found->second;
    interpreter_.forget(found->second.handle);
    compiled_.erase(found);
  }
  const std::shared_ptr<const Script> script = engine_.scripting.cache.find(digest);
  if (script == nullptr) return nullptr;
  const script::Compiled compiled = compile_text(std::string_view(script->body).substr(script->shebang.length), group);
  if (compiled.script == script::Handle::none) return nullptr;  // there is no memory for it: another thread has compiled it
  return &compiled_.insert_or_assign(std::string(text_of(digest)), Compiled{script, compiled.script}).first->second;
}

// What the host asks while a text is compiled or a library loaded: nothing but the time. Within EXEC, shards are locked meanwhile, so that
// time is a part of the time of the transaction's scripts.
class ScriptRunner::Compiling {
 public:
  Compiling(ScriptRunner& runner, CommandGroup* group, std::string_view late_text)
      : group_(group), run_{.call = nullptr, .subject = nullptr, .declared = {}}, running_(runner, run_) {
    run_.began = ThreadClock::ticks();
    std::uint64_t limit = ThreadClock::ticks_of(most_compile_ms * ns_per_ms);
    if (group != nullptr) {
      const std::uint64_t of_group = runner.engine_.scripting.time_limit();
      limit = std::min(limit, of_group - std::min(of_group, group->script_ticks));
    }
    run_.deadline = run_.look_at = run_.began + limit;
    run_.late_text = late_text;
  }
  ~Compiling() {
    if (group_ != nullptr) group_->script_ticks += ThreadClock::ticks_since(run_.began);
  }
  Compiling(const Compiling&) = delete;
  Compiling& operator=(const Compiling&) = delete;

 private:
  CommandGroup* const group_;
  Run run_;
  const Running running_;
};

script::Compiled ScriptRunner::compile_text(std::string_view text, CommandGroup* group) {
  interpreter_.set_limits({.memory = engine_.scripting.memory_limit()});
  const Compiling compiling(*this, group, compile_timeout_text);
  return interpreter_.compile(text, this);
}

void ScriptRunner::forget(const ScriptDigest& digest) {
  const auto found = compiled_.find(text_of(digest));
  if (found == compiled_.end()) return;
  interpreter_.forget(found->second.handle);
  compiled_.erase(found);
}

ScriptRunner::Subject ScriptRunner::subject_of(const Compiled& compiled) {
  const Script& script = *compiled.script;
  return {text_of(script.digest), compiled.handle, &script.habit, script.shebang.flags, script.shebang.present, false};
}

// Puts the script into the cache, if it may be there.
std::string ScriptRunner::compile(std::string_view body, const ScriptDigest& digest, const Shebang& shebang, bool loaded,
                                  CommandGroup* group, const Compiled*& compiled) {
  const script::Compiled result = compile_text(body.substr(shebang.length), group);
  if (result.script == script::Handle::none) return "ERR Error compiling script (new function): " + result.error;
  const auto limit = static_cast<std::uint64_t>(engine_.settings.integer(config::Id::script_cache_size));
  const std::shared_ptr<const Script> script =
      engine_.scripting.cache.add(std::make_shared<Script>(digest, body, shebang), loaded, limit, monotonic_ms());
  compiled = &compiled_.insert_or_assign(std::string(text_of(digest)), Compiled{script, result.script}).first->second;
  return {};
}

// Unless `all` are to go, scripts that were removed from the cache go when they are a good part of those compiled here, so that this costs
// each of them O(1).
void ScriptRunner::forget_removed(bool all) {
  constexpr std::uint64_t few = 16;
  const ScriptCache& cache = engine_.scripting.cache;
  const std::uint64_t removals = cache.removals();
  if (removals == removals_seen_) [[likely]]
    return;
  if (!all && cache.flushed_at() <= removals_seen_ && removals - removals_seen_ < compiled_.size() / 4 + few) return;
  removals_seen_ = removals;
  std::erase_if(compiled_, [this](const auto& one) {
    if (!is_stale(*one.second.script)) return false;
    interpreter_.forget(one.second.handle);
    return true;
  });
}

void ScriptRunner::follow_libraries() {
  const std::uint64_t version = engine_.scripting.libraries.version();
  if (version == libraries_version_) [[likely]]
    return;
  libraries_ = engine_.scripting.libraries.get();
  libraries_version_ = version;
  std::erase_if(loaded_, [this](const auto& one) {
    const auto present = libraries_->libraries().find(one.second.library->name);
    if (present != libraries_->libraries().end() && present->second == one.second.library) return false;
    for (const script::Registered& function : one.second.functions) interpreter_.forget(function.function);
    return true;
  });
}

const LibrarySet::Found* ScriptRunner::find_function(std::string_view name) {
  follow_libraries();
  return libraries_->find(name);
}

ScriptRunner::LoadedLibrary* ScriptRunner::load_library(const std::shared_ptr<const FunctionLibrary>& library, CommandGroup* group,
                                                        std::string& error) {
  if (const auto found = loaded_.find(library.get()); found != loaded_.end()) return &found->second;
  interpreter_.set_limits({.memory = engine_.scripting.memory_limit()});
  script::Library result;
  {
    const Compiling compiling(*this, group, load_timeout_text);
    result = interpreter_.load_library(std::string_view(library->code).substr(library->start), *this);
  }
  if (!result.error.empty()) {
    error = "ERR " + result.error;
    return nullptr;
  }
  return &loaded_.emplace(library.get(), LoadedLibrary{library, std::move(result.functions)}).first->second;
}

// To compute a digest takes time, and what could never be cached would be compiled each time.
bool ScriptRunner::is_too_large(std::string_view body) const {
  return body.size() > static_cast<std::uint64_t>(engine_.settings.integer(config::Id::script_cache_size));
}

std::string ScriptRunner::load(std::string_view body, CommandGroup* group, ScriptDigest& digest) {
  if (is_too_large(body)) return std::string(too_large_text);
  digest = digest_of(body);
  Shebang shebang;
  if (std::string error = read_shebang(body, shebang); !error.empty()) return error;
  const Compiled* compiled = find_compiled(digest, group);
  if (compiled != nullptr) {
    const auto limit = static_cast<std::uint64_t>(engine_.settings.integer(config::Id::script_cache_size));
    if (!compiled->script->loaded.load(std::memory_order_relaxed)) {
      engine_.scripting.cache.add(std::make_shared<Script>(digest, body, shebang), true, limit, monotonic_ms());
    }
    return {};
  }
  if (std::string error = compile(body, digest, shebang, true, group, compiled); !error.empty()) return error;
  if (!is_stale(*compiled->script)) return {};
  forget(digest);
  return "OOM the cache of scripts is full (script-cache-size)";
}

std::string ScriptRunner::read_library(std::string_view code, bool must_be_new, CommandGroup* group,
                                       std::shared_ptr<FunctionLibrary>& library) {
  library = std::make_shared<FunctionLibrary>();
  if (std::string error = read_library_header(code, *library); !error.empty()) return error;
  // As in Redis, before the code is looked at.
  if (must_be_new && engine_.scripting.libraries.get()->libraries().contains(library->name)) {
    return "ERR Library '" + library->name + "' already exists";
  }
  std::string error;
  const LoadedLibrary* const loaded = load_library(library, group, error);
  if (loaded == nullptr) return error;
  for (const script::Registered& function : loaded->functions) {
    library->functions.push_back(std::make_unique<const Function>(function.name, function.description, function.flags));
  }
  libraries_version_ = 0;  // so that it is forgotten if it is not published
  return {};
}

void ScriptRunner::tidy() {
  forget_removed(true);
  follow_libraries();
  const auto give_back = [](auto& list) {
    constexpr std::size_t usual = 1024;
    if (list.capacity() > usual) std::remove_reference_t<decltype(list)>().swap(list);
  };
  give_back(declared_);
  give_back(counted_);
  give_back(pieces_);
  give_back(keys_);
  give_back(positions_);
  static_cast<void>(interpreter_.collect());
}

bool ScriptRunner::needs_all_locks(const Row& row, Args args, CommandGroup& group) {
  if (!allows_undeclared(engine_.settings)) return false;
  const KeyHabit* habit = nullptr;
  if (row.name.starts_with("fcall")) {
    const LibrarySet::Found* const found = find_function(args[1]);
    std::string error;
    if (found != nullptr && load_library(found->library, &group, error) != nullptr) habit = &found->function->habit;
  } else if (const bool by_digest = row.name.starts_with("evalsha"); by_digest || !is_too_large(args[1])) {
    const std::optional<ScriptDigest> digest = by_digest ? named_digest(args[1]) : digest_of(args[1]);
    const Compiled* const compiled = digest ? find_compiled(*digest, &group) : nullptr;
    if (compiled != nullptr) habit = &compiled->script->habit;
  }
  return habit == nullptr || !habit->is_trusted();
}

// --- the commands ---

Outcome ScriptRunner::eval(Call& call) {
  const std::string_view body = call.args[1];
  if (is_too_large(body)) return call.reply.error(too_large_text);
  const ScriptDigest digest = digest_of(body);
  CommandGroup* const group = call.session.group;
  const Compiled* compiled = find_compiled(digest, group);
  if (compiled == nullptr) {
    Shebang shebang;
    if (const std::string error = read_shebang(body, shebang); !error.empty()) return call.reply.error(error);
    if (const std::string error = compile(body, digest, shebang, false, group, compiled); !error.empty()) return call.reply.error(error);
  }
  const std::shared_ptr<const Script> script = compiled->script;
  touch(*script, call.mono);
  const Outcome outcome = execute(call, subject_of(*compiled));
  if (is_stale(*script)) forget(script->digest);  // it found no room in the cache
  return outcome;
}

Outcome ScriptRunner::eval_by_digest(Call& call) {
  const std::optional<ScriptDigest> digest = named_digest(call.args[1]);
  const Compiled* const compiled = digest ? find_compiled(*digest, call.session.group) : nullptr;
  if (compiled == nullptr) return call.reply.error(no_such_script);
  touch(*compiled->script, call.mono);
  return execute(call, subject_of(*compiled));
}

Outcome ScriptRunner::call_function(Call& call) {
  const LibrarySet::Found* const found = find_function(call.args[1]);
  if (found == nullptr) return call.reply.error("ERR Function not found");
  std::string error;
  const LoadedLibrary* const loaded = load_library(found->library, call.session.group, error);
  if (loaded == nullptr) return call.reply.error(error);
  const Function& function = *found->function;
  const auto registered = std::ranges::find(loaded->functions, function.name, &script::Registered::name);
  if (registered == loaded->functions.end()) return call.reply.error("ERR Function not found");
  return execute(call, {function.name, registered->function, &function.habit, function.flags, true, true});
}

Outcome ScriptRunner::execute(Call& call, const Subject& subject) {
  const bool of_read_only = (call.row.flags & kReadOnly) != 0;
  const bool declared_read_only = (subject.flags & script::no_writes) != 0;
  if (of_read_only && subject.has_flags && !declared_read_only) return call.reply.error(not_read_only);
  Run run{.call = &call, .subject = &subject, .declared = call.keys};
  run.read_only = of_read_only || declared_read_only;
  store::Room room;
  if (!run.read_only && (subject.flags & script::allow_oom) == 0) {
    // A transaction has made what room there is before it has locked anything.
    run.no_room =
        call.in_transaction ? !engine_.keyspace.has_room(0, call.may_exceed) : !engine_.keyspace.make_room(room_for(call.args), &room);
    if (run.no_room && subject.has_flags) return call.out_of_memory();
  }
  CommandGroup own;
  CommandGroup& group = call.session.group != nullptr ? *call.session.group : own;
  if (&group == &own) own.budget = TransactionBudget(TransactionBudget::of_script);
  const Session::Grouped grouped(call.session, group);
  const While in_script(group.in_script);
  const WakeLater later;  // until the locks are released
  const cache::Writer writer(writer_of(call.session));
  return execute_locked(call, subject, run);
}

Outcome ScriptRunner::execute_locked(Call& call, const Subject& subject, Run& run) {
  ThreadStats& stats = engine_.stats.of_thread(thread_);
  const std::size_t mark = call.reply.output().mark();
  const std::uint64_t errors = call.reply.errors();
  const bool allowed = allows_undeclared(engine_.settings);
  bool locks_all = allowed && !subject.habit->is_trusted();
  MonitorFeed* const feed = engine_.monitors.any() ? &engine_.monitors.feed_of(thread_) : nullptr;
  MonitorFeed::Mark shown;
  if (feed != nullptr) shown = feed->begin_script();
  script::Outcome result;
  for (;;) {
    if (!call.in_transaction) interpreter_.make_room();
    lock(call, run, locks_all);
    run.may_lock_more = allowed;
    run.may_run_again = !call.in_transaction && !locks_all;
    (run.holds_all ? stats.scripts_locked_all : stats.scripts_locked_declared).add();
    const store::ReadCounts reads = call.session.shared.reads;
    counted_.clear();
    declared_.clear();
    result = interpret(call, subject, run);
    if (run.abandoned != Abandoned::needs_locks) break;
    // Nothing of this run is left but what it has learned.
    call.held.release();
    call.reply.output().truncate(mark);
    stats.scripts_run_again.add();
    take_back_counts(call, reads);
    // It was not within a transaction, so nobody else has spent of these.
    call.session.group->budget = TransactionBudget(TransactionBudget::of_script);
    call.session.group->matches = security::MatchBudget();
    if (feed != nullptr) feed->take_back_script(shown);
    Run again{.call = &call, .subject = &subject, .declared = run.declared};
    again.read_only = run.read_only;
    again.no_room = run.no_room;
    run = again;
    locks_all = true;
  }
  if (!call.in_transaction) {
    call.held.release();
    static_cast<void>(interpreter_.collect());
  }
  stats.scripts.add();
  note_long(call, subject, run);
  if (run.stray) {
    subject.habit->note_undeclared();
  } else if (result.ended == script::Ended::returned) {
    subject.habit->note_declared();
  }
  if (result.ended == script::Ended::stopped || result.ended == script::Ended::abandoned) {
    call.reply.output().truncate(mark);  // perhaps a part of a value
    if (result.ended == script::Ended::stopped) return call.reply.error(result.error);
    return call.reply.error(std::string(run.stop_text).append(" script: ").append(excerpt(subject.name)));
  }
  if (call.reply.errors() == errors || run.has_new_errors) return Outcome::done;
  // As in Redis, the errors were counted with the commands that have failed.
  stats.commands[command_index(call.row)].failed.add();
  return Outcome::errors_counted;
}

// Which script it is, and whose, as lines of the log begin.
std::string ScriptRunner::shown(const Subject& subject, const Call& call) {
  return (subject.is_function ? "function " : "script ") + excerpt(subject.name) + " of client " + std::to_string(call.session.shared.id);
}

// A line for the log about a script that was ended, or that has kept others waiting for long.
void ScriptRunner::note_long(const Call& call, const Subject& subject, const Run& run) {
  static const std::uint64_t long_ticks = ThreadClock::ticks_of(1000 * ns_per_ms);
  if (run.ticks < long_ticks && run.stop_text.empty()) [[likely]]
    return;
  engine_.events.note(EventLog::Kind::long_scripts, [&] {
    std::string text = shown(subject, call) + " has held " + (run.holds_all ? "all keys" : "its keys") + " for " +
                       std::to_string(static_cast<std::int64_t>(ThreadClock::ns_of(run.ticks)) / ns_per_ms) + " ms";
    if (!run.stop_text.empty()) text.append(". ").append(run.stop_text.substr(run.stop_text.find(' ') + 1));
    return text;
  });
}

void ScriptRunner::lock(Call& call, Run& run, bool all) {
  if (!call.in_transaction) {
    if (all) {
      call.held.acquire_all();
    } else if (!run.declared.empty()) {
      call.held.acquire(run.declared);
    }
    call.read_clock();
  }
  run.holds_all = call.held.holds_all();
}

// The counters are as they were before the run: its commands will be executed once more.
void ScriptRunner::take_back_counts(Call& call, const store::ReadCounts& before) {
  for (auto one = counted_.rbegin(); one != counted_.rend(); ++one) {
    CommandCounters& counters = *one->counters;
    counters.calls.set(one->calls);
    counters.measured_ticks.set(one->measured_ticks);
    counters.unmeasured_ticks.set(one->unmeasured_ticks);
    counters.rejected.set(one->rejected);
    counters.failed.set(one->failed);
  }
  store::ReadCounts& reads = call.session.shared.reads;
  engine_.keyspace.take_back_reads({reads.hits - before.hits, reads.misses - before.misses, 0, reads.negative_hits - before.negative_hits});
  reads = before;
}

// Remembers how often a command was called before the script calls it.
void ScriptRunner::remember_counts(const Row& row) {
  constexpr std::size_t most = 4096;
  const Run& run = *run_;
  if (!run.may_run_again || run.had_effect || counted_.size() >= most) return;
  CommandCounters& counters = engine_.stats.of_thread(thread_).commands[command_index(row)];
  counted_.push_back({&counters, counters.calls.get(), counters.measured_ticks.get(), counters.unmeasured_ticks.get(),
                      counters.rejected.get(), counters.failed.get()});
}

script::Outcome ScriptRunner::interpret(Call& call, const Subject& subject, Run& run) {
  static const std::uint64_t shown_after = ThreadClock::ticks_of(RunningScript::shown_after_us * ns_per_us);
  const std::size_t of_keys = run.declared.size();
  constexpr std::size_t first_key = 3;
  const Args keys = call.args.subspan(first_key, of_keys);
  const Args arguments = call.args.subspan(first_key + of_keys);
  CommandGroup& group = *call.session.group;
  const std::uint64_t limit = engine_.scripting.time_limit();
  run.db = call.session.db;
  run.began = ThreadClock::ticks();
  run.deadline = run.began + limit - std::min(limit, group.script_ticks);
  run.look_at = std::min(run.deadline, run.began + shown_after);
  const KeepDatabase keep(call.session);
  ReplySink sink(call);
  interpreter_.set_limits({.memory = engine_.scripting.memory_limit()});
  script::Outcome result;
  {
    const Running running(*this, run);
    result = subject.is_function ? interpreter_.run_function(subject.handle, subject.name, keys, arguments, *this, sink)
                                 : interpreter_.run(subject.handle, subject.name, keys, arguments, *this, sink);
  }
  const std::uint64_t ticks = ThreadClock::ticks_since(run.began);
  group.script_ticks += ticks;
  run.ticks = ticks;
  std::atomic<std::uint64_t>& longest = engine_.scripting.longest_hold;
  std::uint64_t before = longest.load(std::memory_order_relaxed);
  while (ticks > before && !longest.compare_exchange_weak(before, ticks, std::memory_order_relaxed)) {
  }
  if (sink.has_failed()) throw std::bad_alloc();
  run.has_new_errors = sink.has_new_errors();
  return result;
}

// --- what the script asks for ---

std::string_view ScriptRunner::stop() {
  const std::uint64_t now = ThreadClock::ticks();
  if (now < run_->look_at) [[likely]]
    return {};
  return look_at_time(now);
}

std::string_view ScriptRunner::look_at_time(std::uint64_t now) {
  Run& run = *run_;
  if (!run.stop_text.empty()) return run.stop_text;
  ThreadStats& stats = engine_.stats.of_thread(thread_);
  if (run.call == nullptr) return run.stop_text = run.late_text;
  if (engine_.scripting.stopping()) return run.stop_text = shutdown_text;
  if (now >= run.deadline) {
    stats.scripts_out_of_time.add();
    return run.stop_text = run.has_written ? late_after_write_text : late_text;
  }
  RunningScript& running = engine_.scripting.running(thread_);
  if (run.shown && running.is_killed()) {
    stats.scripts_killed.add();
    return run.stop_text = killed_text;
  }
  if (!run.shown) {
    try {
      RunningScript::Shown shown{.name = excerpt(run.subject->name), .words = {run.call->row, run.call->args}, .row = &run.call->row};
      shown.db = run.db;
      shown.since_us = monotonic_us() - static_cast<std::int64_t>(ThreadClock::ns_of(now - run.began)) / ns_per_us;
      shown.is_function = run.subject->is_function;
      shown.has_written = run.has_written;
      running.show(std::move(shown));
      run.shown = true;
    } catch (const std::bad_alloc&) {  // then it cannot be killed, but runs no longer for that
    }
  }
  static const std::uint64_t between = ThreadClock::ticks_of(ns_per_ms);
  run.look_at = std::min(run.deadline, now + between);
  return {};
}

script::Host::Reply ScriptRunner::call(std::span<const std::string_view> arguments, int resp) {
  Run& run = *run_;
  try {
    if (stop().empty()) {
      output_.clear(kept_output);
      output_.begin_reply(engine_.scripting.memory_limit());
      reply_.set_protocol(resp);
      execute_command(arguments);
      if (run.abandoned == Abandoned::no) return {.pieces = pieces_of_reply(), .abandon = false};
    } else {
      run.abandoned = Abandoned::stopped;
    }
  } catch (const std::bad_alloc&) {
    run.abandoned = Abandoned::stopped;
    run.stop_text = no_memory_text;
  }
  return {.pieces = {}, .abandon = true};
}

std::span<const std::string_view> ScriptRunner::pieces_of_reply() {
  if (output_.overflow() != resp::Output::Overflow::none) [[unlikely]] {
    output_.take_back_reply();
    output_.begin_reply(SIZE_MAX);
    refuse(nullptr, "ERR the reply is too large for a script (script-memory-limit)");
  }
  pieces_.clear();
  if (output_.is_text()) [[likely]] {
    pieces_.push_back(output_.text(output_.size()));
    return pieces_;
  }
  constexpr std::size_t usual = 64;
  std::vector<iovec> runs(usual);
  std::size_t count = output_.gather(runs.data(), runs.size());
  while (count == runs.size()) {
    runs.resize(2 * runs.size());
    count = output_.gather(runs.data(), runs.size());
  }
  for (std::size_t i = 0; i < count; ++i) pieces_.emplace_back(static_cast<const char*>(runs[i].iov_base), runs[i].iov_len);
  return pieces_;
}

// Counts as Redis does.
void ScriptRunner::refuse(const Row* row, std::string_view error) {
  ThreadStats& stats = engine_.stats.of_thread(thread_);
  if (row != nullptr) stats.commands[command_index(*row)].rejected.add();
  reply_.error(error);
  stats.errors.add(reply_.last_error_code());
}

void ScriptRunner::execute_command(Args args) {
  const Row* const row = find_command(args);
  if (row == nullptr || is_unknown_subcommand(*row, args)) return refuse(nullptr, "ERR Unknown Redis command called from script");
  if (!arity_fits(*row, args.size())) return refuse(row, "ERR Wrong number of args calling Redis command from script");
  remember_counts(*row);
  if (!may_execute(*row, args)) return;
  bool malformed = false;
  keys_.clear();
  if (const std::size_t at = only_key(*row, args); at != 0) {
    keys_.push_back(engine_.keyspace.key(args[at]));
  } else if (row->keys[0].kind != KeySpec::Kind::none) {
    positions_.clear();
    malformed = extract_keys(*row, args, positions_) == Extraction::malformed;
    for (const std::uint32_t position : positions_) keys_.push_back(engine_.keyspace.key(args[position]));
  }
  if (!reach(keys_, *row, args) || !note_effect(*row)) return;
  Call& outer = *run_->call;
  if (engine_.monitors.any()) [[unlikely]]
    engine_.monitors.feed_of(thread_).show_in_script(outer.session, *row, args, outer.session.db);
  const std::uint64_t may_exceed = engine_.keyspace.memory().limit() / 64 + 1;
  Call nested(outer, reply_, *row, args, keys_, {.in_transaction = true, .may_exceed = may_exceed});
  invoke_in_group(nested, malformed, engine_.stats.of_thread(thread_));
}

// The checks of Redis' scriptCall, in their order.
bool ScriptRunner::may_execute(const Row& row, Args args) {
  Run& run = *run_;
  Session& session = run.call->session;
  if ((row.flags & (kNoScript | kNoMulti)) != 0) {
    refuse(&row, "ERR This Redis command is not allowed from script");
    return false;
  }
  if (!session.may_do_all(engine_.users) || names_channels(row)) {
    const std::shared_ptr<const security::User>& user = session.acting_user(engine_.users);
    RightsVerdict verdict{.denied = RightsVerdict::Denied::command};
    if (user != nullptr)
      verdict =
          may_do_all_of(*user, row) ? RightsVerdict() : check_rights(*user, row, args, session.db, session.group->matches, positions_);
    if (!verdict.allowed()) {
      note_denial_in_group(engine_, session, row, verdict);
      refuse(&row, denial_in_script(verdict));
      return false;
    }
  }
  if (const std::string_view why = refusal(row, session, engine_); !why.empty()) {
    refuse(&row, why);
    return false;
  }
  if (run.read_only && (row.flags & (kWrite | kMayReplicate)) != 0) {
    refuse(&row, "ERR Write commands are not allowed from read-only scripts.");
    return false;
  }
  if (run.no_room && !run.has_written && (row.flags & kDenyOom) != 0) {
    refuse(&row, out_of_memory_error);
    return false;
  }
  return true;
}

// Equal hashes are taken for equal keys: they lie in one shard, so what is locked is right in any case.
bool ScriptRunner::is_declared(const store::Key& key) {
  constexpr std::size_t few = 16;
  const std::span<const store::Key> declared = run_->declared;
  if (declared.size() <= few) {
    return std::any_of(declared.begin(), declared.end(), [&](const store::Key& one) { return one.hash == key.hash; });
  }
  if (declared_.empty()) {
    for (const store::Key& one : declared) declared_.push_back(one.hash);
    std::sort(declared_.begin(), declared_.end());
  }
  return std::binary_search(declared_.begin(), declared_.end(), key.hash);
}

// Whether the shards that the command needs are locked, or could be locked now. If not, it has replied, or the run is given up.
bool ScriptRunner::reach(std::span<const store::Key> keys, const Row& row, Args args) {
  Run& run = *run_;
  if (run.stray && run.holds_all && run.may_lock_more) return true;
  const bool whole_keyspace = needs_all_shards(row, args);
  if (!whole_keyspace && std::all_of(keys.begin(), keys.end(), [this](const store::Key& key) { return is_declared(key); })) return true;
  ThreadStats& stats = engine_.stats.of_thread(thread_);
  if (!run.stray) note_stray(keys, row);
  run.stray = true;
  if (!run.may_lock_more) {
    stats.scripts_refused_undeclared.add();
    refuse(&row, std::string(undeclared_text).append(used_by(keys, row)));
    return false;
  }
  return run.holds_all || reach_beyond(row, keys, whole_keyspace);
}

// What the command uses that is not declared, as errors and the log show it.
std::string ScriptRunner::used_by(std::span<const store::Key> keys, const Row& row) {
  const auto stray = std::ranges::find_if(keys, [this](const store::Key& key) { return !is_declared(key); });
  return shown_command(row.name) + (stray != keys.end() ? " uses '" + excerpt(stray->text) + "'" : " uses all keys");
}

// Tells once why a script locks everything.
void ScriptRunner::note_stray(std::span<const store::Key> keys, const Row& row) {
  const Run& run = *run_;
  if (run.subject->habit->has_strayed()) return;
  engine_.events.note(EventLog::Kind::undeclared_keys, [&] {
    return shown(*run.subject, *run.call) + " uses keys that its caller has not declared, " +
           (run.may_lock_more ? "so it locks all keys: " : "and is refused: ") + used_by(keys, row);
  });
}

bool ScriptRunner::reach_beyond(const Row& row, std::span<const store::Key> keys, bool whole_keyspace) {
  Run& run = *run_;
  store::Keyspace::Locks& held = run.call->held;
  ThreadStats& stats = engine_.stats.of_thread(thread_);
  run.subject->habit->note_undeclared();
  const auto lock = [&](const store::Key& key) { return held.try_acquire_more(engine_.keyspace.shard_of(key)); };
  if (whole_keyspace ? held.try_acquire_rest() : std::all_of(keys.begin(), keys.end(), lock)) {
    run.holds_all = held.holds_all();
    stats.scripts_locked_more.add();
    return true;
  }
  if (run.may_run_again && !run.had_effect) {
    run.abandoned = Abandoned::needs_locks;
    return false;
  }
  stats.scripts_refused_undeclared.add();
  refuse(&row, undeclared_busy_text);
  return false;
}

// False if the script was killed meanwhile: SCRIPT KILL has said that it has not written.
bool ScriptRunner::note_effect(const Row& row) {
  Run& run = *run_;
  if (run.has_written || !has_effect(row, engine_)) return true;
  run.had_effect = true;
  if ((row.flags & (kWrite | kMayReplicate)) == 0) return true;
  if (run.shown && !engine_.scripting.running(thread_).note_write()) {
    engine_.stats.of_thread(thread_).scripts_killed.add();
    run.stop_text = killed_text;
    run.abandoned = Abandoned::stopped;
    return false;
  }
  run.has_written = true;
  return true;
}

script::Permission ScriptRunner::may_call(std::span<const std::string_view> arguments) {
  Session& session = run_->call->session;
  const Row* const row = find_command(arguments);
  if (row == nullptr || is_unknown_subcommand(*row, arguments)) return script::Permission::no_such_command;
  if (session.may_do_all(engine_.users) && !names_channels(*row)) return script::Permission::granted;
  const std::shared_ptr<const security::User>& user = session.acting_user(engine_.users);
  if (user == nullptr) return script::Permission::denied;
  if (may_do_all_of(*user, *row)) return script::Permission::granted;
  if (!arity_fits(*row, arguments.size())) return script::Permission::denied;
  try {
    const bool allowed = check_rights(*user, *row, arguments, session.db, session.group->matches, positions_).allowed();
    return allowed ? script::Permission::granted : script::Permission::denied;
  } catch (const std::bad_alloc&) {
    return script::Permission::denied;
  }
}

void ScriptRunner::log(script::LogLevel level, std::string_view text) {
  constexpr std::size_t longest = 1024;
  if (run_->call == nullptr) return;
  engine_.events.note(kind_of(level), [&] {
    return "script " + excerpt(run_->subject->name) + " of client " + std::to_string(run_->call->session.shared.id) + ": " +
           excerpt(text, longest);
  });
}

}  // namespace pinfold::command
