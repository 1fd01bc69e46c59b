#pragma once
// Ending transactions: shared by the transaction commands, RESET and dispatch.

#include <cstddef>
#include <string_view>

#include "pinfold/command/call.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/session.hpp"

namespace pinfold::command {

/// Leaves MULTI and forgets what was queued.
void end_transaction(Session& session, Engine& engine);

/// Stops watching all keys. Their shards must be held.
void forget_watched(Session& session, Engine& engine);
/// The same, taking the shards with `locks`, which must hold nothing. Takes no memory.
void release_watched(Session& session, Engine& engine, store::Keyspace::Locks& locks);
/// The same for `most` of the keys; true if none is left.
bool release_some_watched(Session& session, Engine& engine, store::Keyspace::Locks& locks, std::size_t most);
/// The same for all, and then replies with a simple string or an error: as a long command if there are many.
void release_watched(Call& call, std::string_view text, bool is_error = false);

}  // namespace pinfold::command
