#pragma once
// What CLIENT LIST and CLIENT INFO tell of connections.

#include <optional>
#include <string_view>

#include "pinfold/command/call.hpp"

namespace pinfold::command {

/// Kinds of clients in Redis; all of ours are normal ones.
enum class ClientType { normal, other };

/// Nothing if there is no such type; then the error has been replied.
std::optional<ClientType> parse_client_type(Call& call, std::string_view name);

void client_info(Call& call);
void client_list(Call& call);

}  // namespace pinfold::command
