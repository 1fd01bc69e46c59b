#include "pinfold/command/notable.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "pinfold/command/command_table.hpp"

namespace pinfold::command {
namespace {

using Event = LatencyMonitor::Event;
using Kind = CommandLog::Kind;

constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

std::uint64_t limit_of(const config::Settings& settings, config::Id id) {
  const std::int64_t limit = settings.integer(id);
  return limit >= 0 ? static_cast<std::uint64_t>(limit) : never;
}

std::uint64_t us_of(std::uint64_t ticks) { return ThreadClock::ns_of(ticks) / 1000; }

// The counter jumps if the thread is moved to a core whose counter is ahead. No command takes longer than the round in which it runs.
std::uint64_t plausible(const ThreadClock& clock, std::uint64_t ticks) {
  constexpr std::int64_t grain_ms = 2;
  constexpr std::uint64_t ns_per_ms = 1'000'000;
  const std::int64_t passed = std::max<std::int64_t>(monotonic_ms() - clock.round_began(), 0) + grain_ms;
  return std::min(ticks, ThreadClock::ticks_of(static_cast<std::uint64_t>(passed) * ns_per_ms));
}

// What a request took, in microseconds.
struct Times {
  std::uint64_t execution = 0;
  std::uint64_t locks = 0;
  std::uint64_t room = 0;
};

Times times_of(std::uint64_t ticks, const ThreadWaits::Ticks& waits) { return {us_of(ticks), us_of(waits.locks), us_of(waits.room)}; }

// Takes the waits since the call was made off what it took.
std::uint64_t without_waits(const Call& call, std::uint64_t ticks) {
  return ticks - std::min(ticks, thread_waits.total() - call.waited_before);
}

CommandLog::Entry entry_of(const Session& session, const Row& row, std::uint64_t value, RequestWords words) {
  CommandLog::Entry entry;
  entry.unix_s = unix_ms() / 1000;
  entry.value = value;
  entry.row = &row;
  entry.db = session.db;
  entry.words = std::move(words);
  entry.address = session.shared.address;
  entry.name = session.shared.name;
  return entry;
}

// An entry for which there is no memory is left out.
template <class Words>
void log(Engine& engine, Kind kind, config::Id length, const Session& session, const Row& row, const Times& times, std::uint64_t value,
         Words&& words) {
  const auto most = static_cast<std::size_t>(engine.settings.integer(length));
  ThreadStats& stats = engine.stats.of_thread(session.shared.thread);
  constexpr Counter ThreadStats::*counters[] = {&ThreadStats::slow_commands, &ThreadStats::large_requests, &ThreadStats::large_replies};
  (stats.*counters[static_cast<std::size_t>(kind)]).add();
  try {
    CommandLog::Entry entry = entry_of(session, row, value, words());
    entry.locks_us = times.locks;
    entry.room_us = times.room;
    engine.command_log.add(kind, std::move(entry), most);
  } catch (const std::bad_alloc&) {
  }
}

// Whether EXEC, if it has executed the command, has had as many noted as it may.
bool too_many_of_exec(const Session& session, bool in_transaction, Kind kind) {
  if (!in_transaction || session.group == nullptr) return false;
  return session.group->noted[static_cast<std::size_t>(kind)]++ >= most_noted_commands_of_exec;
}

void note_latencies(Engine& engine, const Row& row, const Times& times) {
  const std::int64_t threshold = engine.settings.integer(config::Id::latency_monitor_threshold);
  if (threshold <= 0) return;
  const std::int64_t now_s = unix_ms() / 1000;
  const auto note = [&](Event event, std::uint64_t us) {
    const std::uint64_t ms = us / 1000;
    if (ms >= static_cast<std::uint64_t>(threshold)) engine.latency.add(event, ms, now_s);
  };
  note((row.flags & kFast) != 0 ? Event::fast_command : Event::command, times.execution);
  note(Event::lock_wait, times.locks);
  note(Event::room_wait, times.room);
}

template <class Words>
void note(Engine& engine, const Session& session, const Row& row, const Times& times, bool in_transaction, Words&& words) {
  note_latencies(engine, row, times);
  if ((row.flags & kSkipSlowlog) != 0) return;
  if (times.execution < limit_of(engine.settings, config::Id::slowlog_log_slower_than)) return;
  if (too_many_of_exec(session, in_transaction, Kind::slow)) return;
  log(engine, Kind::slow, config::Id::slowlog_max_len, session, row, times, times.execution, words);
}

}  // namespace

std::uint64_t large_request(const config::Settings& settings) { return limit_of(settings, config::Id::commandlog_request_larger_than); }
std::uint64_t large_reply(const config::Settings& settings) { return limit_of(settings, config::Id::commandlog_reply_larger_than); }

void follow_time_settings(const config::Settings& settings) {
  constexpr std::uint64_t most_us = 100'000;  // beyond this the ticks are looked at in any case, because they may be wrong
  std::uint64_t us = std::min(limit_of(settings, config::Id::slowlog_log_slower_than), most_us);
  const std::int64_t threshold = settings.integer(config::Id::latency_monitor_threshold);
  if (threshold > 0) us = std::min(us, static_cast<std::uint64_t>(threshold) * 1000);
  thread_waits.set_look_after(ThreadClock::ticks_of(us * 1000));
}

std::uint64_t note_call(Call& call, Outcome outcome, std::uint64_t ticks) {
  ticks = plausible(call.clock, ticks);
  const bool goes_on = outcome == Outcome::waits && call.session.task != nullptr;
  if (outcome.needs_room() || goes_on) return ticks;
  const std::uint64_t execution = without_waits(call, ticks);
  const auto words = [&] { return RequestWords(call.row, call.args); };
  if (call.in_transaction) {
    note(call.engine, call.session, call.row, times_of(execution, {}), true, words);
    return ticks;
  }
  call.held.release();
  note(call.engine, call.session, call.row, times_of(execution, thread_waits.take()), false, words);
  return ticks;
}

void note_task_begun(const Call& call, std::uint64_t ticks) {
  const ThreadWaits::Ticks waits = thread_waits.take();
  try {
    const auto noted = std::make_shared<NotedTask>(call.engine, call.session.shared);
    noted->ticks = without_waits(call, ticks);
    noted->waits = waits;
    noted->words = RequestWords(call.row, call.args);
    if (noted->memory.ask(sizeof(NotedTask) + noted->words.memory())) call.session.task->noted = noted;
  } catch (const std::bad_alloc&) {  // then it is not noted
  }
}

void note_task_step(const Call& call, Task& task, std::uint64_t ticks, std::uint64_t reply_bytes, bool done) {
  const ThreadWaits::Ticks waits = thread_waits.take();
  if (task.noted == nullptr) return;
  NotedTask& noted = *task.noted;
  noted.ticks += plausible(call.clock, without_waits(call, ticks));
  noted.waits.locks += waits.locks;
  noted.waits.room += waits.room;
  noted.reply_bytes += reply_bytes;
  if (!done) return;
  const auto words = [&] { return noted.words; };
  note(call.engine, call.session, *task.row, times_of(noted.ticks, noted.waits), false, words);
  if (noted.reply_bytes >= large_reply(call.engine.settings)) {
    log(call.engine, Kind::large_reply, config::Id::commandlog_large_reply_max_len, call.session, *task.row, {}, noted.reply_bytes, words);
  }
}

namespace {

void note_size(Engine& engine, Kind kind, config::Id length, const Session& session, const Row& row, Args args, std::uint64_t bytes) {
  if ((row.flags & kSkipSlowlog) != 0 || is_unknown_subcommand(row, args)) return;  // no more than an unknown command
  if (too_many_of_exec(session, session.group != nullptr, kind)) return;
  log(engine, kind, length, session, row, {}, bytes, [&] { return RequestWords(row, args); });
}

}  // namespace

void note_request_size(Engine& engine, const Session& session, const Row& row, Args args) {
  const std::uint64_t limit = large_request(engine.settings);
  if (limit == never) return;
  const std::uint64_t bytes = request_bytes(args);
  if (bytes < limit) return;
  note_size(engine, Kind::large_request, config::Id::commandlog_large_request_max_len, session, row, args, bytes);
}

void note_reply_size(Engine& engine, const Session& session, const Row& row, Args args, std::uint64_t bytes) {
  if (bytes < large_reply(engine.settings)) return;
  note_size(engine, Kind::large_reply, config::Id::commandlog_large_reply_max_len, session, row, args, bytes);
}

}  // namespace pinfold::command
