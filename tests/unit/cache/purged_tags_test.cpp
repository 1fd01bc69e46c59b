#include "pinfold/cache/purged_tags.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace pinfold;
using namespace pinfold::cache;
using store::Memory;
using store::Use;

namespace {

std::vector<std::string> tags(int count, int from = 0) {
  std::vector<std::string> names;
  for (int i = from; i < from + count; ++i) names.push_back("tag" + std::to_string(i));
  return names;
}

}  // namespace

TEST_CASE("a tag counts as purged for leases from before, in its database") {
  Memory memory(0);
  PurgedTags purged(memory);
  const std::uint64_t before = purged.begin_lease();
  purged.note(1, {"a", "b", "b"}, true);
  const std::uint64_t after = purged.begin_lease();
  CHECK(purged.purged_since(1, before, "\1a"));
  CHECK(purged.purged_since(1, before, "\1x\1b"));
  CHECK_FALSE(purged.purged_since(1, before, "\1x"));
  CHECK_FALSE(purged.purged_since(1, before, ""));
  CHECK_FALSE(purged.purged_since(0, before, "\1a"));
  CHECK_FALSE(purged.purged_since(1, after, "\1a"));
  purged.note(1, {"a"}, true);
  CHECK(purged.purged_since(1, after, "\1a"));
  CHECK_FALSE(purged.purged_since(1, after, "\1b"));
  purged.end_lease(before);
  CHECK(purged.purged_since(1, after, "\1a"));
  purged.end_lease(after);
  CHECK(purged.remembered() == 0);
  CHECK(memory.used(Use::herd) == 0);
}

TEST_CASE("nothing is remembered while no lease is alive") {
  Memory memory(0);
  PurgedTags purged(memory);
  purged.note(0, tags(10), true);
  CHECK(purged.remembered() == 0);
  CHECK_FALSE(purged.purged_since(0, purged.begin_lease(), "\4tag1"));
}

TEST_CASE("the end of a lease drops a few tags, the rest goes bit by bit") {
  Memory memory(0);
  PurgedTags purged(memory);
  const std::uint64_t lease = purged.begin_lease();
  for (int i = 0; i < 50; ++i) purged.note(0, tags(100, 100 * i), true);
  CHECK(memory.used(Use::herd) == PurgedTags::memory_of(tags(5000)));
  purged.end_lease(lease);
  CHECK(purged.remembered() == 5000 - PurgedTags::most_dropped);
  CHECK_FALSE(purged.purged_since(0, purged.begin_lease(), "\7tag4999"));
  CHECK(purged.forget_some(1000));
  CHECK(purged.remembered() == 4000 - PurgedTags::most_dropped);
  while (purged.forget_some(1000)) {
  }
  CHECK(purged.remembered() == 0);
  CHECK(memory.used(Use::herd) == 0);
}

TEST_CASE("where there is no room, leases from before may not fill with any tags, and nothing is dropped at once") {
  Memory memory(0);
  PurgedTags purged(memory);
  const std::uint64_t before = purged.begin_lease();
  purged.note(0, tags(1000), true);
  SECTION("of memory") { purged.note(0, {"one more"}, false); }
  SECTION("for as many") { purged.note(0, tags(static_cast<int>(PurgedTags::most_remembered)), true); }
  CHECK(purged.remembered() >= 1000 - PurgedTags::most_dropped);
  CHECK(purged.purged_since(0, before, "\1x"));
  CHECK_FALSE(purged.purged_since(0, before, ""));
  const std::uint64_t after = purged.begin_lease();
  CHECK_FALSE(purged.purged_since(0, after, "\1x"));
  CHECK_FALSE(purged.purged_since(0, after, "\4tag1"));
  while (purged.forget_some(100)) {
  }
  CHECK(purged.remembered() == 0);
  purged.note(0, {"x"}, true);
  CHECK(purged.purged_since(0, after, "\1x"));
  CHECK_FALSE(purged.purged_since(0, after, "\1y"));
}
