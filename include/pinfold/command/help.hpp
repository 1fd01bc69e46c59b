#pragma once
// The HELP subcommand of every container (OBJECT HELP, CLIENT HELP ...), made from the command table.

#include "pinfold/command/call.hpp"

namespace pinfold::command {

/// Replies with the other subcommands of the container, their arguments and what they do.
Outcome reply_help(Call& call);

}  // namespace pinfold::command
