#include "pinfold/base/address.hpp"

#include <array>
#include <cstddef>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace pinfold {
namespace {

// The address without its port, and without the brackets of IPv6, as inet_pton() reads it.
std::array<char, INET6_ADDRSTRLEN + 1> host_of(std::string_view address) {
  address = address.substr(0, address.rfind(':'));
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  std::array<char, INET6_ADDRSTRLEN + 1> host{};
  address.copy(host.data(), INET6_ADDRSTRLEN);
  return host;
}

std::uint64_t big_endian(const unsigned char* bytes, std::size_t count) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < count; ++i) number = number << 8 | bytes[i];
  return number;
}

}  // namespace

bool is_loopback(std::string_view address) { return address.starts_with("127.") || address.starts_with("[::1]:"); }

std::optional<std::uint64_t> origin_of(std::string_view address) {
  const auto host = host_of(address);
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  // No address of the internet has a /64 that begins with 32 zero bits, so IPv4 addresses are told apart from those.
  constexpr std::uint64_t v4 = std::uint64_t{1} << 32;
  if (inet_pton(AF_INET, host.data(), bytes.data()) == 1) return v4 | big_endian(bytes.data(), 4);
  if (inet_pton(AF_INET6, host.data(), bytes.data()) == 1) return big_endian(bytes.data(), 8);
  return std::nullopt;
}

}  // namespace pinfold
