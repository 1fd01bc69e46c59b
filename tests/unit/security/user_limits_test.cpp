#include "pinfold/security/user_limits.hpp"

#include <memory>
#include <thread>
#include <vector>

#include "toy_catalogue.hpp"

#include <catch2/catch.hpp>

#include "pinfold/security/users.hpp"

using namespace pinfold::security;
using pinfold::MonoMs;

namespace {

constexpr MonoMs start{1'000'000};

// How many of `tries` requests are allowed.
int allowed(RequestRate& rate, std::int64_t per_second, MonoMs now, int tries) {
  int count = 0;
  for (int i = 0; i < tries; ++i) count += rate.take(per_second, now) == 0 ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("rate: so many requests at once, and then one each time a part of the second has passed") {
  for (const int per_second : {1, 2, 10, 1000}) {
    RequestRate rate;
    INFO(per_second);
    CHECK(allowed(rate, per_second, start, 3 * per_second) == per_second);
    const std::int64_t part = 1000 / per_second;
    CHECK(rate.take(per_second, start) == part);
    if (part > 1) {
      CHECK(rate.take(per_second, start + (part - 1)) == 1);
    }
    CHECK(allowed(rate, per_second, start + part, 5) == 1);
    CHECK(allowed(rate, per_second, start + 2 * part, 5) == 1);
    CHECK(allowed(rate, per_second, start + 3600 * 1000, 3 * per_second) == per_second);
  }
}

TEST_CASE("rate: over a long time no more requests are allowed than the limit says, whatever it is") {
  for (const std::int64_t per_second : {3L, 7L, 999L, 44'100L, 333'333L}) {
    RequestRate rate;
    std::int64_t count = 0;
    for (int ms = 0; ms < 10'000; ++ms) {
      while (rate.take(per_second, start + ms) == 0) ++count;
    }
    INFO(per_second);
    CHECK(count >= 10 * per_second);
    CHECK(count <= 11 * per_second + 11 * per_second / 1000 + 1);  // a nanosecond of a cost may be lost
  }
}

TEST_CASE("rate: a refusal takes nothing") {
  RequestRate rate;
  allowed(rate, 10, start, 10'000);
  CHECK(allowed(rate, 10, start + 100, 10) == 1);
}

TEST_CASE("rate: a change of the limit gives no allowance back") {
  RequestRate rate;
  CHECK(allowed(rate, 10, start, 20) == 10);
  CHECK(allowed(rate, 1000, start, 20) == 0);
  CHECK(rate.take(1000, start) == 1);
  CHECK(allowed(rate, 1000, start + 100, 2000) == 100);
  CHECK(rate.take(1, start + 100) == 1000);
}

TEST_CASE("rate: threads share one allowance") {
  RequestRate rate;
  std::vector<std::thread> threads;
  std::atomic<int> count{0};
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { count += allowed(rate, 1000, start, 2000); });
  for (std::thread& thread : threads) thread.join();
  CHECK(count == 1000);
}

TEST_CASE("limits: bytes with a unit or a percentage, and nothing else") {
  CHECK(parse_memory_limit("64mb") == 64 << 20);
  CHECK(parse_memory_limit("0") == 0);
  CHECK(parse_memory_limit("0%") == 0);
  CHECK(parse_memory_limit("5%") == -5);
  CHECK(parse_memory_limit("100%") == -100);
  CHECK(show_memory_limit(64 << 20) == "67108864");
  CHECK(show_memory_limit(-5) == "5%");
  for (const char* bad :
       {"", "%", "-1", "-1%", "101%", "5.5%", "x", "64 mbs", "1e3", "+1", "9223372036854775807", "99999999999999999999"}) {
    INFO(bad);
    CHECK_FALSE(parse_memory_limit(bad));
  }
  CHECK(parse_request_limit("0") == 0);
  CHECK(parse_request_limit("1000000") == 1'000'000);
  for (const char* bad : {"", "-1", "1000001", "1.5", "01", "1k", "10/20", "x"}) {
    INFO(bad);
    CHECK_FALSE(parse_request_limit(bad));
  }
}

TEST_CASE("limits: all versions of a user share its usage, and a new user of the name has its own") {
  Users users;
  users.publish(user_with({"on", "nopass", "rate=10", "maxmemory=1mb"}, "ada"));
  const std::shared_ptr<UserUsage> usage = users.find("ada")->usage();
  REQUIRE(usage != nullptr);
  CHECK(usage->memory_rule == 1 << 20);
  CHECK(allowed(usage->rate, 10, start, 20) == 10);
  users.publish(user_with({"on", "nopass", "rate=20", "maxmemory=0"}, "ada"));
  CHECK(users.find("ada")->usage() == usage);
  CHECK(usage->memory_rule == 0);
  std::vector<Users::Pointer> all{user_with({"on"}, "ada"), user_with({"on"}, "bob")};
  users.replace_all(std::move(all));
  CHECK(users.find("ada")->usage() == usage);
  CHECK(usage->memory_rule == UserUsage::no_memory_rule);
  CHECK(users.find("bob")->usage() != usage);
  CHECK(users.find("bob")->usage() != nullptr);
  const Users::Pointer before = users.find("ada");
  const std::string_view name = "ada";
  users.remove({&name, 1});
  users.publish(user_with({"on"}, "ada"));
  CHECK(users.find("ada")->usage() != usage);
  CHECK(users.present(*before) == nullptr);
}

TEST_CASE("limits: a user's own request rate holds, and the one for all where it has none") {
  Users users;
  const std::uint64_t version = users.version();
  users.set_request_limit(7);
  CHECK(users.version() != version);
  CHECK(users.request_limit(*user_with({"on"})) == 7);
  CHECK(users.request_limit(*user_with({"on", "rate=3"})) == 3);
  CHECK(users.request_limit(*user_with({"on", "rate=0"})) == 0);
}
