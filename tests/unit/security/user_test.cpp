#include "pinfold/security/user.hpp"

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "support/seed.hpp"
#include "toy_catalogue.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"

using namespace pinfold::security;
using Denied = Verdict::Denied;

namespace {

// A request with keys of one use, in database 0 if no other is named.
struct Request {
  std::string_view command_name;
  std::vector<std::string_view> keys = {};
  Access access = Access::read;
  std::vector<unsigned> databases = {0};
};

Verdict check(const User& user, const Request& request) {
  std::vector<std::uint32_t> positions;
  for (std::uint32_t i = 0; i < request.keys.size(); ++i) positions.push_back(i);
  CheckedRequest checked;
  checked.command = command(request.command_name);
  checked.args = request.keys;
  checked.keys[0] = {positions, request.access};
  checked.databases = request.databases;
  MatchBudget budget;
  return user.check(checked, budget);
}

bool may(const User& user, const Request& request) { return check(user, request).allowed(); }

bool may_all_with(const User& user, std::string_view prefix) {
  CheckedRequest checked;
  checked.command = command("del");
  checked.all_keys = true;
  checked.all_keys_with = prefix;
  MatchBudget budget;
  return user.check(checked, budget).allowed();
}

}  // namespace

TEST_CASE("user: keys are allowed for what their patterns allow") {
  const auto user = user_with({"+@all", "~both:*", "%R~read:*", "%W~write:*", "~exact", "~b[ae]ll?"});
  for (const std::string_view key : {"both:1", "both:", "read:1", "exact", "balls", "bell1"}) CHECK(may(*user, {"get", {key}}));
  for (const std::string_view key : {"both", "write:1", "exac", "exactly", "", "ball", "bill1"}) CHECK_FALSE(may(*user, {"get", {key}}));
  CHECK(may(*user, {"set", {"both:1", "write:1"}, Access::write}));
  CHECK_FALSE(may(*user, {"set", {"read:1"}, Access::write}));
  CHECK(may(*user, {"set", {"both:1"}, Access::both}));
  CHECK_FALSE(may(*user, {"set", {"read:1"}, Access::both}));
  // What neither reads nor writes needs a pattern all the same.
  CHECK(may(*user, {"get", {"write:1", "read:1"}, Access::none}));
  CHECK_FALSE(may(*user, {"get", {"other"}, Access::none}));
}

TEST_CASE("user: a pattern for reading and one for writing do not add up to both for one key") {
  CHECK_FALSE(may(*user_with({"+@all", "%R~*", "%W~a*"}), {"set", {"ab"}, Access::both}));
  CHECK(may(*user_with({"+@all", "%R~a*", "%W~a*"}), {"set", {"ab"}, Access::both}));
}

TEST_CASE("user: a key that a deny pattern matches is denied, whatever else allows it") {
  const auto user = user_with({"+@all", "!~secret:*", "~*", "!~a*b"});
  for (const std::string_view key : {"secret:", "secret:1", "ab", "axxb"}) {
    for (const Access access : {Access::none, Access::read, Access::write, Access::both}) CHECK_FALSE(may(*user, {"get", {key}, access}));
  }
  CHECK(may(*user, {"get", {"secret", "a", "b"}}));
  CHECK_FALSE(user->unlimited());
  // It concerns its own selector only.
  CHECK(may(*user_with({"+@all", "~*", "!~secret:*", "(%R~secret:* +get)"}), {"get", {"secret:1"}}));
  CHECK(may(*user_with({"+@all", "~*", "!~secret:*", "resetkeys", "~*"}), {"get", {"secret:1"}}));
}

TEST_CASE("user: one selector must allow all of a request") {
  const auto user = user_with({"+get", "~a*", "(+set ~b* db=1)"});
  CHECK(may(*user, {"get", {"a1", "a2"}}));
  CHECK_FALSE(may(*user, {"get", {"b1"}}));
  CHECK_FALSE(may(*user, {"get", {"a1", "b1"}}));
  CHECK(may(*user, {"set", {"b1"}, Access::write, {1}}));
  CHECK_FALSE(may(*user, {"set", {"b1"}, Access::write, {0}}));
  CHECK_FALSE(may(*user, {"set", {"a1"}, Access::write, {1}}));
  CHECK_FALSE(may(*user, {"set", {"b1"}, Access::write, {1, 0}}));
}

TEST_CASE("user: a denial tells of the selector that got furthest") {
  const auto user = user_with({"+mget", "~a", "(+mget ~a ~b)", "(+set db=1 ~c)"});
  CHECK(check(*user, {"del", {"a"}}).denied == Denied::command);
  Verdict verdict = check(*user, {"mget", {"a", "b", "c"}});
  CHECK((verdict.denied == Denied::key && verdict.at == 2));
  verdict = check(*user, {"mget", {"b", "c"}});
  CHECK((verdict.denied == Denied::key && verdict.at == 1));
  verdict = check(*user, {"set", {"c"}, Access::write, {1, 2}});
  CHECK((verdict.denied == Denied::database && verdict.at == 1));
}

