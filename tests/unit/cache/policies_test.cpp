#include "pinfold/cache/policies.hpp"

#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "support/seed.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/glob.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/store/extra.hpp"
#include "pinfold/store/value.hpp"

using namespace pinfold;
using namespace pinfold::cache;

namespace {

Policy named(std::string name, std::string match) {
  Policy policy;
  policy.name = std::move(name);
  policy.match = std::move(match);
  return policy;
}

}  // namespace

TEST_CASE("the first policy that matches wins, as comparing one pattern after the other would find") {
  std::mt19937_64 random(test_seed());
  const auto some = [&](std::string_view letters, std::size_t most) {
    std::string text;
    for (std::size_t n = random() % (most + 1); n > 0; --n) text += letters[random() % letters.size()];
    return text;
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<Policy> policies;
    for (std::size_t n = random() % 12; n > 0; --n) {
      std::string pattern = some("ab:", 4) + some("ab:*?[]\\", 4);
      if (random() % 2 == 0) pattern += "*" + (random() % 2 == 0 ? some("ab:", 3) : "");
      if (!pattern.empty()) policies.push_back(named("p" + std::to_string(n), pattern));
    }
    const PolicySet set(policies);
    for (int i = 0; i < 60; ++i) {
      const std::string key = some("ab:", 7);
      const Policy* expected = nullptr;
      for (const Policy& policy : set.all()) {
        if (Glob(policy.match).matches(key)) {
          expected = &policy;
          break;
        }
      }
      REQUIRE(set.match(key) == expected);
    }
  }
}

TEST_CASE("slots are given once, and stay with those who have one") {
  std::vector<Policy> policies = {named("a", "a*"), named("b", "b*"), named("c", "c*")};
  policies[1].slot = 1;
  const PolicySet set(policies);
  CHECK(set.find("b")->slot == 1);
  CHECK(set.find("a")->slot != set.find("c")->slot);
  CHECK(set.find("a")->slot > 1);
  CHECK(set.find("c")->slot > 1);
}

