#pragma once
// CLIENT LIST and CLIENT INFO: describe connections.

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "pinfold/command/call.hpp"

namespace pinfold::command {

/// The types of clients that Redis knows. No client of Pinfold is of another one than the first two.
enum class ClientType { normal, pubsub, other };

/// Whether the client has subscriptions. Any thread may ask.
inline bool is_subscriber(const SharedClient& client) {
  return std::ranges::any_of(client.subscriptions, [](const auto& count) { return count.load(std::memory_order_relaxed) != 0; });
}
inline ClientType type_of(const SharedClient& client) { return is_subscriber(client) ? ClientType::pubsub : ClientType::normal; }

/// Returns nothing if there is no such type. Then it has replied with the error.
std::optional<ClientType> parse_client_type(Call& call, std::string_view name);

/// Describes a client in the words of CLIENT LIST, without the end of the line. Called by the client's thread.
std::string describe_own(const SharedClient& client, MonoMs now);

Outcome client_info(Call& call);
Outcome client_list(Call& call);

}  // namespace pinfold::command
