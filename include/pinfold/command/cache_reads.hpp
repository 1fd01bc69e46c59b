#pragma once
// Reading through the cache: CACHE.GET, plain reads under policies, and those that wait for a lease's holder. Shared by
// cache_commands.cpp and string_commands.cpp.

#include <optional>

#include "pinfold/command/call.hpp"
#include "pinfold/command/engine.hpp"

namespace pinfold::command {

/// What a plain read of a key that may be under a policy came to.
struct PlainRead {
  std::optional<store::Value> value;
  bool waits = false;  // the reply comes later
};

/// As db.read(), with what policies and serve-stale make of it. Only with `waiting_allowed`, and where may_wait(), it can end
/// in waiting.
PlainRead read_protected(Call& call, store::Database& db, const store::Key& key, bool waiting_allowed, store::Access access);

/// For the leases that plain reads of the call's keys may take. Its locks may be released for a while.
void make_room_for_plain_leases(Call& call);

/// GET's lookup. Where nothing is configured it costs a comparison.
inline PlainRead read_plain(Call& call, store::Database& db, const store::Key& key, bool waiting_allowed = false,
                            store::Access access = store::Access::read()) {
  if (call.engine.cache.guards_reads()) [[unlikely]]
    return read_protected(call, db, key, waiting_allowed, access);
  return {db.find(key, access), false};
}

/// Whether the caller may wait for its reply at all.
inline bool may_wait(const Call& call) {
  return !call.in_transaction && call.session.reply_mode == ReplyMode::on && call.session.transaction == nullptr;
}

}  // namespace pinfold::command
