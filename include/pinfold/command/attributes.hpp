#pragma once
// What a client says of itself: its name and its library. Shown in CLIENT LIST, so it must not break a line of it.

#include <cstddef>
#include <string_view>

#include "pinfold/command/session.hpp"

namespace pinfold::command {

constexpr std::string_view kBadClientName = "ERR Client names cannot contain spaces, newlines or special characters.";

/// Longer names are refused: everybody's CLIENT LIST repeats them.
constexpr std::size_t longest_attribute = 1024;
constexpr std::string_view kLongAttribute = "ERR Names of clients and of their libraries cannot be longer than 1024 characters.";

/// Whether `text` has only printable ASCII characters and no space.
bool is_client_attribute(std::string_view text);

/// What its name and its library's occupy. For the client's own thread.
std::size_t attribute_memory(const SharedClient& client);

/// Changes the name others see; an empty one takes it away.
void set_client_name(Session& session, std::string_view name);

}  // namespace pinfold::command
