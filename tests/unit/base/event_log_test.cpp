#include "pinfold/base/event_log.hpp"

#include <thread>

#include <catch2/catch.hpp>

namespace pinfold {
namespace {

using Kind = EventLog::Kind;

TEST_CASE("lines come out as they were noted, once") {
  EventLog log;
  log.note(Kind::administration, [] { return std::string("first"); });
  log.note(Kind::http, [] { return std::string("second"); });
  const auto lines = log.take();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].text == "first");
  CHECK(lines[0].kind == Kind::administration);
  CHECK(lines[1].text == "second");
  CHECK(log.take().empty());
}

TEST_CASE("however many lines of a kind there are, few are made, and the next one says how many are missing") {
  EventLog log;
  constexpr unsigned noted = 100'000;
  unsigned made = 0;
  for (unsigned i = 0; i < noted; ++i) {
    log.note(Kind::out_of_memory, [&] { return ++made, std::string("no room"); });
  }
  // The seconds that pass meanwhile each admit a few.
  const auto lines = log.take();
  CHECK(made == lines.size());
  CHECK(made >= EventLog::per_second(Kind::out_of_memory));
  CHECK(made < noted / 10);
  std::uint64_t told = 0;
  for (const auto& line : lines) {
    if (const std::size_t at = line.text.find('('); at != std::string::npos) told += std::stoull(line.text.substr(at + 1));
  }
  CHECK(told <= noted - made);
  unsigned others = 0;
  log.note(Kind::http, [&] { return ++others, std::string("another kind"); });
  CHECK(others == 1);
}

TEST_CASE("lines that nobody takes are bounded") {
  EventLog log;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&log] {
      for (unsigned i = 0; i < 20'000; ++i) {
        for (const Kind kind : {Kind::administration, Kind::out_of_memory, Kind::max_clients, Kind::http}) {
          log.note(kind, [] { return std::string("x"); });
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto lines = log.take();
  CHECK(lines.size() >= 4 * EventLog::per_second(Kind::http));
  CHECK(lines.size() <= EventLog::most_waiting);
}

}  // namespace
}  // namespace pinfold
