#pragma once
// The names that a client gives itself and its library. CLIENT LIST shows them, so they must not break its lines.

#include <cstddef>
#include <string_view>

#include "pinfold/command/session.hpp"

namespace pinfold::command {

constexpr std::string_view kBadClientName = "ERR Client names cannot contain spaces, newlines or special characters.";

/// Longer names are refused, because every CLIENT LIST repeats them.
constexpr std::size_t longest_attribute = 1024;
constexpr std::string_view kLongAttribute = "ERR Names of clients and of their libraries cannot be longer than 1024 characters.";

/// Whether `text` has only printable ASCII characters and no space.
bool is_client_attribute(std::string_view text);

/// The memory that the names take. To be called on the client's own thread.
std::size_t attribute_memory(const SharedClient& client);

}  // namespace pinfold::command
