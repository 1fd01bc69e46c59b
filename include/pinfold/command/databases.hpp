#pragma once
// Numbers of databases among a command's arguments (COPY, MOVE, SELECT, SWAPDB).

#include <optional>

#include "pinfold/command/cursor.hpp"

namespace pinfold::command {

/// The next argument, which must be there, as a database's number. If it is none, the error has been replied.
std::optional<unsigned> take_database(Call& call, Cursor& cursor);

}  // namespace pinfold::command
