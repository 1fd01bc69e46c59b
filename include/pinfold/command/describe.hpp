#pragma once
// Describes a row of the command table in the words that Redis uses.

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "pinfold/command/command_table.hpp"

namespace pinfold::command {

/// "write", "denyoom", "fast" ...
std::vector<std::string_view> flag_names(const Row& row);

/// The names of all ACL categories, without the '@': those of Redis 7 in its order, some of which have no command here, and `cache`.
std::span<const std::string_view> all_categories();
/// Whether a command belongs to the category with this index in all_categories(). Categories that follow from flags are included. O(1).
bool in_category(const Row& row, std::size_t category);
/// The categories of a command.
std::vector<std::string_view> category_names(const Row& row);

/// What is shown of a command's keys: a spec for each word of a spec that has several. Shard channels are among them, because in a cluster
/// they lie where keys of these names do.
std::vector<KeySpec> shown_specs(const Row& row);
/// "RW", "access", "update" ...
std::vector<std::string_view> key_use_names(KeyUse use);

}  // namespace pinfold::command
