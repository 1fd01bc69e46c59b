#include <algorithm>
#include <cmath>

#include <catch2/catch.hpp>

#include "pinfold/base/hash.hpp"
#include "pinfold/eviction/ghost.hpp"

using namespace pinfold;
using namespace pinfold::eviction;

namespace {
std::uint64_t hash_of(std::size_t i) { return siphash13({1, 2}, {reinterpret_cast<const char*>(&i), sizeof i}); }

std::size_t known(Ghost& ghost, std::size_t from, std::size_t to) {
  std::size_t count = 0;
  for (std::size_t i = from; i < to; ++i) count += ghost.take(hash_of(i)).has_value();
  return count;
}
}  // namespace

TEST_CASE("a ghost remembers about as many as it is told, and forgets what is older") {
  for (const std::size_t capacity : {64, 100, 5000, 100000}) {
    CAPTURE(capacity);
    Ghost ghost;
    ghost.resize(capacity);
    for (std::size_t i = 0; i < 5 * capacity; ++i) ghost.remember(hash_of(i));
    CHECK(known(ghost, 0, 3 * capacity) <= capacity / 1000 + 1);
    CHECK(known(ghost, 4 * capacity, 5 * capacity) >= capacity * 85 / 100);
    CHECK(ghost.memory() <= capacity * 4 + 32);
  }
}

TEST_CASE("of the younger half of a ghost next to nothing is lost") {
  constexpr std::size_t capacity = 20000;
  Ghost ghost;
  ghost.resize(capacity);
  for (std::size_t i = 0; i < 3 * capacity; ++i) ghost.remember(hash_of(i));
  CHECK(known(ghost, 3 * capacity - capacity / 2, 3 * capacity) >= capacity / 2 * 99 / 100);
}

TEST_CASE("a ghost tells how many were remembered since") {
  for (const std::size_t capacity : {100, 50000}) {
    Ghost ghost;
    ghost.resize(capacity);
    for (std::size_t i = 0; i < 2 * capacity; ++i) ghost.remember(hash_of(i));
    for (const std::size_t back : {capacity / 100, capacity / 10, capacity / 2}) {
      const auto age = ghost.take(hash_of(2 * capacity - 1 - back));
      REQUIRE(age);
      CHECK(std::abs(static_cast<double>(*age) - static_cast<double>(back)) <= static_cast<double>(capacity) / 1000 + 1);
    }
  }
}

TEST_CASE("what a ghost gave back it has forgotten, and without a size it remembers nothing") {
  Ghost ghost;
  ghost.remember(hash_of(1));
  CHECK_FALSE(ghost.take(hash_of(1)));
  CHECK(ghost.memory() == 0);
  ghost.resize(100);
  ghost.remember(hash_of(1));
  CHECK(ghost.take(hash_of(1)) == 0);
  CHECK_FALSE(ghost.take(hash_of(1)));
}

TEST_CASE("a ghost seldom takes a stranger for somebody it knows") {
  constexpr std::size_t capacity = 20000;
  Ghost ghost;
  ghost.resize(capacity);
  for (std::size_t i = 0; i < 2 * capacity; ++i) ghost.remember(hash_of(i));
  CHECK(known(ghost, 10 * capacity, 60 * capacity) < 50);  // of a million
}

TEST_CASE("a ghost that grows forgets nothing, and gives the old table back in time") {
  constexpr std::size_t capacity = 1000;
  constexpr std::size_t next = capacity * 2;
  Ghost ghost;
  ghost.resize(capacity);
  for (std::size_t i = 0; i < capacity; ++i) ghost.remember(hash_of(i));
  ghost.resize(next);
  for (std::size_t i = capacity; i < capacity + 100; ++i) ghost.remember(hash_of(i));
  CHECK(known(ghost, capacity - 300, capacity + 100) >= 390);
  const auto age = ghost.take(hash_of(capacity - 301));
  REQUIRE(age);
  CHECK(*age == 400);
  for (std::size_t i = 0; i < next; ++i) ghost.remember(hash_of(10 * capacity + i));
  CHECK(ghost.memory() <= next * 4 + 32);
}

TEST_CASE("a ghost that shrinks takes less memory at once, and works on") {
  constexpr std::size_t capacity = 1000;
  Ghost ghost;
  ghost.resize(capacity);
  for (std::size_t i = 0; i < capacity; ++i) ghost.remember(hash_of(i));
  ghost.resize(capacity / 4);
  CHECK(ghost.memory() <= capacity + 32);
  for (std::size_t i = 0; i < 100; ++i) ghost.remember(hash_of(5 * capacity + i));
  CHECK(known(ghost, 5 * capacity, 5 * capacity + 100) == 100);
}

TEST_CASE("a ghost's pages are provided a few at a time, and nothing is forgotten by that") {
  Ghost ghost;
  CHECK_FALSE(ghost.provide());
  ghost.resize(100'000);  // 98 pages
  for (std::size_t i = 0; i < 1000; ++i) ghost.remember(hash_of(i));
  int calls = 1;
  while (ghost.provide()) ++calls;
  CHECK(calls == 7);
  CHECK(known(ghost, 0, 1000) == 1000);
}
