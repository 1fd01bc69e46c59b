// Work is counted for each thread, by its innermost Counting.

#include "pinfold/base/work.hpp"

#include <thread>

#include <catch2/catch.hpp>

using namespace pinfold;

namespace {

void report_each_once() {
  work::entries();
  work::bytes(10);
  work::nodes(2);
  work::allocation();
  work::system_call();
}

}  // namespace

TEST_CASE("work outside of a Counting is not counted") {
  CHECK_FALSE(work::counted());
  report_each_once();
  const work::Counting counting;
  CHECK(counting.counts() == work::Counts{});
}

TEST_CASE("each kind of work has a count of its own") {
  const work::Counting counting;
  CHECK(work::counted());
  report_each_once();
  work::entries(4);
  CHECK(counting.counts() == work::Counts{.entries = 5, .bytes = 10, .nodes = 2, .allocations = 1, .system_calls = 1});
}

TEST_CASE("the counts of an inner Counting are added to the outer one when it ends") {
  const work::Counting outer;
  work::entries();
  {
    const work::Counting inner;
    report_each_once();
    CHECK(inner.counts().entries == 1);
    CHECK(outer.counts().entries == 1);
  }
  CHECK(outer.counts() == work::Counts{.entries = 2, .bytes = 10, .nodes = 2, .allocations = 1, .system_calls = 1});
  work::entries();
  CHECK(outer.counts().entries == 3);
}

TEST_CASE("a Counting does not count the work of other threads") {
  const work::Counting here;
  std::thread([] {
    CHECK_FALSE(work::counted());
    const work::Counting there;
    work::entries(7);
    CHECK(there.counts().entries == 7);
  }).join();
  CHECK(here.counts() == work::Counts{});
}
