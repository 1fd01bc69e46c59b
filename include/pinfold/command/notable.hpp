#pragma once
// Notes requests that were slow or large, and waits that were long, for SLOWLOG, COMMANDLOG and LATENCY.
//
// A request that is neither costs one comparison of its ticks with a limit of its thread (ThreadWaits::look_after). The time of a command
// is counted from when its locks are held. What it waits for locks and for room after that is taken off, so what is told is the execution.
//
// The words of a request are read when it has ended, from where it has arrived. That is safe: the bytes of a request stay until its
// connection goes on, and a large argument that was stored is held by the request as well, so nobody changes it where it is. A long command
// keeps its words on its task.

#include <cstdint>

#include "pinfold/base/waits.hpp"
#include "pinfold/command/call.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/request_words.hpp"
#include "pinfold/command/task.hpp"

namespace pinfold::command {

/// The most commands of one EXEC that are noted in each log.
inline constexpr std::uint32_t most_noted_commands_of_exec = 128;

/// What is kept of a long command until it has ended. Its memory is in the account of clients.
struct NotedTask {
  NotedTask(Engine& engine, SharedClient& client) : memory(engine, client) {}

  std::uint64_t ticks = 0;  // of execution
  ThreadWaits::Ticks waits;
  std::uint64_t reply_bytes = 0;
  ClientMemory memory;
  RequestWords words;
};

/// Sets what the present thread looks at. Called by each thread when the settings may have changed.
void follow_time_settings(const config::Settings& settings);

/// Called when a call has ended that took `ticks`, at least thread_waits.look_after(). Notes the call, unless it is to be repeated or goes
/// on as a task, and releases its locks before, unless EXEC has made it. Returns the ticks, or fewer if so many cannot be.
std::uint64_t note_call(Call& call, Outcome outcome, std::uint64_t ticks);
/// Called when a call has left a task on its session, after `ticks`.
void note_task_begun(const Call& call, std::uint64_t ticks);
/// Called after a step of a task, which took `ticks` and wrote `reply_bytes`. Notes the task if it is `done`. Nothing may be locked then.
void note_task_step(const Call& call, Task& task, std::uint64_t ticks, std::uint64_t reply_bytes, bool done);

/// Notes a request that is large, or a reply: that has as many bytes as the settings say, or more. O(words of the request).
void note_request_size(Engine& engine, const Session& session, const Row& row, Args args);
void note_reply_size(Engine& engine, const Session& session, const Row& row, Args args, std::uint64_t bytes);
/// The sizes from which on requests and replies are large; UINT64_MAX: none is.
std::uint64_t large_request(const config::Settings& settings);
std::uint64_t large_reply(const config::Settings& settings);

}  // namespace pinfold::command
