#include "pinfold/command/call.hpp"

#include <string>
#include <utility>

#include "pinfold/command/command_table.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/request_log.hpp"

namespace pinfold::command {

store::Database Call::db(unsigned number) const {
  return {engine.keyspace,      number, now, !session.no_touch, {.bounded = true, .beyond = may_exceed, .rules = engine.cache.policies()},
          &session.shared.reads};
}

store::Stored Call::put_large(store::Database& db, const store::Key& key, std::size_t index, const store::PutOptions& options) {
  if (Blob blob = take_blob(index)) return db.put(key, std::move(blob), options);
  return db.put(key, args[index], options);
}

Outcome Call::park(std::unique_ptr<Task> task) {
  task->row = &row;
  task->user = session.checked_user();
  task->named.keys = keys.size();
  for (const std::string_view arg : args) task->named.bytes += arg.size();
  session.task = std::move(task);
  return Outcome::waits;
}

Outcome Call::begin(std::unique_ptr<Task> task) {
  held.release();
  // Everybody on this thread waits for what its round does at once: hundreds of clients with a step each would make that long.
  constexpr std::int64_t most_ms = 2;
  const Outcome outcome = clock.round_ms() > most_ms ? Outcome::waits : task->step(*this);
  return outcome == Outcome::waits ? park(std::move(task)) : outcome;
}

resp::Written Call::out_of_memory() {
  note_out_of_memory(session, row, engine);
  return reply.error(out_of_memory_error);
}

Outcome Call::refused(store::Stored why) {
  if (why == store::Stored::too_large) return reply.error("ERR value is larger than the policy of its key allows (max-value)");
  if (why == store::Stored::collection_too_large) {
    return reply.error("ERR the collection would take more memory than one may (max-collection-memory)");
  }
  if (why.needs_room() && may_retry) return Outcome::needs_room(why.bytes());
  return out_of_memory();
}

resp::Written Call::invalid_expire() { return reply.error("ERR invalid expire time in '" + std::string(row.name) + "' command"); }

resp::Written Call::bulk(const store::Value& value) {
  if (value.is_block()) return reply.bulk(value.share());
  return reply.bulk(value.text);
}

resp::Written Call::bulk_argument(std::size_t index) {
  if (large != nullptr) {
    if (Blob blob = large->share(index)) return reply.bulk(std::move(blob));
  }
  return reply.bulk(args[index]);
}

}  // namespace pinfold::command
