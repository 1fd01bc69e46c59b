#pragma once
// One command being executed: what a handler is given.
//
// When a handler runs, arity, authentication and memory have been checked, and the shards of all keys that the
// command table names for it are locked. A handler parses its arguments (see cursor.hpp), then acts, then replies,
// and returns what came of it (outcome.hpp); exactly one reply is written.

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "pinfold/base/thread_clock.hpp"
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

/// What a call may do about room and waiting. Whoever makes the call says so, once.
struct CallContext {
  /// One command of those that EXEC runs: it cannot wait for its reply, nothing can be evicted for it, and it is called once.
  bool in_transaction = false;
  /// If it needs room (Outcome::needs_room), the caller makes that and calls once more.
  bool may_retry = false;
  /// Bytes that values may grow by beyond the limit, where no room can be made any more.
  std::uint64_t may_exceed = 0;
  /// Those of the arguments that came in blocks of their own, if any did.
  LargeArguments* large = nullptr;
};

class Call {
 public:
  /// Its time is that of its making, so `locks` must be held by then.
  Call(const Row& command, Args arguments, resp::Reply& out, Session& client, Engine& services, ThreadClock& time,
       std::span<const store::Key> extracted, store::Keyspace::Locks& locks, const CallContext& context = {})
      : row(command),
        args(arguments),
        reply(out),
        session(client),
        engine(services),
        clock(time),
        now(time.now().unix),
        mono(time.last().mono),
        keys(extracted),
        held(locks),
        large(context.large),
        may_exceed(context.may_exceed),
        may_retry(context.may_retry),
        in_transaction(context.in_transaction) {}
  /// Another command in the course of `outer`, whose time, reply and locks it shares: one of a transaction, or what a task ends with.
  Call(const Call& outer, const Row& command, Args arguments, std::span<const store::Key> extracted, const CallContext& context)
      : row(command),
        args(arguments),
        reply(outer.reply),
        session(outer.session),
        engine(outer.engine),
        clock(outer.clock),
        now(outer.now),
        mono(outer.mono),
        keys(extracted),
        held(outer.held),
        large(context.large),
        may_exceed(context.may_exceed),
        may_retry(context.may_retry),
        in_transaction(context.in_transaction) {}

  const Row& row;
  /// args[0] is the command's name as sent; the views last for the call.
  const Args args;
  resp::Reply& reply;
  Session& session;
  Engine& engine;
  ThreadClock& clock;
  /// The time of this command, the same for all commands of a transaction: for deadlines of entries, and for what lasts so long.
  UnixMs now;
  MonoMs mono;
  /// The keys in the order in which the table finds them in the arguments, duplicates included.
  const std::span<const store::Key> keys;
  store::Keyspace::Locks& held;
  // See CallContext.
  LargeArguments* const large;
  const std::uint64_t may_exceed;
  const bool may_retry;
  const bool in_transaction;

  /// Brings its time up to date: after it took long, or waited for locks. Inside EXEC time stands still.
  void read_clock() {
    if (in_transaction) return;
    now = clock.now().unix;
    mono = clock.last().mono;
  }

  const store::Key& key(std::size_t n = 0) const { return keys[n]; }
  store::Database db() const { return db(session.db); }
  store::Database db(unsigned number) const;

  /// Leaves the rest of a long command to `task`: its steps come later, when nothing is locked, and write the reply. Not inside
  /// EXEC.
  Outcome park(std::unique_ptr<Task> task);
  /// Runs the first step of such a task now, with what is locked given back, and leaves the rest, if there is any, to later ones; late in
  /// a round of the thread's loop, all of it.
  Outcome begin(std::unique_ptr<Task> task);
  /// Runs all of a task at once: for what is known to be little.
  Outcome run_whole(Task& task) {
    for (;;) {
      if (const Outcome outcome = task.step(*this); outcome != Outcome::waits) return outcome;
    }
  }

  /// The block that the argument at `index` came in, to be stored without a copy; an empty Blob if it came otherwise.
  /// args[index] lies in that block, and stays valid.
  Blob take_blob(std::size_t index) { return large != nullptr ? large->take(index) : Blob(); }
  /// Stores the argument at `index` as the whole value of a key.
  store::Stored put_argument(store::Database& db, const store::Key& key, std::size_t index, const store::PutOptions& options = {}) {
    if (large == nullptr) [[likely]]
      return db.put(key, args[index], options);
    return put_large(db, key, index, options);
  }

  /// Whether the policies allow the arguments from `first` on, each `step` behind the one before, as values of all keys: what
  /// writes several keys writes all or none.
  bool accepts_values(const store::Database& db, std::size_t first, std::size_t step) const {
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (!db.accepts(keys[i], args[first + i * step].size())) return false;
    }
    return true;
  }

  // Replies that many commands share, with Redis' texts.
  resp::Written syntax_error() { return reply.error("ERR syntax error"); }
  resp::Written not_an_integer() { return reply.error("ERR value is not an integer or out of range"); }
  /// There is no memory, and none can be made; the log is told as well.
  resp::Written out_of_memory();
  /// After a write that was refused: asks for the room that it needs, where the caller can make that, and else replies why it was refused.
  /// Not for what has to be prepared (prepared_write.hpp).
  [[gnu::cold]] Outcome refused(store::Stored why);
  /// "ERR invalid expire time in 'set' command"
  resp::Written invalid_expire();
  /// The value as a bulk string; large ones are shared with the store instead of copied.
  resp::Written bulk(const store::Value& value);
  /// The argument at `index` as a bulk string; one that came in a block of its own is sent from there.
  resp::Written bulk_argument(std::size_t index);

 private:
  store::Stored put_large(store::Database& db, const store::Key& key, std::size_t index, const store::PutOptions& options);
};

}  // namespace pinfold::command
