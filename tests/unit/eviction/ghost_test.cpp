#include "pinfold/eviction/ghost.hpp"

#include <algorithm>
#include <cmath>

#include <catch2/catch.hpp>

#include "pinfold/base/siphash.hpp"
#include "pinfold/base/work.hpp"

using namespace pinfold;
using namespace pinfold::eviction;

namespace {
std::uint64_t hash_of(std::size_t i) { return siphash13({1, 2}, {reinterpret_cast<const char*>(&i), sizeof i}); }

std::size_t known(Ghost& ghost, std::size_t from, std::size_t to) {
  std::size_t count = 0;
  for (std::size_t i = from; i < to; ++i) count += ghost.take(hash_of(i)).has_value();
  return count;
}

void resize(Ghost& ghost, std::size_t capacity) {
  ghost.resize(capacity);
  while (ghost.provide()) {
  }
}
}  // namespace

TEST_CASE("a ghost remembers about as many entries as its capacity, and forgets older ones") {
  for (const std::size_t capacity : {64, 100, 5000, 100000}) {
    CAPTURE(capacity);
    Ghost ghost;
    resize(ghost, capacity);
    for (std::size_t i = 0; i < 5 * capacity; ++i) ghost.remember(hash_of(i));
    CHECK(known(ghost, 0, 3 * capacity) <= capacity / 1000 + 1);
    CHECK(known(ghost, 4 * capacity, 5 * capacity) >= capacity * 85 / 100);
    CHECK(ghost.memory() <= capacity * 4 + 32);
  }
}

TEST_CASE("a ghost loses next to nothing of its younger half") {
  constexpr std::size_t capacity = 20000;
  Ghost ghost;
  resize(ghost, capacity);
  for (std::size_t i = 0; i < 3 * capacity; ++i) ghost.remember(hash_of(i));
  CHECK(known(ghost, 3 * capacity - capacity / 2, 3 * capacity) >= capacity / 2 * 99 / 100);
}

TEST_CASE("a ghost tells how many entries were remembered after one") {
  for (const std::size_t capacity : {100, 50000}) {
    Ghost ghost;
    resize(ghost, capacity);
    for (std::size_t i = 0; i < 2 * capacity; ++i) ghost.remember(hash_of(i));
    for (const std::size_t back : {capacity / 100, capacity / 10, capacity / 2}) {
      const auto age = ghost.take(hash_of(2 * capacity - 1 - back));
      REQUIRE(age);
      CHECK(std::abs(static_cast<double>(*age) - static_cast<double>(back)) <= static_cast<double>(capacity) / 1000 + 1);
    }
  }
}

TEST_CASE("a ghost forgets an entry that is taken, and without a capacity it remembers nothing") {
  Ghost ghost;
  ghost.remember(hash_of(1));
  CHECK_FALSE(ghost.take(hash_of(1)));
  CHECK(ghost.memory() == 0);
  resize(ghost, 100);
  ghost.remember(hash_of(1));
  CHECK(ghost.take(hash_of(1)) == 0);
  CHECK_FALSE(ghost.take(hash_of(1)));
}

TEST_CASE("a ghost seldom knows a key that was never remembered") {
  constexpr std::size_t capacity = 20000;
  Ghost ghost;
  resize(ghost, capacity);
  for (std::size_t i = 0; i < 2 * capacity; ++i) ghost.remember(hash_of(i));
  CHECK(known(ghost, 10 * capacity, 60 * capacity) < 50);  // of a million
}

TEST_CASE("a ghost that grows forgets nothing, and gives the old table back in time") {
  constexpr std::size_t capacity = 1000;
  constexpr std::size_t next = capacity * 2;
  Ghost ghost;
  resize(ghost, capacity);
  for (std::size_t i = 0; i < capacity; ++i) ghost.remember(hash_of(i));
  resize(ghost, next);
  for (std::size_t i = capacity; i < capacity + 100; ++i) ghost.remember(hash_of(i));
  CHECK(known(ghost, capacity - 300, capacity + 100) >= 390);
  const auto age = ghost.take(hash_of(capacity - 301));
  REQUIRE(age);
  CHECK(*age == 400);
  for (std::size_t i = 0; i < next; ++i) ghost.remember(hash_of(10 * capacity + i));
  CHECK(ghost.memory() <= next * 4 + 32);
}

