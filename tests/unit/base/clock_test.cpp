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

TEST_CASE("the processor's counter measures durations") {
  const std::uint64_t began = ThreadClock::ticks();
  const std::int64_t began_us = monotonic_us();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const std::uint64_t passed_ns = ThreadClock::ns_of(ThreadClock::ticks_since(began));
  const auto most_ns = static_cast<std::uint64_t>(monotonic_us() - began_us + 2) * 1000;
  CHECK(passed_ns >= 19'900'000);
  CHECK(passed_ns <= most_ns + most_ns / 1000);
  CHECK(ThreadClock::ns_of(ThreadClock::ticks_of(1'000'000'000)) == Approx(1e9).epsilon(1e-6));
  CHECK(ThreadClock::ns_of(0) == 0);
}

TEST_CASE("a counter that is behind, as that of another core may be, measures nothing") {
  CHECK(ThreadClock::ticks_since(ThreadClock::ticks() + 1'000'000'000) == 0);
}