TEST_CASE("user: a selector works in its databases only") {
  const auto user = user_with({"+@all", "~*", "db=0,2"});
  CHECK(may(*user, {"get", {"a"}, Access::read, {0}}));
  CHECK(may(*user, {"get", {"a"}, Access::read, {2}}));
  CHECK_FALSE(may(*user, {"get", {"a"}, Access::read, {1}}));
  CHECK_FALSE(may(*user, {"get", {"a"}, Access::read, {0, 1}}));
  CHECK_FALSE(user->unlimited());
  CheckedRequest everywhere;
  everywhere.command = command("del");
  everywhere.all_databases = true;
  MatchBudget budget;
  CHECK(user->check(everywhere, budget).denied == Denied::database);
  CHECK(user_with({"+@all", "~*"})->check(everywhere, budget).allowed());
  CHECK_FALSE(may(*user_with({"+@all", "~*", "resetdbs"}), {"get", {"a"}}));
}

TEST_CASE("user: what touches keys without naming them needs a pattern for all of them") {
  CHECK(may_all_with(*user_with({"+@all", "~*"}), ""));
  CHECK(may_all_with(*user_with({"+@all", "%RW~*"}), ""));
  CHECK_FALSE(may_all_with(*user_with({"+@all", "%R~*", "%W~*", "resetkeys", "%W~*"}), ""));
  CHECK_FALSE(may_all_with(*user_with({"+@all", "~a*"}), ""));
  CHECK(may_all_with(*user_with({"+@all", "~a*"}), "a"));
  CHECK(may_all_with(*user_with({"+@all", "~a*"}), "abc"));
  CHECK_FALSE(may_all_with(*user_with({"+@all", "~abc*"}), "ab"));
  CHECK_FALSE(may_all_with(*user_with({"+@all", "~abc"}), "abc"));
  CHECK_FALSE(may_all_with(*user_with({"+@all", "~a?*"}), "abc"));  // cannot be told by its first characters
  CHECK_FALSE(may_all_with(*user_with({"+@all", "~*", "!~secret"}), ""));
  CHECK_FALSE(may_all_with(*user_with({"+@all", "~*", "!~secret"}), "sec"));
  CHECK_FALSE(may_all_with(*user_with({"+@all", "~*", "!~secret*"}), "secret:1"));
  CHECK_FALSE(may_all_with(*user_with({"+@all", "~*", "!~*secret"}), "a"));
  CHECK(may_all_with(*user_with({"+@all", "~*", "!~secret"}), "secret:"));
  CHECK(may_all_with(*user_with({"+@all", "~*", "!~secret*"}), "public"));
  CHECK_FALSE(may_all_with(*user_with({"~*", "+get"}), ""));
}

TEST_CASE("user: only who may do everything with everything is unlimited") {
  CHECK(user_with({"+@all", "~*"})->unlimited());
  CHECK(user_with({"+@all", "-get", "+get", "~*"})->unlimited());
  CHECK(user_with({"(allcommands allkeys)"})->unlimited());
  for (const auto& user : {user_with({"+@all"}), user_with({"~*"}), user_with({"+@all", "~*", "-get"}),
                           user_with({"+@all", "%R~*", "%W~a"}), user_with({"+@all", "~*", "!~a"}), user_with({"+@all", "~*", "db=0"}),
                           user_with({"+@all", "(~*)"}), user_with({"+@all", "~*", "-config|get"})}) {
    CHECK_FALSE(user->unlimited());
  }
}

TEST_CASE("user: matching many patterns gives what matching each of them gives") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  std::mt19937_64 random(seed);
  const auto text = [&](std::string_view letters, unsigned most) {
    std::string made;
    for (unsigned n = random() % (most + 1); n > 0; --n) made.push_back(letters[random() % letters.size()]);
    return made;
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<KeyPattern> patterns;
    for (unsigned n = random() % 12; n > 0; --n) {
      patterns.push_back({Pattern(text("ab:*?[]\\^-", 14)), static_cast<Access>(1 + random() % 3), random() % 4 == 0});
    }
    const KeyPatterns compiled(patterns);
    for (int i = 0; i < 50; ++i) {
      const std::string key = text("ab:\\\0", 14);
      const auto wanted = static_cast<Access>(random() % 4);
      bool allowed = false;
      bool denied = false;
      for (const KeyPattern& one : patterns) {
        const bool matches = pinfold::Glob(one.pattern.text()).matches(key);
        CHECK(one.pattern.matches(key) == matches);
        allowed = allowed || (matches && !one.deny && includes(one.access, wanted));
        denied = denied || (matches && one.deny);
        if (matches) CHECK(one.pattern.may_match_with(key.substr(0, random() % (key.size() + 1))));
        if (!matches) CHECK_FALSE(one.pattern.matches_all_with(key.substr(0, random() % (key.size() + 1))));
      }
      MatchBudget budget;
      CHECK(compiled.allow(key, wanted, budget) == (allowed && !denied));
      CHECK(MatchBudget::most - budget.left() <= compiled.most_compared(key));
      if (compiled.allow_all_with(key.substr(0, 2), wanted)) CHECK(compiled.allow(key, wanted, budget));
    }
  }
}

