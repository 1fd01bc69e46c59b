#pragma once
// What the files of string commands share.

#include <cstdint>
#include <string>

#include "pinfold/command/call.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/engine.hpp"

namespace pinfold::command {

/// The longest value in bytes that a command may make: proto-max-bulk-len.
inline std::uint64_t longest_string(const Call& call) {
  return static_cast<std::uint64_t>(call.engine.settings.integer(config::Id::proto_max_bulk_len));
}

/// Replies that the number of arguments is wrong. For a handler whose rule the command table cannot express, such as pairs of
/// arguments.
inline resp::Written reply_wrong_arity(Call& call) { return call.reply.error(wrong_arity(call.row)); }

/// Stores the pairs of a command with several keys: the argument at `first_value` as the value of the first key, and each next value two
/// arguments further. Refused before anything is written if a policy refuses one of the values. With a deadline that has passed, the keys
/// are removed.
store::Stored put_pairs(Call& call, std::size_t first_value, const store::PutOptions& how = {});

}  // namespace pinfold::command
