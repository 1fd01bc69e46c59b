// The switches that the cache gives to the store. What commands make of them is in tests/unit/command/switches_test.cpp.

#include "pinfold/cache/switches.hpp"

#include <catch2/catch.hpp>

#include "pinfold/cache/cache.hpp"

using namespace pinfold::cache;
namespace store = pinfold::store;

namespace {

Policy named(const char* name, const char* match) {
  Policy policy;
  policy.name = name;
  policy.match = match;
  return policy;
}

}  // namespace

TEST_CASE("switches: while none is on, the store is given none") {
  SwitchCounts counts;
  const PolicySet plain({named("p", "*")});
  CHECK(SwitchSet::make({}, nullptr, counts) == nullptr);
  CHECK(SwitchSet::make({}, &plain, counts) == nullptr);
  CHECK(SwitchSet::make({.admit_percent = 99}, nullptr, counts) != nullptr);
  CHECK(SwitchSet::make({.bypass = true}, nullptr, counts) != nullptr);
  Policy policy = named("p", "*");
  policy.admit_percent = 0;
  const PolicySet part({policy});
  CHECK(SwitchSet::make({}, &part, counts) != nullptr);
}

TEST_CASE("switches: the first policy that matches decides, and the settings cannot be undone by it") {
  SwitchCounts counts;
  Policy first = named("first", "a:*");
  Policy second = named("second", "*");
  second.bypass = true;
  second.admit_percent = 0;
  const PolicySet policies({first, second});
  const auto by_policy = SwitchSet::make({}, &policies, counts);
  CHECK_FALSE(by_policy->bypasses({"a:1", 0}));
  CHECK(by_policy->bypasses({"b:1", 0}));
  CHECK(by_policy->admits({"a:1", 0}));
  CHECK_FALSE(by_policy->admits({"b:1", 0}));
  const auto by_both = SwitchSet::make({.admit_percent = 0, .bypass = true}, &policies, counts);
  CHECK(by_both->bypasses({"a:1", 0}));
  CHECK_FALSE(by_both->admits({"a:1", 0}));
}

TEST_CASE("switches: the cache sets them for the store, and takes them back with the last one") {
  store::Keyspace keyspace({.shards = 2});
  Cache cache(keyspace);
  Policy policy = named("p", "p:*");
  policy.bypass = true;
  cache.set_policies({policy});
  CHECK(cache.bypassed("p:1"));
  CHECK_FALSE(cache.bypassed("q:1"));
  CHECK(cache.policies_switched.bypass == 1);
  cache.set_switches({.bypass = true});
  CHECK(cache.bypassed("q:1"));
  cache.set_policies({});
  CHECK(cache.bypassed("p:1"));
  CHECK(cache.policies_switched.bypass == 0);
  cache.set_switches({});
  CHECK(keyspace.key_switches() == nullptr);
}
