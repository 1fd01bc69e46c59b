#pragma once
// Shared by the files behind COMMAND.

#include "pinfold/command/call.hpp"

namespace pinfold::command {

/// How many commands there are, subcommands not counted.
std::size_t command_count();

/// COMMAND DOCS.
void command_docs(Call& call);

}  // namespace pinfold::command
