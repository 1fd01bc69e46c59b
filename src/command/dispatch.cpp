#include "pinfold/command/dispatch.hpp"

#include <algorithm>
#include <cassert>
#include <string>
#include <tuple>

#include "pinfold/base/address.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/audit.hpp"
#include "pinfold/command/databases.hpp"
#include "pinfold/command/notable.hpp"
#include "pinfold/command/request_log.hpp"
#include "pinfold/command/transaction.hpp"
#include "pinfold/store/entry.hpp"
#include "pinfold/store/wrong_type.hpp"

namespace pinfold::command {
namespace {

constexpr std::string_view not_authenticated = "NOAUTH Authentication required.";
constexpr std::string_view argument_dropped =
    "NOPERM an argument of more than 512 KB was not kept: it is no value for a key that this user may write, or to find out took too long";
constexpr std::string_view rights_changed = "NOPERM the rights of this user changed while the command was running: send it again";
constexpr std::string_view no_debugging =
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local "
    "connection, otherwise you need to set this option in the configuration file, and then restart the server.";

// Browsers and other HTTP clients can be tricked into sending requests here whose body is Redis commands
// (cross-protocol scripting); these two words are in every one of them.
bool is_http(std::string_view name) { return iequals(name, "post") || iequals(name, "host:"); }

bool is_exec(const Row& row) { return row.name == "exec"; }

bool is_local(const SharedClient& client) { return client.unix_socket || is_loopback(client.address); }

bool allows_debugging(const config::Settings& settings, const SharedClient& client) {
  enum Choice : std::int64_t { no, yes, local };  // in the order of the setting's choices
  const std::int64_t choice = settings.integer(config::Id::enable_debug_command);
  return choice == yes || (choice == local && is_local(client));
}

// Whether the command waits while CLIENT PAUSE WRITE holds changes.
bool may_change(const Row& row) {
  return (row.flags & (kWrite | kMayReplicate)) != 0 || ((row.flags & kRunsScript) != 0 && (row.flags & kReadOnly) == 0);
}

// Whether refusal() has to be asked about a command.
bool may_be_refused(const Row& row) { return (row.flags & (kProtected | kAdmin | kLogged | kAudited | kNamesChannels)) != 0; }

// A client with RESP2 that has subscribed cannot tell replies from messages, so it may send little.
std::string not_for_subscribers(const Row& row) {
  return "ERR Can't execute '" + std::string(row.name) +
         "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
}

bool is_for_others(const Row& row, const Session& session) { return session.only_subscribes() && (row.flags & kForSubscribers) == 0; }

// Whether the error says that the client may not make its request, beside NOPERM, which note_denial() notes.
bool is_denial(std::string_view error) { return error == not_authenticated || error == no_debugging; }

// Whether a request counts for the rate of its user. Those that authenticate and leave are always possible. So are MULTI, EXEC and DISCARD:
// without MULTI, the commands behind it would be executed at once, and what EXEC executes has counted when it was queued.
bool counts_for_rate(const Row& row) {
  const bool frames_transaction = (row.flags & kImmediate) != 0 && row.keys[0].kind == KeySpec::Kind::none;
  return !frames_transaction && (row.flags & kNoAuth) == 0;
}

// The rest of the way of a call that replied with an error.
[[gnu::cold]] void count_failure(const Call& call, Outcome outcome, ThreadStats& stats, CommandCounters& counters) {
  if (is_audited(call.row) && !call.args.empty()) audit_request(call, RequestResult::failed);
  if (outcome == Outcome::errors_counted) return;
  counters.failed.add();
  stats.errors.add(call.reply.last_error_code());
}

// Counts a call that has ended. `errors` is how many errors had been replied before it.
inline void count_call(const Call& call, Outcome outcome, std::uint64_t errors, ThreadStats& stats, CommandCounters& counters) {
  counters.calls.add();
  if (call.reply.errors() != errors) [[unlikely]] {
    count_failure(call, outcome, stats, counters);
  } else if ((call.row.flags & (kLogged | kAdmin)) != 0) [[unlikely]] {
    if ((call.row.flags & kLogged) != 0) note_request(call);
    audit_request(call, outcome == Outcome::waits ? RequestResult::begun : RequestResult::ok);
    follow_time_settings(call.engine.settings);  // CONFIG SET may have changed them; other threads see it in their next round
  }
}

inline void note_duration(std::size_t index, std::uint64_t ticks, ThreadStats& stats) {
  if (stats.measures) [[likely]]
    stats.durations.note(index, ThreadClock::span_of(ticks, stats.span_scale));
}

inline void count_ticks(CommandCounters& counters, std::uint64_t ticks, const ThreadStats& stats) {
  (stats.measures ? counters.measured_ticks : counters.unmeasured_ticks).add(ticks);
}

// The time of a command that goes on as a task is that of its handler and its steps, and is noted when it has ended.
[[gnu::cold]] void note_first_ticks(const Call& call, std::uint64_t ticks, ThreadStats& stats) {
  if (call.session.task != nullptr) {
    call.session.task->ticks += ticks;
    note_task_begun(call, ticks);
  } else {
    note_duration(command_index(call.row), ticks, stats);
  }
}

// What a command may need of memory: its arguments and what the store adds to each.
std::uint64_t memory_needed(Args args) {
  constexpr std::uint64_t overhead = 64;  // of an argument that becomes an entry
  std::uint64_t bytes = 0;
  for (const std::string_view arg : args) bytes += arg.size() + overhead;
  return bytes;
}

// For a call that is not made once more when room has been made for it: as good as none beyond the limit.
constexpr std::uint64_t no_more_room = 1;

// Commands that change a deadline may have to write the entry anew. They are never refused for that: what they take is
// little, but must not add up.
bool may_grow(const Row& row) {
  const KeyUse use = row.keys[0].use;
  return (row.flags & kDenyOom) == 0 && (use == KeyUse::update || use == KeyUse::modify);
}

// Releases on every way out: a handler that allocates may throw.
struct Release {
  store::Keyspace::Locks& locks;
  ~Release() { locks.release(); }
};

// The one place that answers it. Nothing has been changed: whoever is about to change a value looks at it first.
[[gnu::cold]] void reply_wrong_type(Call& call, std::size_t mark) {
  call.reply.output().truncate(mark);
  call.reply.error("WRONGTYPE Operation against a key holding the wrong kind of value");
}

bool is_refused(const Prepared& prepared) { return prepared.large != nullptr && prepared.large->refused(); }

// Whether the key that is denied was not kept, and is empty here. Then reject_for_large() says what is true.
bool is_about_dropped_key(const RightsVerdict& verdict, const Prepared& prepared) {
  return is_refused(prepared) && verdict.denied == RightsVerdict::Denied::key && verdict.object.empty();
}

}  // namespace

[[gnu::cold]] std::string_view refusal(const Row& row, const Session& session, const Engine& engine) {
  if (!may_be_refused(row)) return {};
  if ((row.flags & kProtected) != 0 && !allows_debugging(engine.settings, session.shared)) return no_debugging;
  constexpr std::uint32_t audited = kAdmin | kLogged | kAudited | kProtected;
  return (row.flags & audited) != 0 && audit_forbids(engine) ? audit_error : std::string_view();
}

Outcome invoke(Call& call, ThreadStats& stats, std::size_t mark) {
  const std::size_t index = command_index(call.row);
  CommandCounters& counters = stats.commands[index];
  const std::uint64_t errors = call.reply.errors();
  if (stats.tells_events.load(std::memory_order_relaxed)) [[unlikely]]
    note_writer(call.row);
  Outcome outcome = Outcome::done;
  try {
    outcome = call.row.handler(call);
  } catch (const store::WrongType&) {
    reply_wrong_type(call, mark);
  }
  std::uint64_t ticks = ThreadClock::ticks_since(call.began);
  if (call.session.tracking != nullptr) [[unlikely]]
    follow_tracked_call(call, outcome);  // before note_call(), which may release the locks
  if (ticks >= thread_waits.look_after()) [[unlikely]]
    ticks = note_call(call, outcome, ticks);
  count_ticks(counters, ticks, stats);
  if (outcome == Outcome::done || outcome == Outcome::errors_counted) [[likely]] {
    note_duration(index, ticks, stats);
  } else if (outcome.needs_room()) {
    return outcome;  // it will be tried again, or is counted by whoever answers
  } else {
    note_first_ticks(call, ticks, stats);
  }
  count_call(call, outcome, errors, stats, counters);
  return outcome;
}

Outcome fail_for_keys(const Call& call, ThreadStats& stats) {
  const std::uint64_t errors = call.reply.errors();
  call.reply.error(key_error(call.row, call.args));
  count_call(call, Outcome::done, errors, stats, stats.commands[command_index(call.row)]);
  return Outcome::done;
}

Dispatcher::Dispatcher(Engine& engine, unsigned thread)
    : engine_(engine),
      stats_(engine.stats.of_thread(thread)),
      accesses_(engine.accesses.of_thread(thread)),
      locks_(engine.keyspace),
      feed_(engine.monitors.feed_of(thread)) {
  follow_time_settings(engine.settings);
}

Prepared Dispatcher::prepare(Args args) const {
  Prepared prepared;
  prepared.row = find_command(args);
  if (prepared.row == nullptr) return prepared;
  if (const std::size_t at = only_key(*prepared.row, args); at != 0) {
    prepared.one_key = true;
    prepared.key = engine_.keyspace.key(args[at]);
  }
  return prepared;
}

void Dispatcher::execute(Session& session, Args args, const Prepared& prepared, resp::Reply& reply) {
  constexpr auto relaxed = std::memory_order_relaxed;
  SharedClient& shared = session.shared;
  shared.last_command.store(prepared.row, relaxed);
  shared.last_active.store(clock_.last().mono, relaxed);
  shared.commands.store(shared.commands.load(relaxed) + 1, relaxed);
  if (engine_.keyspace.lock_watch().accounting()) [[unlikely]] {
    return execute_accounted(session, args, prepared, reply);
  }
  if (session.reply_mode == ReplyMode::on) [[likely]]
    return dispatch(session, args, prepared, reply);
  execute_silenced(session, args, prepared, reply);
}

void Dispatcher::execute_accounted(Session& session, Args args, const Prepared& prepared, resp::Reply& reply) {
  const std::string_view name = prepared.row != nullptr ? prepared.row->name : "unknown";
  const store::HoldCause cause(name, named(session, args, prepared));
  if (session.reply_mode == ReplyMode::on) return dispatch(session, args, prepared, reply);
  execute_silenced(session, args, prepared, reply);
}

namespace {

// Whether the arguments of a command may name elements.
bool on_collections(const Row& row) { return (row.categories & (kHash | kList | kSet | kSortedSet | kHyperLogLog | kGeo)) != 0; }

}  // namespace

// What a request asks for by name: its keys, or the tags and clients that its arguments name, and the arguments, those of the commands
// that EXEC executes, and the keys watched.
store::Named Dispatcher::named(const Session& session, Args args, const Prepared& prepared) {
  store::Named sum;
  if (prepared.row == nullptr) return sum;
  sum.keys = session.watched.size();
  const auto add = [&](const Row& row, Args of) {
    positions_.clear();
    static_cast<void>(extract_keys(row, of, positions_));  // none if they are malformed
    // Where there are no keys, what an argument names is as good: a tag, a client.
    sum.keys += row.keys[0].kind == KeySpec::Kind::none ? of.size() : positions_.size();
    for (const std::string_view arg : of) sum.bytes += arg.size();
    if (on_collections(row)) sum.elements += of.size() - 1 - positions_.size();
  };
  add(*prepared.row, args);
  if (!is_exec(*prepared.row) || session.transaction == nullptr) return sum;
  std::vector<std::string_view> of;
  for (const Queued& queued : session.transaction->queue) {
    queued.arguments(of);
    add(queued.row(), of);
  }
  return sum;
}

void Dispatcher::execute_silenced(Session& session, Args args, const Prepared& prepared, resp::Reply& reply) {
  const std::size_t mark = reply.output().mark();
  const bool speaks = prepared.row != nullptr && (prepared.row->flags & kRepliesPushes) != 0;
  if (session.reply_mode == ReplyMode::skip_next) session.reply_mode = ReplyMode::skip_this;
  dispatch(session, args, prepared, reply);
  // CLIENT REPLY ON, which has changed the mode, answers for itself.
  if (session.reply_mode != ReplyMode::on && !speaks) reply.output().truncate(mark);
  if (session.task != nullptr) session.task->silent = !speaks;
  if (session.reply_mode == ReplyMode::skip_this) session.reply_mode = ReplyMode::on;
}

inline std::uint64_t Dispatcher::memory_for(const Row& row, Args args, const Prepared& prepared) {
  if (prepared.large == nullptr) [[likely]]
    return memory_needed(args);
  return memory_beside_large(row, args, *prepared.large);
}

// What most requests of a limited user are: one key in the selected database, which the user may use. False if it is not known yet, or if
// the request has to be counted for its rate.
inline bool Dispatcher::plainly_allowed(const Row& row, const Session& session, Args args, const Prepared& prepared) const {
  if (!prepared.one_key || row.databases != nullptr || session.transaction != nullptr || session.request_limit() != 0) return false;
  const security::User* const user = session.known_user(engine_.users);
  if (user == nullptr) return false;
  const KeyUse use = row.keys[0].use;
  const security::Access access = access_of(use < KeyUse::set_get ? use : key_use(row.keys[0], args));
  return user->allows_one(command_index(row), session.db, prepared.key.text, access);
}

void Dispatcher::dispatch(Session& session, Args args, const Prepared& prepared, resp::Reply& reply) {
  const Row* row = prepared.row;
  if (row == nullptr || is_unknown_subcommand(*row, args)) [[unlikely]] {
    return reject_unknown(row, session, args, reply);
  }
  if (!arity_fits(*row, args.size())) [[unlikely]]
    return reject(row, session, reply, wrong_arity(*row));
  // First, so that a client that has not authenticated learns nothing of what others may do here.
  if (!session.may_do_all(engine_.users)) [[unlikely]] {
    if (!plainly_allowed(*row, session, args, prepared) && refused_by_rights(*row, session, args, prepared, reply)) return;
    if (is_for_others(*row, session)) return reject(row, session, reply, not_for_subscribers(*row));
  }
  if (may_be_refused(*row)) [[unlikely]] {
    // Rights for channels are not among those that may_do_all() tells of.
    if (names_channels(*row) && session.may_do_all(engine_.users) && refused_by_rights(*row, session, args, prepared, reply)) return;
    if (const std::string_view error = refusal(*row, session, engine_); !error.empty()) return reject(row, session, reply, error);
  }
  if (is_refused(prepared)) [[unlikely]]
    return reject_for_large(*row, session, *prepared.large, reply);
  store::Room room;
  const bool in_multi = session.transaction != nullptr;
  if (in_multi) [[unlikely]] {
    if (queued_or_rejected(*row, session, args, prepared, reply, room)) return;
  } else if ((row->flags & kDenyOom) != 0 && !engine_.keyspace.make_room(memory_for(*row, args, prepared), &room)) [[unlikely]] {
    return reject(row, session, reply, out_of_memory_error);
  } else if (may_grow(*row)) {
    engine_.keyspace.make_room(store::max_inline_entry);
  }
  if (engine_.monitors.any() && !is_exec(*row)) [[unlikely]]
    feed_.show(session, *row, args, session.db);
  run(*row, session, args, prepared, reply);
  if (in_multi) [[unlikely]]
    engine_.enforce_user_share(session);  // with nothing locked: EXEC may have made the client that of another user
}

void Dispatcher::run(const Row& row, Session& session, Args args, const Prepared& prepared, resp::Reply& reply) {
  const Release release{locks_};
  const std::size_t mark = reply.output().mark();
  if (!prepared.one_key && find_keys(row, args) == Extraction::malformed) [[unlikely]] {
    std::ignore = fail_for_keys(Call(row, args, reply, session, engine_, clock_, {}, locks_), stats_);
    return;
  }
  note_accesses(session, prepared);
  Call call(row, args, reply, session, engine_, clock_, lock_keys(prepared), locks_, {.may_retry = true, .large = prepared.large});
  const Outcome outcome = invoke(call, stats_, mark);
  assert((outcome == Outcome::waits) == session.waits());
  if (!outcome.needs_room()) [[likely]]
    return;
  reply.output().truncate(mark);
  locks_.release();
  run_with_room(outcome.bytes(), row, session, args, prepared, reply);
}

// The second call of a handler that needs room, which is made with nothing locked: a value must grow by more than the request's own size.
void Dispatcher::run_with_room(std::uint64_t bytes, const Row& row, Session& session, Args args, const Prepared& prepared,
                               resp::Reply& reply) {
  store::Room room;
  if (!engine_.keyspace.make_room(bytes, &room)) return reject(&row, session, reply, out_of_memory_error);
  const std::size_t mark = reply.output().mark();
  Call call(row, args, reply, session, engine_, clock_, lock_keys(prepared), locks_, {.may_exceed = no_more_room, .large = prepared.large});
  [[maybe_unused]] const Outcome outcome = invoke(call, stats_, mark);
  assert(!outcome.needs_room() && (outcome == Outcome::waits) == session.waits());
}

bool Dispatcher::step(Session& session, resp::Reply& reply) {
  Task& task = *session.task;
  const std::size_t mark = reply.output().mark();
  const std::size_t size = reply.output().size();
  const std::uint64_t errors = reply.errors();
  const store::HoldCause cause(task.row->name, task.named);
  const cache::Writer writer(writer_of(session));
  Call call(*task.row, {}, reply, session, engine_, clock_, {}, locks_, {.may_exceed = no_more_room});
  const Release release{locks_};
  if (stats_.tells_events.load(std::memory_order_relaxed)) note_writer(*task.row);
  Outcome outcome = Outcome::done;
  try {
    outcome = !task.replying && !task.irrevocable && rights_have_changed(session) ? reply.error(rights_changed) : task.step(call);
  } catch (const store::WrongType&) {  // no task looks a value up once it has begun to reply
    reply_wrong_type(call, mark);
  }
  const bool done = outcome != Outcome::waits;
  CommandCounters& counters = stats_.commands[command_index(*task.row)];
  const std::uint64_t ticks = ThreadClock::ticks_since(call.began);
  count_ticks(counters, ticks, stats_);
  task.ticks += ticks;
  if (done) note_duration(command_index(*task.row), task.ticks, stats_);
  if (reply.errors() != errors) count_failure(call, outcome, stats_, counters);
  if (task.silent) reply.output().truncate(mark);
  locks_.release();  // what the task has kept is freed with nothing locked
  note_task_step(call, task, ticks, reply.output().size() - size, done);
  if (done) session.task.reset();
  return done;
}

bool Dispatcher::retry(Session& session, resp::Reply& reply) {
  Waiting& waiting = *session.waiting;
  if (!waiting.still_allowed(engine_, session, reply)) {
    leave_wait(session, engine_);
    return true;
  }
  const Row& row = *waiting.row;
  const std::size_t mark = reply.output().mark();
  const std::uint64_t errors = reply.errors();
  const store::HoldCause cause(row.name, waiting.named);
  const cache::Writer writer(writer_of(session));
  Call call(row, {}, reply, session, engine_, clock_, {}, locks_, {.may_exceed = no_more_room});
  const Release release{locks_};
  if (stats_.tells_events.load(std::memory_order_relaxed)) note_writer(row);
  Outcome outcome = Outcome::done;
  try {
    outcome = waiting.retry(call);
  } catch (const store::WrongType&) {
    reply_wrong_type(call, mark);
  }
  count_ticks(stats_.commands[command_index(row)], ThreadClock::ticks_since(call.began), stats_);
  locks_.release();
  if (outcome == Outcome::waits && session.task == nullptr) return false;
  if (reply.errors() != errors) count_failure(call, outcome, stats_, stats_.commands[command_index(row)]);
  leave_wait(session, engine_);
  return true;
}

// Whether the task's user may no longer do all that it could when the task began. What the task needs is not known any more.
bool Dispatcher::rights_have_changed(Session& session) const {
  Task& task = *session.task;
  const std::shared_ptr<const security::User>& user = session.acting_user(engine_.users);
  if (user == nullptr || task.user == nullptr) return true;
  if (user == task.user) [[likely]]
    return false;
  if (!user->unlimited() && !user->has_rights_of(*task.user)) return true;
  task.user = user;
  return false;
}

Extraction Dispatcher::find_keys(const Row& row, Args args) {
  keys_.clear();
  if (row.keys[0].kind == KeySpec::Kind::none) return Extraction::done;
  positions_.clear();
  if (extract_keys(row, args, positions_) == Extraction::malformed) return Extraction::malformed;
  keys_.reserve(positions_.size());  // just so many: the parser's limit allows for them
  for (const std::uint32_t at : positions_) keys_.push_back(engine_.keyspace.key(args[at]));
  return Extraction::done;
}

inline void Dispatcher::note_accesses(const Session& session, const Prepared& prepared) {
  if (prepared.one_key) [[likely]] {
    accesses_.note(session.db, prepared.key, clock_);
  } else if ((prepared.row->flags & kRunsScript) == 0) {  // what a script does with its keys is noted then
    accesses_.note(session.db, keys_, clock_);
  }
}

// Those that find_keys has found.
std::span<const store::Key> Dispatcher::lock_keys(const Prepared& prepared) {
  if (prepared.one_key) {
    locks_.acquire(prepared.key);
    return {&prepared.key, 1};
  }
  if (!keys_.empty() && (prepared.row->flags & kRunsScript) == 0) locks_.acquire(keys_);
  return keys_;
}

// Large arguments are in memory already, where they can stay as values. Only as keys they are copied. A command that
// makes a value larger asks for that by itself.
std::uint64_t Dispatcher::memory_beside_large(const Row& row, Args args, const LargeArguments& large) {
  std::uint64_t bytes = memory_needed(args);
  positions_.clear();
  static_cast<void>(extract_keys(row, args, positions_));  // none if they are malformed: then nothing is stored
  std::sort(positions_.begin(), positions_.end());
  for (std::size_t i = 0; i < large.count(); ++i) {
    const std::size_t index = large.index(i);
    if (!std::binary_search(positions_.begin(), positions_.end(), index)) bytes -= args[index].size();
  }
  return bytes;
}

// The checks of a client whose user may not do everything, as far as is known. True if the request has been answered, or its client is to
// be closed. All of them are about one user, looked up once: the users may change meanwhile.
bool Dispatcher::refused_by_rights(const Row& row, Session& session, Args args, const Prepared& prepared, resp::Reply& reply) {
  const std::shared_ptr<const security::User>& user = session.acting_user(engine_.users);
  if (session.removed()) {
    session.close_after_reply = true;
    return true;
  }
  if (user == nullptr) {
    if ((row.flags & kNoAuth) != 0) return false;
    reject(&row, session, reply, not_authenticated);
    return true;
  }
  security::MatchBudget of_request;
  security::MatchBudget& budget = session.transaction != nullptr ? session.transaction->queued_matches : of_request;
  const std::optional<RightsVerdict> verdict = denial(row, session, *user, args, budget);
  if (verdict && !is_about_dropped_key(*verdict, prepared)) {
    note_denial(engine_, session, row, *verdict);
    reject(&row, session, reply, "NOPERM " + denial_text(row, *verdict));
    return true;
  }
  return session.request_limit() != 0 && refused_by_rate(row, session, *user, reply);
}

// Whether the user has made as many requests as it may at this time. True if the request has been answered.
bool Dispatcher::refused_by_rate(const Row& row, Session& session, const security::User& user, resp::Reply& reply) {
  if (!counts_for_rate(row)) return false;
  const std::int64_t per_second = session.request_limit();
  const std::int64_t wait_ms = user.usage()->rate.take(per_second, clock_.last().mono);
  if (wait_ms == 0) return false;
  user.usage()->refused.fetch_add(1, std::memory_order_relaxed);
  stats_.rate_limited.add();
  note_rate_limited(session, engine_, user, per_second);
  const std::string error = "THROTTLED user '" + excerpt(user.name()) + "' may make " + std::to_string(per_second) +
                            " requests a second: try again in " + std::to_string(wait_ms) + " ms";
  audit_denial(engine_, session, row, error);
  reject(&row, session, reply, error);
  return true;
}

// Why the user may not make the request; nothing if it may.
std::optional<RightsVerdict> Dispatcher::denial(const Row& row, const Session& session, const security::User& user, Args args,
                                                security::MatchBudget& budget) {
  // Refused in any case, in other words.
  if (session.transaction != nullptr && (row.flags & kNoMulti) != 0) return std::nullopt;
  if (may_do_all_of(user, row)) return std::nullopt;
  const unsigned db = session.transaction != nullptr ? session.transaction->db : session.db;
  const RightsVerdict verdict = check_rights(user, row, args, db, budget, positions_);
  return verdict.allowed() ? std::nullopt : std::optional(verdict);
}

// The part of dispatch that is different between MULTI and EXEC. True if the request has been answered.
bool Dispatcher::queued_or_rejected(const Row& row, Session& session, Args args, const Prepared& prepared, resp::Reply& reply,
                                    store::Room& room) {
  Transaction& transaction = *session.transaction;
  if ((row.flags & kNoMulti) != 0) {
    reject(&row, session, reply, "ERR Command not allowed inside a transaction");
    return true;
  }
  const bool immediate = (row.flags & kImmediate) != 0;
  // Whatever is queued takes memory, be it a read; EXEC needs it if a command inside does.
  if (!immediate || (is_exec(row) && (transaction.flags & kDenyOom) != 0)) {
    const std::uint64_t bytes = immediate ? transaction.needed : memory_for(row, args, prepared);
    if (!engine_.keyspace.make_room(bytes, &room)) {
      reject(&row, session, reply, out_of_memory_error);
      return true;
    }
  }
  if (!immediate) queue(row, session, args, prepared, reply);
  return !immediate;
}

void Dispatcher::queue(const Row& row, Session& session, Args args, const Prepared& prepared, resp::Reply& reply) {
  Transaction& transaction = *session.transaction;
  const std::uint64_t large = prepared.large != nullptr ? prepared.large->bytes() : 0;
  const std::uint64_t bytes = Queued::memory(args, large);
  const auto limit = static_cast<std::uint64_t>(engine_.settings.integer(config::Id::client_query_buffer_limit));
  if (transaction.bytes + transaction.large_bytes + bytes + large > limit) {
    stats_.query_limit_disconnections.add();
    session.close_after_reply = true;
    return;
  }
  transaction.needed += memory_for(row, args, prepared);
  transaction.queue.emplace_back(row, args, prepared.large);
  transaction.flags |= row.flags | (may_change(row) ? kWrite : 0U);
  if (row.name == "select") transaction.db = named_database(args[1]).value_or(transaction.db);
  transaction.bytes += bytes;
  transaction.large_bytes += large;
  engine_.keyspace.memory().add(store::Use::clients, static_cast<std::int64_t>(bytes));
  session.shared.queued.store(static_cast<int>(transaction.queue.size()), std::memory_order_relaxed);
  session.shared.queued_bytes.store(transaction.bytes, std::memory_order_relaxed);
  engine_.enforce_user_share(session);
  reply.simple("QUEUED");
}

void Dispatcher::reject(const Row* row, Session& session, resp::Reply& reply, std::string_view error) {
  if (session.transaction != nullptr) session.transaction->failed = true;
  if (session.tracking != nullptr) end_caching(*session.tracking, session, row);
  thread_waits.forget();
  if (row != nullptr) stats_.commands[command_index(*row)].rejected.add();
  if (row != nullptr && is_denial(error)) audit_denial(engine_, session, *row, error);
  if (row != nullptr && error == out_of_memory_error) note_out_of_memory(session, *row, engine_);
  if (row != nullptr && is_exec(*row)) {
    end_transaction(session, engine_);
    Call call(*row, {}, reply, session, engine_, clock_, {}, locks_);
    const Release release{locks_};
    constexpr std::string_view usual_code = "ERR ";  // does not stand behind another one
    if (error.starts_with(usual_code)) error.remove_prefix(usual_code.size());
    const Outcome outcome = release_watched(call, "EXECABORT Transaction discarded because of: " + std::string(error), true);
    if (outcome == Outcome::waits) return;  // a task replies later
  } else {
    reply.error(error);
  }
  stats_.errors.add(reply.last_error_code());
}

// For a request of which a large argument was not kept.
void Dispatcher::reject_for_large(const Row& row, Session& session, const LargeArguments& large, resp::Reply& reply) {
  if (large.refusal() == LargeArguments::Refusal::no_room) return reject(&row, session, reply, out_of_memory_error);
  note_denial(engine_, session,
              {.reason = DenialReason::key,
               .context = session.transaction != nullptr ? DenialContext::multi : DenialContext::toplevel,
               .object = "(an argument of more than 512 KB)",
               .user = user_name(session.shared)});
  audit_denial(engine_, session, row, argument_dropped);
  reject(&row, session, reply, argument_dropped);
}

void Dispatcher::reject_unknown(const Row* container, Session& session, Args args, resp::Reply& reply) {
  constexpr std::size_t most = longest_excerpt;
  if (container == nullptr && is_http(args[0])) {
    note_http(session, engine_);
    session.close_after_reply = true;
    return;
  }
  std::string error = "ERR unknown ";
  if (container != nullptr) {
    error.append("subcommand '").append(excerpt(args[1], most)).append("'. Try ").append(shown_command(container->name)).append(" HELP.");
  } else {
    error.append("command '").append(excerpt(args[0], most)).append("', with args beginning with: ");
    const std::size_t start = error.size();
    for (const std::string_view arg : args.subspan(1)) {
      const std::size_t shown = error.size() - start;
      if (shown >= most) break;
      error.append("'").append(excerpt(arg, most - shown)).append("' ");
    }
  }
  reject(nullptr, session, reply, error);
}

bool Dispatcher::is_paused(Session& session, Args args, const Row* row, PauseMode mode) {
  if (row == nullptr) return false;
  const bool malformed = is_unknown_subcommand(*row, args) || !arity_fits(*row, args.size());
  if (malformed || !refusal(*row, session, engine_).empty()) return false;
  const bool allowed = session.may_do_all(engine_.users) && !names_channels(*row);
  return (allowed || may_go_on(*row, session, args)) && !is_for_others(*row, session) && is_paused(session, *row, mode);
}

// Whether refused_by_rights() would let the request pass, but for its rate.
bool Dispatcher::may_go_on(const Row& row, Session& session, Args args) {
  const std::shared_ptr<const security::User>& user = session.acting_user(engine_.users);
  if (user == nullptr) return !session.removed() && (row.flags & kNoAuth) != 0;
  security::MatchBudget budget = session.transaction != nullptr ? session.transaction->queued_matches : security::MatchBudget();
  return !denial(row, session, *user, args, budget);
}

bool Dispatcher::is_paused(const Session& session, const Row& row, PauseMode mode) const {
  if ((row.flags & kSkipPause) != 0) return false;
  if (mode == PauseMode::all) return true;
  return may_change(row) || (is_exec(row) && session.transaction != nullptr && (session.transaction->flags & kWrite) != 0);
}

bool may_take_long(const Session& session, const Prepared& prepared) {
  constexpr std::size_t many = 64;
  return session.transaction != nullptr && session.transaction->queue.size() > many && prepared.row != nullptr && is_exec(*prepared.row);
}

void Dispatcher::release_memory() {
  std::vector<std::uint32_t>().swap(positions_);
  std::vector<store::Key>().swap(keys_);
}

bool Dispatcher::forget_some(Session& session) {
  constexpr std::size_t at_once = 512;
  if (!engine_.pubsub.end_some(session, at_once)) return false;
  const store::HoldCause cause("disconnect", {.keys = 1});
  return session.watched.empty() || release_some_watched(session, engine_, locks_, at_once);
}

void Dispatcher::end_session(Session& session) {
  const store::HoldCause cause("disconnect", {.keys = session.watched.size()});
  end_transaction(session, engine_);
  release_watched(session, engine_, locks_);
  locks_.release();
  engine_.monitors.remove(session);
  end_tracking(session, engine_);
  if (session.shared.redirect_target.load(std::memory_order_relaxed)) engine_.tracking.target_gone(session.shared.id);
  engine_.pubsub.end_some(session, SIZE_MAX);
}

}  // namespace pinfold::command
