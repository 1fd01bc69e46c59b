#include "pinfold/cache/purged_tags.hpp"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

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

bool since(const PurgedTags& purged, unsigned db, std::uint64_t purge_number, std::string_view encoded_tags) {
  std::size_t looked_at = 0;
  return purged.purged_since(db, purge_number, encoded_tags, looked_at);
}

void forget_all(PurgedTags& purged) {
  while (purged.forget_some(1000)) {
  }
}

}  // namespace

TEST_CASE("a tag counts as purged for leases from before, in its database") {
  Memory memory(0);
  PurgedTags purged(memory);
  const std::uint64_t before = purged.begin_lease();
  purged.note(1, {"a", "b", "b"}, true);
  const std::uint64_t after = purged.begin_lease();
  CHECK(since(purged, 1, before, "\1a"));
  CHECK(since(purged, 1, before, "\1x\1b"));
  CHECK_FALSE(since(purged, 1, before, "\1x"));
  CHECK_FALSE(since(purged, 1, before, ""));
  CHECK_FALSE(since(purged, 0, before, "\1a"));
  CHECK_FALSE(since(purged, 1, after, "\1a"));
  purged.note(1, {"a"}, true);
  CHECK(since(purged, 1, after, "\1a"));
  CHECK_FALSE(since(purged, 1, after, "\1b"));
  purged.end_lease(before);
  CHECK(since(purged, 1, after, "\1a"));
  purged.end_lease(after);
  forget_all(purged);
  CHECK(purged.remembered() == 0);
  CHECK(memory.used(Use::coalescing) == 0);
}

TEST_CASE("nothing is remembered while no lease is alive") {
  Memory memory(0);
  PurgedTags purged(memory);
  purged.note(0, tags(10), true);
  CHECK(purged.remembered() == 0);
  CHECK_FALSE(since(purged, 0, purged.begin_lease(), "\4tag1"));
}

TEST_CASE("the end of a lease drops no tags, they go bit by bit") {
  Memory memory(0);
  PurgedTags purged(memory);
  const std::uint64_t lease = purged.begin_lease();
  for (int i = 0; i < 50; ++i) purged.note(0, tags(100, 100 * i), true);
  CHECK(memory.used(Use::coalescing) == PurgedTags::memory_of(tags(5000)));
  purged.end_lease(lease);
  CHECK(purged.remembered() == 5000);
  CHECK_FALSE(since(purged, 0, purged.begin_lease(), "\7tag4999"));
  CHECK(purged.forget_some(1000));
  CHECK(purged.remembered() == 4000);
  while (purged.forget_some(1000)) {
  }
  CHECK(purged.remembered() == 0);
  CHECK(memory.used(Use::coalescing) == 0);
}

TEST_CASE("where there is no room, leases from before may not fill with any tags, and nothing is dropped at once") {
  Memory memory(0);
  PurgedTags purged(memory);
  const std::uint64_t before = purged.begin_lease();
  purged.note(0, tags(1000), true);
  SECTION("of memory") { purged.note(0, {"one more"}, false); }
  SECTION("for as many") { purged.note(0, tags(static_cast<int>(PurgedTags::most_remembered)), true); }
  CHECK(purged.remembered() >= 1000 - PurgedTags::most_forgotten);
  CHECK(since(purged, 0, before, "\1x"));
  CHECK_FALSE(since(purged, 0, before, ""));
  const std::uint64_t after = purged.begin_lease();
  CHECK_FALSE(since(purged, 0, after, "\1x"));
  CHECK_FALSE(since(purged, 0, after, "\4tag1"));
  while (purged.forget_some(100)) {
  }
  CHECK(purged.remembered() == 0);
  purged.note(0, {"x"}, true);
  CHECK(since(purged, 0, after, "\1x"));
  CHECK_FALSE(since(purged, 0, after, "\1y"));
}

TEST_CASE("tags are compared only with what was purged since, and that is counted") {
  Memory memory(0);
  PurgedTags purged(memory);
  const std::string_view mine = "\1a\1b\1c";
  const auto looked_at = [&](std::uint64_t purge_number) {
    std::size_t bytes = 0;
    CHECK_FALSE(purged.purged_since(0, purge_number, mine, bytes));
    return bytes;
  };
  const std::uint64_t lease = purged.begin_lease();
  purged.note(0, tags(1000), true);
  const std::size_t with_all = looked_at(lease);
  const std::uint64_t later = purged.begin_lease();
  CHECK(looked_at(later) == 0);
  purged.note(0, {"x"}, true);
  const std::size_t with_one = looked_at(later);
  CHECK(with_one > 0);
  CHECK(with_one < with_all);
  CHECK(with_all < 1000);  // not each of those that were purged
  CHECK(since(purged, 0, lease, "\6tag999"));
  purged.note(0, {"c"}, true);
  CHECK(since(purged, 0, later, mine));
  CHECK_FALSE(since(purged, 1, later, mine));
}
