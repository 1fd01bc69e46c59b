#pragma once
// Replies with members of sets, as they lie in arrays of numbers, runs and trees.

#include <optional>
#include <string>

#include "pinfold/command/call.hpp"
#include "pinfold/command/collection_reply.hpp"
#include "pinfold/types/set.hpp"

namespace pinfold::command {

/// The set under a key, for a command that reads it. Throws WrongType. Valid until the key is changed.
std::optional<types::Set> find_set(Call& call, const store::Key& key);

resp::Written reply_member(resp::Reply& reply, const types::Member& member);
/// Writes a member as an item of a run or tree.
void write_member(resp::Reply& reply, const char* item);
/// Writes all members as a set. Many are written by a task, on a snapshot.
Outcome reply_members(Call& call, const types::Set& set);
/// The bytes of a run with the numbers of a set.
std::string run_of(const types::NumberSet& numbers);

}  // namespace pinfold::command
