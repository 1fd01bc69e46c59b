#pragma once
// Reads the number of a database from a command's arguments (COPY, MOVE, SELECT, SWAPDB).

#include <cstdint>
#include <optional>
#include <string_view>

#include "pinfold/command/cursor.hpp"

namespace pinfold::command {

constexpr std::string_view no_such_database = "ERR DB index is out of range";

/// Reads a number that fits an int, which is the type that Redis has for it. Empty if `text` is no such number. Does not check
/// whether the database exists: is_database() does.
std::optional<int> parse_database(std::string_view text);
/// The same for a database that an argument names, in a request that may be invalid (DatabasesIn); nothing for a negative number too.
std::optional<unsigned> named_database(std::string_view text);
/// Whether there is a database with this number.
bool is_database(const Call& call, std::int64_t number);

/// Takes the next argument, which must exist, as the number of a database. If it is none, replies the error and returns
/// nothing.
std::optional<unsigned> take_database(Call& call, Cursor& cursor);

}  // namespace pinfold::command
