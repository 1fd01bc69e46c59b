#include "pinfold/base/thread_clock.hpp"

#include <chrono>
#include <cmath>
#include <limits>
#include <thread>

namespace pinfold {
namespace {

// Both clocks at one moment.
struct Reading {
  std::uint64_t ticks = 0;
  std::int64_t ns = 0;
};

std::int64_t monotonic_ns() { return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// The thread may be interrupted between the two clocks: the reading with the shortest distance between them counts.
Reading read_both() {
  constexpr int tries = 8;
  Reading best;
  std::uint64_t shortest = std::numeric_limits<std::uint64_t>::max();
  for (int i = 0; i < tries; ++i) {
    const std::uint64_t before = ThreadClock::ticks();
    const std::int64_t ns = monotonic_ns();
    const std::uint64_t distance = ThreadClock::ticks_since(before);
    if (distance >= shortest) continue;
    shortest = distance;
    best = {before + distance / 2, ns};
  }
  return best;
}

const Reading at_start = read_both();

double measure_ns_per_tick() {
#if defined(__aarch64__)
  std::uint64_t a_second = 0;
  asm("mrs %0, cntfrq_el0" : "=r"(a_second));
  return 1e9 / static_cast<double>(a_second);
#elif defined(__x86_64__)
  // A reading is exact to about 20 ns, so the rate is then to a few millionths.
  constexpr std::int64_t long_enough_ns = 10'000'000;
  while (monotonic_ns() - at_start.ns < long_enough_ns) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const Reading present = read_both();
  const auto passed = static_cast<std::int64_t>(present.ticks - at_start.ticks);
  // A counter that has not advanced is of no use. Its ticks then count as those of 1 GHz.
  return passed > 0 ? static_cast<double>(present.ns - at_start.ns) / static_cast<double>(passed) : 1.0;
#else
  return 1000;
#endif
}

double ns_per_tick() {
  static const double rate = measure_ns_per_tick();
  return rate;
}

}  // namespace

std::uint64_t ThreadClock::ns_of(std::uint64_t ticks) {
  return static_cast<std::uint64_t>(std::llround(static_cast<double>(ticks) * ns_per_tick()));
}

std::uint64_t ThreadClock::span_scale() {
  constexpr double units_per_ns = Span64::per_us / 1000.0;
  return static_cast<std::uint64_t>(std::llround(ns_per_tick() * units_per_ns * (1U << scale_bits)));
}

std::uint64_t ThreadClock::ticks_of(std::uint64_t ns) {
  return static_cast<std::uint64_t>(std::llround(static_cast<double>(ns) / ns_per_tick()));
}

std::uint64_t ThreadClock::allowed_ticks() {
#if defined(__x86_64__)
  return 200'000;  // such counters run at 1 to 5 GHz
#elif defined(__aarch64__)
  std::uint64_t a_second = 0;
  asm("mrs %0, cntfrq_el0" : "=r"(a_second));
  return a_second / 5000;
#else
  return 200;
#endif
}

void ThreadClock::read() {
  read_at_ = ticks();
  // All threads must enter a new millisecond of the wall clock at the same moment, to the microsecond: a client that has seen on one
  // connection that a key has expired must not see it alive on another. The distance between the clocks changes slowly, so it is
  // measured once a millisecond, and only one clock is read here.
  const std::int64_t mono_us = monotonic_us();
  const MonoMs mono{mono_us / 1000};
  static thread_local std::int64_t ahead_us = 0;
  if (mono != moment_.mono) ahead_us = unix_us() - mono_us;
  moment_ = {(mono_us + ahead_us) / 1000, mono};
}

}  // namespace pinfold
