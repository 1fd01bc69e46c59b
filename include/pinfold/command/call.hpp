#pragma once
// The execution of one command: what a handler is given.
//
// When a handler runs, dispatch has checked arity, authentication and memory, and has locked the shards of all keys that the
// command table names. A handler first parses its arguments (cursor.hpp), then acts, then writes exactly one reply, and returns
// an Outcome.

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "pinfold/base/thread_clock.hpp"
#include "pinfold/base/waits.hpp"
#include "pinfold/command/large_arguments.hpp"
#include "pinfold/command/outcome.hpp"
#include "pinfold/command/session.hpp"
#include "pinfold/resp/reply.hpp"
#include "pinfold/store/database.hpp"
#include "pinfold/store/keyspace.hpp"

namespace pinfold::command {

struct Row;
class Engine;

using Args = std::span<const std::string_view>;

inline constexpr std::string_view out_of_memory_error = "OOM command not allowed when used memory > 'maxmemory'.";

/// What a call may do about memory and waiting. Set by the code that makes the call.
struct CallContext {
  /// Whether EXEC runs the command. Then its reply cannot come later, nothing can be evicted for it, and it is called only
  /// once.
  bool in_transaction = false;
  /// Whether the handler may return Outcome::needs_room. The caller then makes room and calls the handler again.
  bool may_retry = false;
  /// How many bytes values may exceed the memory limit by. More than 0 only if the caller cannot make room any more.
  std::uint64_t may_exceed = 0;
  /// The arguments that were received in blocks of their own; null if there are none. The caller owns them.
  LargeArguments* large = nullptr;
};

/// One execution of one command. It is a local variable of dispatch, and refers to what dispatch owns. Not thread-safe: used by
/// the client's I/O thread only.
class Call {
 public:
  /// Reads the clock for the time of the command, so the caller acquires `locks` before.
  Call(const Row& command, Args arguments, resp::Reply& out, Session& client, Engine& services, ThreadClock& time,
       std::span<const store::Key> extracted, store::Keyspace::Locks& locks, const CallContext& context = {})
      : row(command),
        args(arguments),
        reply(out),
        session(client),
        engine(services),
        clock(time),
        waited_before(thread_waits.total()),
        began(ThreadClock::ticks()),
        now(time.now(began).unix),
        mono(time.last().mono),
        keys(extracted),
        held(locks),
        large(context.large),
        may_exceed(context.may_exceed),
        may_retry(context.may_retry),
        in_transaction(context.in_transaction) {}
  /// A command that is executed as a part of `outer`, and shares its time, reply and locks: a command of a transaction, or the
  /// command that a task executes in the end.
  Call(const Call& outer, const Row& command, Args arguments, std::span<const store::Key> extracted, const CallContext& context)
      : Call(outer, outer.reply, command, arguments, extracted, context) {}
  /// The same with a reply of its own: a command of a script.
  Call(const Call& outer, resp::Reply& out, const Row& command, Args arguments, std::span<const store::Key> extracted,
       const CallContext& context)
      : row(command),
        args(arguments),
        reply(out),
        session(outer.session),
        engine(outer.engine),
        clock(outer.clock),
        waited_before(thread_waits.total()),
        began(ThreadClock::ticks()),
        now(outer.now),
        mono(outer.mono),
        keys(extracted),
        held(outer.held),
        large(context.large),
        may_exceed(context.may_exceed),
        may_retry(context.may_retry),
        in_transaction(context.in_transaction) {}

  const Row& row;
  /// The words of the request. args[0] is the command's name as the client has sent it. The views are valid during the call.
  const Args args;
  resp::Reply& reply;
  Session& session;
  Engine& engine;
  ThreadClock& clock;
  /// thread_waits.total() when the call was made.
  const std::uint64_t waited_before;
  /// ThreadClock::ticks() when the call was made, with its locks held: what a command's time is counted from.
  const std::uint64_t began;
  /// The time of this command, which is the same for all commands of a transaction. `now` is for deadlines of entries, `mono`
  /// for durations.
  UnixMs now;
  MonoMs mono;
  /// The keys in the order in which the table finds them in the arguments, duplicates included.
  const std::span<const store::Key> keys;
  store::Keyspace::Locks& held;
  // These are explained at CallContext.
  LargeArguments* const large;
  const std::uint64_t may_exceed;
  const bool may_retry;
  const bool in_transaction;

  /// Reads the clock again. For a command that has taken long or has waited for locks. Does nothing inside EXEC.
  void read_clock() {
    if (in_transaction) return;
    now = clock.now().unix;
    mono = clock.last().mono;
  }

  const store::Key& key(std::size_t n = 0) const { return keys[n]; }
  store::Database db() const { return db(session.db); }
  store::Database db(unsigned number) const;

  /// Leaves the rest of a long command to `task`. Its steps run later, with nothing locked, and write the reply. Not inside
  /// EXEC.
  Outcome park(std::unique_ptr<Task> task);
  /// Releases the locks and runs the first step of `task`. If more steps are left, parks the task. Late in a round of the
  /// thread's loop it runs no step and parks the task at once. Not inside EXEC.
  Outcome begin(std::unique_ptr<Task> task);
  /// Runs all steps of a task at once. For a task that is known to be short.
  Outcome run_whole(Task& task) {
    for (;;) {
      if (const Outcome outcome = task.step(*this); outcome != Outcome::waits) return outcome;
    }
  }

  /// Hands over the block in which the argument at `index` was received, so that it can be stored without a copy. An empty Blob
  /// if the argument was not received in a block. args[index] points into the block and stays valid.
  Blob take_blob(std::size_t index) { return large != nullptr ? large->take(index) : Blob(); }
  /// Stores the argument at `index` as the whole value of a key.
  store::Stored put_argument(store::Database& db, const store::Key& key, std::size_t index, const store::PutOptions& options = {}) {
    if (large == nullptr) [[likely]]
      return db.put(key, args[index], options);
    return put_large(db, key, index, options);
  }

  /// Whether the policies allow the arguments as values of the keys: args[first + i * step] for keys[i]. A command that writes
  /// several keys asks this first, because it writes all of them or none.
  bool accepts_values(const store::Database& db, std::size_t first, std::size_t step) const {
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (!db.accepts(keys[i], args[first + i * step].size())) return false;
    }
    return true;
  }

  // Replies that many commands share, with Redis' texts.
  resp::Written syntax_error() { return reply.error("ERR syntax error"); }
  resp::Written not_an_integer() { return reply.error("ERR value is not an integer or out of range"); }
  /// Replies that there is no memory and that none can be freed, and says so in the log.
  resp::Written out_of_memory();
  /// What a handler returns after a write was refused. If room is missing and the caller can make it, returns
  /// Outcome::needs_room. Otherwise replies why the write was refused. Not for Stored::must_prepare (prepared_write.hpp).
  [[gnu::cold]] Outcome refused(store::Stored why);
  /// Replies "ERR invalid expire time in 'set' command", with the name of the command.
  resp::Written invalid_expire();
  /// Replies the value as a bulk string. A large value is not copied: the reply shares its block with the store.
  resp::Written bulk(const store::Value& value);
  /// Replies the argument at `index` as a bulk string. If it was received in a block, it is sent from there.
  resp::Written bulk_argument(std::size_t index);

 private:
  store::Stored put_large(store::Database& db, const store::Key& key, std::size_t index, const store::PutOptions& options);
};

}  // namespace pinfold::command
