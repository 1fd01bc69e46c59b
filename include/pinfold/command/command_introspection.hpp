#pragma once
// Shared by the files that implement COMMAND.

#include "pinfold/command/call.hpp"

namespace pinfold::command {

/// The number of commands, without subcommands.
std::size_t command_count();

/// COMMAND DOCS.
Outcome command_docs(Call& call);

}  // namespace pinfold::command
