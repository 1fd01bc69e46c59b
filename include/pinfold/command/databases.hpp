#pragma once
// Reads the number of a database from a command's arguments (COPY, MOVE, SELECT, SWAPDB).

#include <cstdint>
#include <optional>
#include <string_view>

#include "pinfold/command/cursor.hpp"

namespace pinfold::command {

constexpr std::string_view no_such_database = "ERR DB index is out of range";

/// A number that fits what Redis keeps such numbers in, an int; whether there is such a database is another question.
std::optional<int> parse_database(std::string_view text);
/// Whether there is a database of that number.
bool is_database(const Call& call, std::int64_t number);

/// The next argument, which must be there, as a database's number. If it is none, the error has been replied.
std::optional<unsigned> take_database(Call& call, Cursor& cursor);

}  // namespace pinfold::command
