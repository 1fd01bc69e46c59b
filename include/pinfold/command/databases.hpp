#pragma once
// Reads the number of a database from a command's arguments (COPY, MOVE, SELECT, SWAPDB).

#include <optional>

#include "pinfold/command/cursor.hpp"

namespace pinfold::command {

/// Takes the next argument, which must be there, as the number of a database. Returns nothing if it is not. Then it has replied with the
/// error.
std::optional<unsigned> take_database(Call& call, Cursor& cursor);

}  // namespace pinfold::command