TEST_CASE("user: keys are listed for those who may read them") {
  const auto user = user_with({"+get", "%R~a*", "%W~w*", "!~ax*", "(+mget ~m* db=1)"});
  const auto lists = [&](std::string_view name, unsigned db, std::string_view key) {
    MatchBudget budget;
    return user->may_list(user->selectors_for(command(name), {}, db), key, budget);
  };
  CHECK(lists("get", 0, "a1"));
  CHECK_FALSE(lists("get", 0, "w1"));
  CHECK_FALSE(lists("get", 0, "ax1"));
  CHECK_FALSE(lists("get", 0, "m1"));
  CHECK(lists("mget", 1, "m1"));
  CHECK_FALSE(lists("mget", 0, "m1"));
  CHECK_FALSE(lists("mget", 1, "a1"));
}

TEST_CASE("user: a request whose keys are too costly to compare with the patterns is denied within the budget") {
  const auto compared = [](const User& user, const Request& request, Denied expected) {
    pinfold::work::Counting counting;
    CHECK(check(user, request).denied == expected);
    return counting.counts().bytes;
  };
  const auto one = user_with({"+@all", "~*:t1:*"});
  const std::string fits(1'900'000, 'x');
  const std::string too_long(2'100'000, 'x');
  CHECK(compared(*one, {"get", {fits}}, Denied::key) > 1'000'000);
  CHECK(compared(*one, {"get", {too_long}}, Denied::too_costly) == 0);
  CHECK(compared(*one, {"get", {fits, too_long}}, Denied::key) < MatchBudget::most);

  UserRules draft("alice");
  apply(draft, {"+@all", "!~*secret*"});
  for (int i = 0; i < 1000; ++i) REQUIRE(draft.apply("~*a?" + std::to_string(i) + "*y", toy_commands) == std::nullopt);
  const auto many = draft.build();
  for (const std::size_t size : {100, 10'000, 1'000'000, 50'000'000}) {
    const std::string key(size, 'y');
    INFO(size);
    CHECK(compared(*many, {"get", {key}}, size <= 1000 ? Denied::key : Denied::too_costly) <= MatchBudget::most);
    CHECK_FALSE(many->allows_one(command("get"), 0, key, Access::read));
  }
  const std::vector<std::string_view> keys(100'000, "some:key:y");
  CHECK(compared(*many, {"mget", keys}, Denied::key) <= MatchBudget::most);

  // All selectors share the budget, and whoever has spent it is denied whatever the others allow.
  const auto both = user_with({"+@all", "~*:t1:*", "(+@all ~*:t2:*)", "(+@all ~x*)"});
  const std::string long_key(1'500'000, 'x');
  CHECK(compared(*both, {"get", {long_key}}, Denied::too_costly) < MatchBudget::most);
}

TEST_CASE("user: many short keys, and long ones that their first bytes allow, are not too costly") {
  const auto user = user_with({"+@all", "~a:*", "~b:*", "~c:*", "~session:user:*", "~session:cart:*", "~product:price:*", "~product:text:*",
                               "~d:*", "~e:*", "~product:stock:*", "!~product:secret:*"});
  const std::vector<std::string_view> keys(10'000, "product:stock:12345678901234567890");
  CHECK(may(*user, {"mget", keys}));
  CHECK_FALSE(may(*user, {"mget", std::vector<std::string_view>(10'000, "product:secret:1")}));
  std::string long_key = "a:";
  long_key.resize(50'000'000, 'x');
  CHECK(may(*user, {"get", {long_key}}));
  CHECK(user->allows_one(command("get"), 0, long_key, Access::read));
  const std::vector<std::string_view> million(1'000'000, "a:1");
  CHECK(may(*user, {"mget", million}));
}

TEST_CASE("user: keys that are too costly to compare are not listed") {
  const auto user = user_with({"+get", "~*:t1:*"});
  MatchBudget budget;
  const std::uint64_t selectors = user->selectors_for(command("get"), {}, 0);
  CHECK(user->may_list(selectors, "a:t1:b", budget));
  CHECK_FALSE(user->may_list(selectors, ":t1:" + std::string(5'000'000, 'x'), budget));
  CHECK(budget.spent());
  CHECK_FALSE(user->may_list(selectors, "a:t1:b", budget));
}

TEST_CASE("user: hashes are those of SHA-256, and read only as they are written") {
  CHECK(hexadecimal(hash_of("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hexadecimal(hash_of("a")) == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
  CHECK(parse_hash(hexadecimal(hash_of("a"))) == hash_of("a"));
  CHECK(equal_in_constant_time(hash_of("a"), hash_of("a")));
  CHECK_FALSE(equal_in_constant_time(hash_of("a"), hash_of("b")));
}