TEST_CASE("every field is shown as it can be set, and what makes no sense is refused") {
  Policy policy;
  const std::vector<std::pair<std::string, std::string>> good = {
      {"match", "x:*"},          {"ttl", "5m"},         {"max-ttl", "1d"},         {"jitter", "10%"},
      {"stale", "90s"},          {"coalesce", "50ms"},  {"lease", "10s"},          {"early-refresh", "1.5"},
      {"negative-ttl", "30s"},   {"max-leases", "200"}, {"max-value", "1048576b"}, {"max-memory", "25%"},
      {"priority", "first-out"}, {"admit", "5%"},       {"bypass", "yes"},         {"serve-stale", "yes"}};
  REQUIRE(good.size() == policy_fields().size());
  for (const auto& [field, value] : good) {
    CHECK_FALSE(set_field(policy, field, value));
    CHECK(show_field(policy, field) == value);
    Policy again;
    CHECK_FALSE(set_field(again, field, show_field(policy, field)));
    CHECK(show_field(again, field) == value);
  }
  CHECK(policy.ttl_ms == 300'000);
  CHECK(policy.max_memory_percent == 25);
  for (const auto& [field, value] : std::vector<std::pair<std::string, std::string>>{{"match", ""},
                                                                                     {"ttl", "5"},
                                                                                     {"ttl", "-5s"},
                                                                                     {"ttl", "99999999999999999d"},
                                                                                     {"jitter", "91%"},
                                                                                     {"jitter", "10"},
                                                                                     {"early-refresh", "x"},
                                                                                     {"early-refresh", "-1"},
                                                                                     {"max-leases", "-1"},
                                                                                     {"max-value", "big"},
                                                                                     {"max-value", "25"},
                                                                                     {"max-memory", "101%"},
                                                                                     {"priority", "high"},
                                                                                     {"max-leases", "nobody"},
                                                                                     {"admit", "101%"},
                                                                                     {"admit", "5"},
                                                                                     {"bypass", "1"},
                                                                                     {"serve-stale", ""},
                                                                                     {"colour", "blue"}}) {
    const Policy before = policy;
    CHECK(set_field(policy, field, value));
    CHECK(policy == before);
  }
}

TEST_CASE("the number of leases may be a word, and 0 stands for any number") {
  Policy policy;
  CHECK(show_field(policy, "max-leases") == "unlimited");
  for (const auto& [value, shown, leases] :
       std::vector<std::tuple<std::string, std::string, std::uint64_t>>{{"none", "none", 0},
                                                                        {"7", "7", 7},
                                                                        {"Unlimited", "unlimited", Policy::any_number},
                                                                        {"NONE", "none", 0},
                                                                        {"0", "unlimited", Policy::any_number}}) {
    CHECK_FALSE(set_field(policy, "max-leases", value));
    CHECK(show_field(policy, "max-leases") == shown);
    CHECK(policy.max_leases == leases);
  }
}

TEST_CASE("a deadline is given where none is, cut to the longest and shortened by chance, never lengthened") {
  Policy policy = named("p", "*");
  constexpr UnixMs now = 1'000'000;
  CHECK(limited_deadline(policy, now, 0) == 0);
  CHECK(limited_deadline(policy, now, now + 5) == now + 5);
  policy.ttl_ms = 1000;
  CHECK(limited_deadline(policy, now, 0) == now + 1000);
  CHECK(limited_deadline(policy, now, now + 5000) == now + 5000);
  policy.max_ttl_ms = 2000;
  CHECK(limited_deadline(policy, now, now + 5000) == now + 2000);
  policy.ttl_ms = 0;
  CHECK(limited_deadline(policy, now, 0) == now + 2000);
  policy.jitter_percent = 10;
  UnixMs least = now + 2000;
  UnixMs most = 0;
  for (int i = 0; i < 1000; ++i) {
    const UnixMs at = limited_deadline(policy, now, now + 2000);
    least = std::min(least, at);
    most = std::max(most, at);
  }
  CHECK(least >= now + 1800);
  CHECK(least < now + 1850);
  CHECK(most <= now + 2000);
  CHECK(most > now + 1950);
  CHECK(limited_deadline(policy, now, now + 1) >= now + 1);
}

TEST_CASE("a write gets what its policy says, and one that is too large is refused") {
  Policy policy = named("p", "p:*");
  policy.ttl_ms = 1000;
  policy.stale_ms = 500;
  policy.max_value = 10;
  policy.max_ttl_ms = 3000;
  const PolicySet set({policy});
  UnixMs expires_at = 0;
  store::Extra extra;
  CHECK(set.on_write({"p:1"}, 10, 1, expires_at, extra));
  CHECK(expires_at == 1001);
  CHECK(extra.stale_ms == 500);
  CHECK(extra.policy == set.find("p")->slot);
  CHECK_FALSE(set.on_write({"p:1"}, 11, 1, expires_at, extra));
  store::Extra untouched;
  expires_at = 0;
  CHECK(set.on_write({"q:1"}, 11, 1, expires_at, untouched));
  CHECK(expires_at == 0);
  CHECK(untouched.size() == 0);
  CHECK(set.on_expiry({"p:1"}, 1, 0).at == 3001);
  CHECK(set.on_expiry({"p:1"}, 1, 100).at == 100);
  CHECK(set.on_expiry({"p:1"}, 1, 100).stale_ms == 500);
  CHECK(set.on_expiry({"q:1"}, 1, 100).stale_ms == 0);
  CHECK(set.on_expiry({"q:1"}, 1, 0).at == 0);
}

TEST_CASE("the work to find the policy of a key is bounded by the policies and the key") {
  std::vector<Policy> policies;
  for (std::size_t i = 0; i < most_policies; ++i) {
    // Nearly fits at each place of the key.
    policies.push_back(named("p" + std::to_string(i), "*" + std::string(900, 'a') + "[b]" + std::to_string(i) + "*"));
  }
  const PolicySet set(policies);
  const std::string key(2048, 'a');
  work::Counting counting;
  CHECK(set.match(key) == nullptr);
  CHECK(counting.counts().bytes <= 2 * most_policies * key.size());
}

TEST_CASE("a policy's pattern that costs more than two comparisons a byte is refused") {
  Policy policy;
  CHECK_FALSE(set_field(policy, "match", "*" + std::string(63, 'a') + "?*"));
  const auto refused = set_field(policy, "match", "*" + std::string(1000, 'a') + "[bc]n*");
  REQUIRE(refused);
  CHECK(refused->find("64") != std::string::npos);
  // Where it ends, or begins, it is compared once.
  CHECK_FALSE(set_field(policy, "match", "*" + std::string(1000, 'a') + "[bc]n"));
}

TEST_CASE("a policy's pattern that takes more than 16 KB compiled is refused") {
  // Each part with a wildcard between two stars has a table of 2 KB.
  const auto pattern = [](int parts) {
    std::string text = "*";
    for (int i = 0; i < parts; ++i) text += "?ab*";
    return text;
  };
  Policy policy;
  CHECK_FALSE(set_field(policy, "match", pattern(4)));
  const auto refused = set_field(policy, "match", pattern(250));
  REQUIRE(refused);
  CHECK(refused->find("'match' ") == 0);
  CHECK(refused->find("16 KB") != std::string::npos);
  CHECK(policy.match == pattern(4));
}

TEST_CASE("patterns that begin and end alike for long are told apart") {
  const std::string same(500, 'a');
  const PolicySet set({named("exact", same), named("longer", same + "b"), named("begins", same + "b*"), named("ends", "*b" + same),
                       named("both", same + "c*c" + same)});
  const auto name_of = [&](const std::string& key) { return set.match(key) != nullptr ? set.match(key)->name : ""; };
  CHECK(name_of(same) == "exact");
  CHECK(name_of(same + "b") == "longer");
  CHECK(name_of(same + "bb") == "begins");
  CHECK(name_of("b" + same) == "ends");
  CHECK(name_of(same + "cc" + same) == "both");
  CHECK(name_of(same + "a").empty());
  CHECK(name_of(same + "c" + same).empty());
}

TEST_CASE("a look-up compares a bounded number of bytes, whatever the policies and however long the key") {
  std::vector<Policy> searched;
  std::vector<Policy> fixed;
  std::vector<Policy> plain;
  for (std::size_t i = 0; i < most_policies; ++i) {
    const std::string number = std::to_string(i);
    searched.push_back(named("p" + number, "*a" + number + "b*" + std::string(200, 'a')));
    fixed.push_back(named("p" + number, "[a]" + std::string(740, 'a') + "b*" + std::string(i, 'a')));
    plain.push_back(named("p" + number, std::string(1000, 'a') + "b" + number));
  }
  for (std::size_t i = 0; i < most_policies; i += 2) searched[i].match = "*" + std::string(100, 'a') + "b*";
  for (const auto& policies : {searched, fixed, plain}) {
    const PolicySet set(policies);
    for (const std::size_t size : {100, 512, 513, 2000, 3'000'000}) {
      const std::string key(size, 'a');
      const pinfold::work::Counting counting;
      CHECK(set.match(key) == nullptr);
      CHECK(counting.counts().bytes <= 256 * 1024);
    }
  }
}

TEST_CASE("long keys fall under patterns with one star, but not under those that are searched for in them") {
  const PolicySet set({named("inner", "*:user:*"), named("ends", "page:*:html"), named("begins", "page:*"), named("any", "*")});
  const auto name_of = [&](const std::string& key) { return set.match(key)->name; };
  CHECK(name_of("x:user:" + std::string(505, 'a')) == "inner");
  CHECK(name_of("x:user:" + std::string(506, 'a')) == "any");
  CHECK(name_of("page:" + std::string(5000, 'a') + ":html") == "ends");
  CHECK(name_of("page:" + std::string(5000, 'a')) == "begins");
}
