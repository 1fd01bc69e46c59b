#include "pinfold/base/event_log.hpp"

#include <thread>

#include <catch2/catch.hpp>

namespace pinfold {
namespace {

using Kind = EventLog::Kind;

TEST_CASE("each line is taken once, as it was noted") {
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

TEST_CASE("of many lines of a kind only a few are kept, and the next one says how many were left out") {
  EventLog log;
  constexpr unsigned noted = 100'000;
  unsigned made = 0;
  for (unsigned i = 0; i < noted; ++i) {
    log.note(Kind::out_of_memory, [&] { return ++made, std::string("no room"); });
  }
  // Each second that passes meanwhile admits a few lines.
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

TEST_CASE("many lines about one command do not hide those about another") {
  const std::string_view commands[] = {"config|set", "flushall"};
  EventLog log(commands);
  for (unsigned i = 0; i < 1000; ++i) log.note_command(0, [] { return std::string("set"); });
  log.note_command(1, [] { return std::string("flushed"); });
  const auto lines = log.take();
  REQUIRE(!lines.empty());
  CHECK(lines.back().text == "flushed");
  CHECK(lines.back().kind == Kind::administration);
}

TEST_CASE("a line of its own says how many lines were left out if no next line comes") {
  const std::string_view commands[] = {"config|set"};
  EventLog log(commands);
  constexpr unsigned noted = 1000;
  std::uint64_t told = 0;
  const auto count = [&told](const std::vector<EventLog::Line>& lines) {
    for (const auto& line : lines) {
      told += line.text.starts_with("set");
      if (const std::size_t at = line.text.find('('); at != std::string::npos) told += std::stoull(line.text.substr(at + 1));
      if (line.text.ends_with("about CONFIG SET were left out") || line.text.ends_with("about purges were left out"))
        told += std::stoull(line.text);
    }
  };
  for (unsigned i = 0; i < noted; ++i) log.note_command(0, [] { return std::string("set"); });
  SECTION("once the second is over") {
    while (told < noted) count(log.take());
  }
  SECTION("at the end, when all is told") { count(log.take(true)); }
  SECTION("of kinds that are no commands") {
    count(log.take(true));
    for (unsigned i = 0; i < noted; ++i) log.note(Kind::purges, [] { return std::string("set"); });
    count(log.take(true));
    told -= noted;
  }
  CHECK(told == noted);
  CHECK(log.take(true).empty());
}

TEST_CASE("the number of lines that wait to be taken is bounded") {
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

TEST_CASE("lines below the least level are neither made nor counted as left out") {
  EventLog log;
  log.set_least(EventLog::Level::notice);
  unsigned made = 0;
  for (unsigned i = 0; i < 100; ++i) log.note(Kind::clients, [&] { return ++made, std::string("came"); });
  log.note(Kind::administration, [] { return std::string("kept"); });
  CHECK(made == 0);
  CHECK_FALSE(log.wants(Kind::background));
  REQUIRE(log.take(true).size() == 1);
  log.set_none();
  log.note(Kind::failures, [&] { return ++made, std::string("failed"); });
  CHECK(made == 0);
  log.set_least(EventLog::Level::debug);
  log.note(Kind::background, [] { return std::string("worked"); });
  CHECK(log.take().size() == 1);
}

}  // namespace
}  // namespace pinfold
