#pragma once
// Describes a row of the command table in the words that Redis uses.

#include <string_view>
#include <vector>

#include "pinfold/command/command_table.hpp"

namespace pinfold::command {

/// "write", "denyoom", "fast" ...
std::vector<std::string_view> flag_names(const Row& row);

/// The ACL categories of a command, without the '@'. Categories that follow from flags are included.
std::vector<std::string_view> category_names(const Row& row);

/// "RW", "access", "update" ...
std::vector<std::string_view> key_use_names(KeyUse use);

}  // namespace pinfold::command
