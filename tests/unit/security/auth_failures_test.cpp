#include "pinfold/security/auth_failures.hpp"

#include <catch2/catch.hpp>

namespace pinfold::security {
namespace {

constexpr MonoMs start{1'000'000};
constexpr std::int64_t limit = 6;
constexpr std::int64_t each_ms = 60'000 / limit;

// How often it may fail at this time before it has to wait.
int failures_until_refused(AuthFailures& failures, std::uint64_t origin, MonoMs now, std::int64_t per_minute = limit) {
  int count = 0;
  for (; failures.wait_ms(origin, per_minute, now) == 0; ++count) failures.note(origin, per_minute, now);
  return count;
}

TEST_CASE("an origin may fail so often at once, and others are not concerned") {
  AuthFailures failures;
  CHECK(failures_until_refused(failures, 1, start) == limit);
  CHECK(failures.wait_ms(1, limit, start) == each_ms);
  CHECK(failures.wait_ms(2, limit, start) == 0);
  CHECK(failures_until_refused(failures, 2, start) == limit);
}

TEST_CASE("the allowance comes back evenly, and never grows beyond a minute's") {
  AuthFailures failures;
  REQUIRE(failures_until_refused(failures, 1, start) == limit);
  CHECK(failures.wait_ms(1, limit, start + (each_ms - 1)) == 1);
  CHECK(failures_until_refused(failures, 1, start + each_ms) == 1);
  CHECK(failures_until_refused(failures, 1, start + 3 * each_ms) == 2);
  CHECK(failures_until_refused(failures, 1, start + 10'000'000) == limit);
}

TEST_CASE("to be refused costs nothing more") {
  AuthFailures failures;
  REQUIRE(failures_until_refused(failures, 1, start) == limit);
  for (int i = 0; i < 1000; ++i) REQUIRE(failures.wait_ms(1, limit, start) == each_ms);
  CHECK(failures.wait_ms(1, limit, start + each_ms) == 0);
}

TEST_CASE("the smallest and the largest limit are kept") {
  AuthFailures failures;
  CHECK(failures_until_refused(failures, 1, start, 1) == 1);
  CHECK(failures.wait_ms(1, 1, start) == 60'000);
  CHECK(failures_until_refused(failures, 2, start, 7) == 7);
  AuthFailures others;
  CHECK(failures_until_refused(others, 1, start, 10'000) == 10'000);
}

TEST_CASE("more origins than there is room for do not free one that is at its limit") {
  AuthFailures failures;
  REQUIRE(failures_until_refused(failures, 1, start) == limit);
  for (std::uint64_t other = 2; other < 100'000; ++other) failures.note(other, limit, start);
  CHECK(failures.wait_ms(1, limit, start) == each_ms);
}

}  // namespace
}  // namespace pinfold::security
