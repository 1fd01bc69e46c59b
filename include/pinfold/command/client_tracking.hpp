#pragma once
// The subcommands of CLIENT for client-side caching. Their rows stand in client_commands.cpp, with the others of CLIENT.

#include "pinfold/command/call.hpp"

namespace pinfold::command {

Outcome client_caching(Call& call);
Outcome client_getredir(Call& call);
Outcome client_tracking(Call& call);
Outcome client_trackinginfo(Call& call);

}  // namespace pinfold::command
