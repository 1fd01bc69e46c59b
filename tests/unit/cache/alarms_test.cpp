#include "pinfold/cache/alarms.hpp"

#include <catch2/catch.hpp>

using namespace pinfold;
using namespace pinfold::cache;

TEST_CASE("alarms are taken in the order of their moments, when they are due") {
  Alarms alarms;
  CHECK(alarms.next() == MonoMs::never());
  CHECK(alarms.set({200}, {1, 2, "later"}).first);
  CHECK(alarms.set({100}, {3, 4, "sooner"}).first);
  CHECK_FALSE(alarms.set({150}, {5, 6, "between"}).first);
  CHECK(alarms.next() == MonoMs{100});
  CHECK_FALSE(alarms.take_due({99}));
  const auto first = alarms.take_due({170});
  REQUIRE(first);
  CHECK(first->shard == 3);
  CHECK(first->db == 4);
  CHECK(first->key == "sooner");
  CHECK(alarms.take_due({170})->key == "between");
  CHECK_FALSE(alarms.take_due({170}));
  CHECK(alarms.next() == MonoMs{200});
}

TEST_CASE("an alarm that was cancelled does not come, and others of the same moment do") {
  Alarms alarms;
  const auto one = alarms.set({100}, {0, 0, "one"});
  const auto two = alarms.set({100}, {0, 0, "two"});
  CHECK(one.number != two.number);
  alarms.cancel({100}, one.number);
  alarms.cancel({100}, one.number);
  CHECK(alarms.take_due({100})->key == "two");
  CHECK_FALSE(alarms.take_due({100}));
  alarms.cancel({100}, two.number);
  CHECK(alarms.next() == MonoMs::never());
}
