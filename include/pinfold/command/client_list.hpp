#pragma once
// CLIENT LIST and CLIENT INFO: describe connections.

#include <optional>
#include <string>
#include <string_view>

#include "pinfold/command/call.hpp"

namespace pinfold::command {

/// The types of clients that Redis knows. All clients of Pinfold are normal.
enum class ClientType { normal, other };

/// Returns nothing if there is no such type. Then it has replied with the error.
std::optional<ClientType> parse_client_type(Call& call, std::string_view name);

/// Describes a client in the words of CLIENT LIST, without the end of the line. Called by the client's thread.
std::string describe_own(const SharedClient& client, MonoMs now);

Outcome client_info(Call& call);
Outcome client_list(Call& call);

}  // namespace pinfold::command
