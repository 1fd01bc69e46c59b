#pragma once
// The command table as the rules of users see it (security/command_catalogue.hpp).

#include "pinfold/security/command_catalogue.hpp"

namespace pinfold::command {

/// The indices are those of command_index(). The categories are those of Redis 7, in its order, and `cache` with all CACHE.* commands.
const security::CommandCatalogue& catalogue();

}  // namespace pinfold::command
