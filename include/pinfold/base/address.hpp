#pragma once
// Addresses of clients, as texts: "192.0.2.1:4000", "[2001:db8::1]:4000", or the path of a unix socket with ":0" behind it.
// All functions are thread-safe.

#include <cstdint>
#include <optional>
#include <string_view>

namespace pinfold {

/// Whether the address is of this machine itself: 127.0.0.0/8 or ::1. The path of a unix socket is not.
bool is_loopback(std::string_view address);

/// What is counted as one origin: an IPv4 address, or the /64 of an IPv6 address, because whoever has one address of a /64 usually has
/// all of them. Different origins have different numbers. Nothing for a text that is neither.
std::optional<std::uint64_t> origin_of(std::string_view address);

}  // namespace pinfold
