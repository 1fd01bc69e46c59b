#pragma once
// Plain reads (GET and the like) of keys under policies: they may serve stale values, grant leases and wait for the holder of a
// lease. Shared by cache_commands.cpp and string_commands.cpp. All functions are called with the shards of the call's keys
// locked.

#include <optional>

#include "pinfold/command/call.hpp"
#include "pinfold/command/engine.hpp"

namespace pinfold::command {

/// The result of a plain read.
struct PlainRead {
  std::optional<store::Value> value;
  bool waits = false;  // the reply comes later; then there is no value
};

/// Reads a key as Database::find() does, but follows policies and serve-stale. The result can be a wait only with
/// `waiting_allowed`, and only if may_wait().
PlainRead read_protected(Call& call, store::Database& db, const store::Key& key, bool waiting_allowed, store::Access access);

/// Makes room for the leases that plain reads of the call's keys may take. May release the locks of the call for a while, so
/// values that were read before are no longer valid.
void make_room_for_plain_leases(Call& call);

/// The lookup of GET. Without policies and serve-stale it costs one comparison more than Database::find().
inline PlainRead read_plain(Call& call, store::Database& db, const store::Key& key, bool waiting_allowed = false,
                            store::Access access = store::Access::read()) {
  if (call.engine.cache.guards_reads()) [[unlikely]]
    return read_protected(call, db, key, waiting_allowed, access);
  return {db.find(key, access), false};
}

/// Whether the reply to this call may come later. It may not inside MULTI and EXEC, or if the client gets no replies.
inline bool may_wait(const Call& call) {
  return !call.in_transaction && call.session.reply_mode == ReplyMode::on && call.session.transaction == nullptr;
}

}  // namespace pinfold::command
