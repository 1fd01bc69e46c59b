#include "pinfold/command/rates.hpp"

#include <catch2/catch.hpp>

namespace pinfold::command {
namespace {

constexpr std::int64_t tick_us = 100'000;

TEST_CASE("a rate is the average of the last samples") {
  Stats stats(1);
  Rates rates;
  std::int64_t now = 1;
  rates.sample(stats, now);
  CHECK(rates.per_second(Rates::kCommands) == 0);
  for (int i = 0; i < 20; ++i) {
    stats.of_thread(0).commands[0].calls.add(50);
    stats.of_thread(0).net_input.add(1000);
    rates.sample(stats, now += tick_us);
    CHECK(rates.per_second(Rates::kCommands) == 500);
    CHECK(rates.per_second(Rates::kNetInput) == 10'000);
    CHECK(rates.per_second(Rates::kNetOutput) == 0);
  }
  for (int i = 0; i < 8; ++i) rates.sample(stats, now += tick_us);
  CHECK(rates.per_second(Rates::kCommands) == 250);
  for (int i = 0; i < 8; ++i) rates.sample(stats, now += tick_us);
  CHECK(rates.per_second(Rates::kCommands) == 0);
}

TEST_CASE("samples at uneven distances count by the time they cover") {
  Stats stats(1);
  Rates rates;
  rates.sample(stats, 1);
  stats.of_thread(0).commands[0].calls.add(300);
  rates.sample(stats, 1 + 3'000'000);
  CHECK(rates.per_second(Rates::kCommands) == 100);
  rates.sample(stats, 1 + 3'000'000);  // no time has passed
  CHECK(rates.per_second(Rates::kCommands) == 100);
}

TEST_CASE("a reset of the statistics makes no rate negative or huge") {
  Stats stats(1);
  Rates rates;
  stats.of_thread(0).commands[0].calls.add(1'000'000);
  rates.sample(stats, 1);
  stats.reset();
  stats.of_thread(0).commands[0].calls.add(10);
  rates.sample(stats, 1 + tick_us);
  CHECK(rates.per_second(Rates::kCommands) == 100);
}

}  // namespace
}  // namespace pinfold::command
