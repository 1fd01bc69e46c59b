#pragma once
// Which Pinfold this is, and which Redis its clients may take it for.

#include <string_view>

namespace pinfold {

constexpr std::string_view version = "0.1.0";
/// Clients switch features on by it, so it names the Redis whose commands and replies are Pinfold's.
constexpr std::string_view redis_version = "7.2.4";

}  // namespace pinfold
