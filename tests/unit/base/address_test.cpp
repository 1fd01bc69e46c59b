#include "pinfold/base/address.hpp"

#include <catch2/catch.hpp>

namespace pinfold {
namespace {

TEST_CASE("loopback addresses are told from others") {
  for (const char* address : {"127.0.0.1:1", "127.255.0.9:65535", "[::1]:6379"}) CHECK(is_loopback(address));
  for (const char* address : {"192.0.2.1:127", "[::]:1", "[::2]:1", "[fe80::1]:1", "128.0.0.1:1", "/127.sock:0", "", "[::10]:1"}) {
    CHECK_FALSE(is_loopback(address));
  }
}

TEST_CASE("an origin is an address of IPv4, or a /64 of IPv6, whatever the port") {
  CHECK(origin_of("192.0.2.1:4000") == origin_of("192.0.2.1:5000"));
  CHECK(origin_of("192.0.2.1:4000") != origin_of("192.0.2.2:4000"));
  CHECK(origin_of("[2001:db8:1:2::1]:1") == origin_of("[2001:db8:1:2:ffff::9]:2"));
  CHECK(origin_of("[2001:db8:1:2::1]:1") != origin_of("[2001:db8:1:3::1]:1"));
  CHECK(origin_of("0.0.0.1:1") != origin_of("[::1]:1"));
  for (const char* address : {"/run/pinfold.sock:0", "", "peer", "[1.2.3.4]x", "999.1.1.1:1"}) CHECK_FALSE(origin_of(address).has_value());
}

}  // namespace
}  // namespace pinfold