TEST_CASE("a ghost that shrinks takes less memory at once, and goes on working") {
  constexpr std::size_t capacity = 1000;
  Ghost ghost;
  resize(ghost, capacity);
  for (std::size_t i = 0; i < capacity; ++i) ghost.remember(hash_of(i));
  resize(ghost, capacity / 4);
  CHECK(ghost.memory() <= capacity + 32);
  for (std::size_t i = 0; i < 100; ++i) ghost.remember(hash_of(5 * capacity + i));
  CHECK(known(ghost, 5 * capacity, 5 * capacity + 100) == 100);
}

TEST_CASE("a larger table takes over when its pages are there, and nothing is forgotten") {
  Ghost ghost;
  CHECK_FALSE(ghost.provide());
  resize(ghost, 1000);
  for (std::size_t i = 0; i < 500; ++i) ghost.remember(hash_of(i));
  ghost.resize(100'000);  // 98 pages
  CHECK(ghost.capacity() == 100'000);
  // Memory is counted as its pages come, so that room need not be found for all of it at once.
  constexpr std::size_t a_step = 16 * 4096;
  std::size_t counted = ghost.memory();
  CHECK(counted <= 1000 * 4 + 32 + a_step);
  int calls = 1;
  for (std::size_t i = 500; ghost.provide(); ++i, ++calls) {
    ghost.remember(hash_of(i));
    CHECK(ghost.memory() <= counted + a_step);
    counted = ghost.memory();
  }
  CHECK(calls == 6);  // one more was made by resize()
  CHECK(ghost.memory() > 100'000 * 4);
  CHECK(known(ghost, 0, 500) >= 495);
  CHECK(known(ghost, 500, 505) == 5);
  for (std::size_t i = 1000; i < 91'000; ++i) ghost.remember(hash_of(i));
  CHECK(known(ghost, 1000, 91'000) > 80'000);
}

TEST_CASE("a ghost that is resized again before its pages are there takes the last size") {
  Ghost ghost;
  resize(ghost, 1000);
  ghost.resize(100'000);
  CHECK(ghost.provide());
  ghost.resize(200'000);
  CHECK(ghost.provide());
  resize(ghost, 50'000);
  CHECK(ghost.memory() <= 50'000 * 4 + 1000 * 4 + 64);
  for (std::size_t i = 0; i < 60'000; ++i) ghost.remember(hash_of(i));
  CHECK(known(ghost, 30'000, 60'000) > 29'000);
}

TEST_CASE("a ghost with GhostPages makes no system call, and uses the old table until the new pages have come") {
  GhostPages pages;
  Ghost ghost(&pages);
  const auto quietly = [](auto&& action) {
    const work::Counting counting;
    action();
    CHECK(counting.counts().system_calls == 0);
  };
  const auto tend = [&] {
    const work::Counting counting;
    pages.tend();
    return counting.counts().system_calls;
  };
  constexpr std::size_t few = 5000;
  quietly([&] {
    ghost.resize(few);
    CHECK(ghost.provide());  // the pages have not come
    CHECK(ghost.memory() == 0);
  });
  CHECK(tend() == 1);
  quietly([&] {
    while (ghost.provide()) {
    }
    for (std::size_t i = 0; i < few / 2; ++i) ghost.remember(hash_of(i));
    ghost.resize(4 * few);
    ghost.resize(8 * few);  // before tend() has seen the first order
    CHECK(ghost.provide());
    CHECK(known(ghost, 0, few / 4) >= few / 4 * 85 / 100);
  });
  CHECK(tend() == 1);
  quietly([&] {
    ghost.resize(20 * few);  // the pages have come but were not taken
    for (std::size_t i = 0; i < few / 4; ++i) ghost.remember(hash_of(i));
  });
  CHECK(tend() == 2);
  quietly([&] {
    while (ghost.provide()) {
    }
    CHECK(known(ghost, 0, few / 4) >= few / 4 * 85 / 100);
    ghost.resize(few);  // it shrinks, so the old pages are given back
    ghost.clear();
  });
  CHECK(ghost.memory() == 0);
  CHECK(tend() >= 1);
}
