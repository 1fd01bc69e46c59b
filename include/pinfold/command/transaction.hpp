#pragma once
// Ends transactions and watches. Shared by the transaction commands, RESET and dispatch.

#include <cstddef>
#include <string_view>

#include "pinfold/command/call.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/session.hpp"

namespace pinfold::command {

/// Executes a command of a transaction or script, unless there has been enough of what its commands do beyond what was sent, or memory is
/// full. Counts it.
void invoke_in_group(Call& call, bool malformed, ThreadStats& stats);

/// Leaves MULTI and forgets the queued commands.
void end_transaction(Session& session, Engine& engine);

/// Stops watching all keys. Their shards must be held.
void forget_watched(Session& session, Engine& engine);
/// Stops watching all keys. Locks their shards with `locks`, which must hold nothing. Allocates nothing.
void release_watched(Session& session, Engine& engine, store::Keyspace::Locks& locks);
/// The same for up to `most` of the keys. Returns true if none is left.
bool release_some_watched(Session& session, Engine& engine, store::Keyspace::Locks& locks, std::size_t most);
/// Stops watching all keys, in a task if there are many, and then replies with a simple string or an error.
Outcome release_watched(Call& call, std::string_view text, bool is_error = false);

}  // namespace pinfold::command
