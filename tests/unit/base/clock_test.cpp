#include "pinfold/base/clock.hpp"

#include <chrono>
#include <thread>

#include <catch2/catch.hpp>

#include "pinfold/base/thread_clock.hpp"

using namespace pinfold;

namespace {

// Longer than the time of a thread's clock may be old.
void let_counter_run() { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }

}  // namespace

TEST_CASE("time passes on both clocks, and a step changes only the wall clock") {
  const Moment before = moment();
  advance_clock_for_test(10'000);
  CHECK(unix_ms() >= before.unix + 10'000);
  CHECK(monotonic_ms() >= before.mono + 10'000);
  const Moment passed = moment();
  step_wall_clock_for_test(-3'600'000);
  CHECK(unix_ms() < passed.unix);
  CHECK(monotonic_ms() >= passed.mono);
  CHECK(monotonic_ms() < passed.mono + 3'600'000);
  step_wall_clock_for_test(3'600'000);
}

TEST_CASE("a sum that is too large for a moment is never()") {
  CHECK(MonoMs{5} + INT64_MAX == MonoMs::never());
  CHECK(MonoMs{5} + 3 == MonoMs{8});
  CHECK(MonoMs{8} - MonoMs{5} == 3);
}

TEST_CASE("a thread's clock reads the clocks again when its time may be old") {
  ThreadClock clock;
  const Moment before = clock.now();
  advance_clock_for_test(10'000);
  let_counter_run();
  CHECK(clock.last().mono == before.mono);
  CHECK(clock.now().mono >= before.mono + 10'000);
  CHECK(clock.last().unix >= before.unix + 10'000);
}
