#pragma once
// Ending transactions: shared by the transaction commands, RESET and dispatch.

#include "pinfold/command/engine.hpp"
#include "pinfold/command/session.hpp"

namespace pinfold::command {

/// Leaves MULTI and forgets what was queued.
void end_transaction(Session& session, Engine& engine);

/// Stops watching all keys. Their shards must be held.
void forget_watched(Session& session, Engine& engine);
/// The same, taking the shards with `locks`, which must hold nothing.
void release_watched(Session& session, Engine& engine, store::Keyspace::Locks& locks);

}  // namespace pinfold::command
