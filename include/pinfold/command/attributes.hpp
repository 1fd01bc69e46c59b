#pragma once
// What a client says of itself: its name and its library. Shown in CLIENT LIST, so it must not break a line of it.

#include <string_view>

#include "pinfold/command/session.hpp"

namespace pinfold::command {

constexpr std::string_view kBadClientName =
    "ERR Client names cannot contain spaces, newlines or special characters.";

/// Whether `text` has only printable ASCII characters and no space.
bool is_client_attribute(std::string_view text);

/// Changes the name others see; an empty one takes it away.
void set_client_name(Session& session, std::string_view name);

}  // namespace pinfold::command
