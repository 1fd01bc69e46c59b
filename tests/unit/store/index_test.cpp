// The index while it is rebuilt piece by piece: what was begun before a change of its shape goes on after it.

#include <catch2/catch.hpp>

#include <random>

#include "support/hashes.hpp"
#include "support/seed.hpp"

namespace {

bool insert_some(Hashes& all, std::mt19937_64& random, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!all.insert(random())) return false;
  }
  return true;
}

// Each with this chance; false if one was not there.
bool erase_percent(Hashes& all, std::mt19937_64& random, unsigned percent) {
  for (std::size_t i = 0; i < all.hashes.size(); ++i) {
    if (!all.erased[i] && random() % 100 < percent && !all.erase(i)) return false;
  }
  return true;
}

bool grow_until_directory_doubles(Hashes& all, std::mt19937_64& random) {
  const auto before = all.index.audit().directory;
  while (all.index.audit().directory == before) {
    if (!insert_some(all, random, 200)) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("an index that was being made smaller, and then grew, is made smaller as a whole") {
  std::mt19937_64 random(1);
  Hashes all;
  REQUIRE(insert_some(all, random, 120'000));
  REQUIRE(erase_percent(all, random, 60));
  for (int i = 0; i < 81; ++i) all.shrink_some();
  REQUIRE(insert_some(all, random, 260'000));
  REQUIRE(erase_percent(all, random, 60));
  while (all.shrink_some()) {
  }
  CHECK(all.consistent());
  CHECK(all.all_found());
}

TEST_CASE("making an index smaller can stop at any group, and go on after the directory has doubled") {
  bool more = true;
  for (unsigned stop = 0; more; ++stop) {
    CAPTURE(stop);
    std::mt19937_64 random(2);  // so that each walk starts in the same index
    Hashes all;
    REQUIRE(insert_some(all, random, 12'000));
    REQUIRE(erase_percent(all, random, 60));
    for (unsigned i = 0; i < stop && more; ++i) more = all.shrink_some();
    REQUIRE(grow_until_directory_doubles(all, random));
    REQUIRE(all.consistent());
    REQUIRE(erase_percent(all, random, 60));
    while (all.shrink_some()) {
    }
    REQUIRE(all.consistent());
    REQUIRE(all.all_found());
  }
}

TEST_CASE("whatever the order of inserts, erasures and steps to a smaller size, an index loses nothing") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  std::mt19937_64 random(seed);
  Hashes all;
  for (int round = 0; round < 60; ++round) {
    REQUIRE(insert_some(all, random, random() % 8'000));
    // Now and then nearly all of it, so that groups are joined.
    REQUIRE(erase_percent(all, random, random() % 4 == 0 ? 95 : static_cast<unsigned>(random() % 50)));
    const std::uint64_t steps = random() % 4 == 0 ? 10'000 : random() % 50;
    for (std::uint64_t i = 0; i < steps && all.shrink_some(); ++i) {
    }
    REQUIRE(all.consistent());
  }
  CHECK(all.all_found());
}
