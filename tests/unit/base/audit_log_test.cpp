#include "pinfold/base/audit_log.hpp"

#include <algorithm>
#include <random>
#include <set>
#include <thread>

#include <catch2/catch.hpp>

namespace pinfold {
namespace {

using Kind = AuditLog::Kind;

struct Writer final : Sleeper {
  void wake_now() override { ++woken; }
  std::atomic<unsigned> woken{0};
};

struct Fixture {
  Fixture() { log.start(writer); }
  AuditLog log{HashKey{1, 2}};
  Writer writer;
};

void nothing(AuditLine& /*line*/) {}

// The names of a line's fields, if it is one JSON object on one line, without a byte that is no printable ASCII.
std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> names;
  REQUIRE(line.starts_with("{\""));
  REQUIRE(line.ends_with("}\n"));
  std::size_t at = 1;
  const auto read_text = [&] {
    REQUIRE(line[at] == '"');
    std::string text;
    for (++at; line[at] != '"'; ++at) {
      REQUIRE((line[at] >= 0x20 && line[at] < 0x7f));
      if (line[at] == '\\') {
        ++at;
        REQUIRE(std::string_view("\"\\u").find(line[at]) != std::string_view::npos);
        if (line[at] == 'u') at += 4;
      }
      text += line[at];
    }
    ++at;
    return text;
  };
  for (;; ++at) {
    names.push_back(read_text());
    REQUIRE(line[at++] == ':');
    if (line[at] == '"') {
      read_text();
    } else {
      at = line.find_first_of(",}", at);
    }
    if (line[at] == '}') break;
    REQUIRE(line[at] == ',');
  }
  REQUIRE(at + 2 == line.size());
  return names;
}

TEST_CASE("an audit log that is off takes no line and makes none") {
  AuditLog log;
  unsigned made = 0;
  log.note(Kind::acl, [&](AuditLine& /*line*/) { ++made; });
  CHECK(made == 0);
  CHECK(log.take().empty());
}

TEST_CASE("each event is one line of JSON, with its time, its kind and the number of the line") {
  Fixture fixture;
  fixture.log.note(Kind::auth_failed, [](AuditLine& line) { line.add("user", "default").add("client", 7); });
  fixture.log.note(Kind::purge, nothing);
  const auto lines = fixture.log.take();
  REQUIRE(lines.size() == 2);
  CHECK(fields_of(lines[0]) == std::vector<std::string>{"time", "event", "user", "client", "seq"});
  CHECK(lines[0].find("\"event\":\"auth-failed\",\"user\":\"default\",\"client\":7,\"seq\":1}\n") != std::string::npos);
  CHECK(lines[1].ends_with("\"event\":\"purge\",\"seq\":2}\n"));
  CHECK(fixture.log.take().empty());
}

TEST_CASE("every kind has a name of its own") {
  std::set<std::string_view> names;
  for (const AuditLog::Event& event : AuditLog::events()) names.insert(event.name);
  CHECK(names.size() == AuditLog::events().size());
}

TEST_CASE("no bytes of a client break a line or forge one") {
  Fixture fixture;
  std::mt19937 random(4242);
  std::vector<std::string> values = {
      "\n{\"event\":\"auth-ok\"}\n", "\",\"event\":\"auth-ok\",\"x\":\"", "\\", "\\\"", std::string("\0\x7f\x80\xff", 4), "\xe2\x80\xa8"};
  for (int i = 0; i < 200; ++i) {
    std::string value(random() % 300, '\0');
    for (char& c : value) c = static_cast<char>(random());
    values.push_back(value);
  }
  for (const std::string& value : values) fixture.log.note(Kind::acl, [&](AuditLine& line) { line.add("a", value).add("b", value); });
  const auto lines = fixture.log.take();
  REQUIRE(lines.size() == values.size());
  for (const std::string& line : lines) {
    auto names = fields_of(line);
    std::erase(names, "cut");
    CHECK(names == std::vector<std::string>{"time", "event", "a", "b", "seq"});
    CHECK(std::count(line.begin(), line.end(), '\n') == 1);
  }
}

TEST_CASE("a line stays short, whatever is in it, and says that something was cut") {
  Fixture fixture;
  const std::string large(1'000'000, '\n');
  fixture.log.note(Kind::acl, [&](AuditLine& line) {
    for (int i = 0; i < 50; ++i) line.add("name", large);
  });
  fixture.log.note(Kind::acl, [](AuditLine& line) { line.add("name", std::string(700, 'x')); });
  const auto lines = fixture.log.take();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].size() <= AuditLog::longest_line);
  CHECK(lines[0].find(",\"cut\":true,") != std::string::npos);
  fields_of(lines[0]);
  CHECK(lines[1].find("\"cut\"") == std::string::npos);
}

TEST_CASE("the writer is woken when the first line waits, and not for each") {
  Fixture fixture;
  for (int i = 0; i < 100; ++i) fixture.log.note(Kind::acl, nothing);
  CHECK(fixture.writer.woken == 1);
  CHECK(fixture.log.take().size() == 100);
  fixture.log.note(Kind::acl, nothing);
  CHECK(fixture.writer.woken == 2);
}

TEST_CASE("what waits is bounded, and what found no room is counted in a line of its own") {
  Fixture fixture;
  const std::string value(600, 'x');
  constexpr std::size_t noted = 20'000;
  for (std::size_t i = 0; i < noted; ++i) fixture.log.note(Kind::administration, [&](AuditLine& line) { line.add("v", value); });
  CHECK(fixture.log.failing());
  const std::uint64_t lost = fixture.log.lines_lost();
  CHECK(lost > 0);
  auto lines = fixture.log.take();
  std::size_t bytes = 0;
  for (const std::string& line : lines) bytes += line.size();
  CHECK(bytes <= AuditLog::most_waiting_bytes);
  CHECK(lines.size() - 1 + lost == noted);
  CHECK(lines.back().find("\"event\":\"lost\"") != std::string::npos);
  CHECK(lines.back().find(",\"lines\":" + std::to_string(lost) + ",") != std::string::npos);
  CHECK(fixture.log.lines_left_out() == 0);
  CHECK_FALSE(fixture.log.failing());
  fixture.log.note(Kind::administration, nothing);
  lines = fixture.log.take();
  CHECK(lines.size() == 1);
}

// Notes as many lines of a kind without a limit as a queue has no room for.
void flood(AuditLog& log, const AuditLog::Source& source) {
  const std::string value(600, 'x');
  for (int i = 0; i < 10'000; ++i) log.note(Kind::connection_accepted, source, [&](AuditLine& line) { line.add("v", value); });
}

TEST_CASE("what clients from outside cause leaves room for what administrators do, and looks like no failing disk") {
  Fixture fixture;
  for (const char* address : {"192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1", "192.0.2.4:1"}) flood(fixture.log, {.address = address});
  const std::uint64_t lost = fixture.log.lines_lost();
  CHECK(lost > 0);
  CHECK_FALSE(fixture.log.failing());
  for (int i = 0; i < 100; ++i) fixture.log.note(Kind::acl, nothing);
  for (int i = 0; i < 100; ++i) fixture.log.note(Kind::auth_ok, {.user = "ada", .address = "192.0.2.5:1"}, nothing);
  CHECK(fixture.log.lines_lost() == lost);
  const std::string value(600, 'x');
  while (fixture.log.lines_lost() == lost) fixture.log.note(Kind::acl, [&](AuditLine& line) { line.add("v", value); });
  CHECK(fixture.log.failing());
}

TEST_CASE("one source from outside leaves room in the queue for the others, until it is written") {
  Fixture fixture;
  const AuditLog::Source flooding = {.user = "eve", .address = "192.0.2.1:4000"};
  const auto line = [](AuditLine& to) { to.add("of", "victim"); };
  flood(fixture.log, flooding);
  const std::uint64_t left_out = fixture.log.lines_left_out();
  CHECK(left_out > 0);
  CHECK(fixture.log.lines_lost() == 0);
  CHECK_FALSE(fixture.log.failing());
  // It has one share for all kinds.
  fixture.log.note(Kind::denied, flooding, [](AuditLine& to) { to.add("v", std::string(700, 'x')); });
  flood(fixture.log, flooding);
  CHECK(fixture.log.lines_left_out() == left_out + 10'001);
  const AuditLog::Source victims[] = {
      {.address = "192.0.2.1:4000"}, {.address = "192.0.2.2:4000"}, {.user = "ada", .address = "192.0.2.1:1"}};
  for (const AuditLog::Source& victim : victims) fixture.log.note(Kind::auth_failed, victim, line);
  for (const AuditLog::Source& victim : victims) fixture.log.note(Kind::connection_closed, victim, line);
  const auto is_victim = [](const std::string& text) { return text.find("\"of\":\"victim\"") != std::string::npos; };
  auto lines = fixture.log.take();
  CHECK(std::count_if(lines.begin(), lines.end(), is_victim) == 6);
  fixture.log.note(Kind::connection_closed, flooding, line);
  lines = fixture.log.take();
  CHECK(std::count_if(lines.begin(), lines.end(), is_victim) == 1);
}

TEST_CASE("of requests of administrators and logins all are kept, and of those that can be repeated some of each source") {
  for (const AuditLog::Event& event : AuditLog::events()) {
    if (event.repeated_per_second == 0) continue;
    CAPTURE(event.name);
    Fixture fixture;
    constexpr std::uint64_t noted = 1'000;
    const AuditLog::Source source = {.user = "op", .address = "192.0.2.1:4000"};
    for (std::uint64_t i = 0; i < noted; ++i) fixture.log.note(event.kind, source, AuditLog::Repeated::yes, nothing);
    CHECK(fixture.log.lines_left_out() >= noted - 2 * event.repeated_per_second);
    fixture.log.take(true);
    for (std::uint64_t i = 0; i < noted; ++i) fixture.log.note(event.kind, source, AuditLog::Repeated::no, nothing);
    fixture.log.note(event.kind, {.user = "other", .address = "192.0.2.1:4000"}, AuditLog::Repeated::yes, nothing);
    CHECK(fixture.log.take().size() == noted + 1);
  }
}

TEST_CASE("of refusals that come fast only some are kept, and a line says how many are missing") {
  Fixture fixture;
  constexpr std::uint64_t noted = 10'000;
  for (std::uint64_t i = 0; i < noted; ++i) fixture.log.note(Kind::denied, nothing);
  std::uint64_t kept = 0;
  std::uint64_t missing = 0;
  while (kept + missing < noted) {
    for (const std::string& line : fixture.log.take()) {
      const std::size_t at = line.find("\"event\":\"left-out\",\"of\":\"denied\",\"lines\":");
      if (at == std::string::npos) {
        ++kept;
      } else {
        missing += std::stoull(line.substr(line.rfind("lines\":") + 7));
      }
    }
  }
  CHECK(kept + missing == noted);
  CHECK(kept < noted / 10);
  CHECK(fixture.log.lines_left_out() == missing);
  CHECK(fixture.log.lines_lost() == 0);
  fixture.log.reset_counts();
  CHECK(fixture.log.lines_left_out() == 0);
}

// How many of the lines say this.
std::size_t count_with(const std::vector<std::string>& lines, const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(lines.begin(), lines.end(), [&text](const std::string& line) { return line.find(text) != std::string::npos; }));
}

TEST_CASE("the flood of one source takes none of the lines of another") {
  const AuditLog::Source strangers[] = {{.address = "192.0.2.1:4000"}, {.address = "[2001:db8::1]:4000"}, {.address = "/run/socket:0"}, {}};
  const AuditLog::Source victims[] = {{.address = "192.0.2.2:4000"},
                                      {.address = "[2001:db8:0:1::1]:4000"},
                                      {.user = "ada", .address = "192.0.2.1:4000"},
                                      {.user = "bob", .address = "192.0.2.1:4000"},
                                      {.user = "ada", .address = "192.0.2.2:4000"}};
  for (const AuditLog::Event& event : AuditLog::events()) {
    if (event.per_second == 0) continue;
    CAPTURE(event.name);
    Fixture fixture;
    for (const AuditLog::Source& source : strangers) {
      for (int i = 0; i < 10'000; ++i) fixture.log.note(event.kind, source, nothing);
    }
    for (int i = 0; i < 10'000; ++i) fixture.log.note(event.kind, {.user = "eve", .address = "192.0.2.1:4000"}, nothing);
    for (std::size_t i = 0; i < std::size(victims); ++i) {
      for (unsigned n = 0; n < event.per_second; ++n) {
        fixture.log.note(event.kind, victims[i], [i](AuditLine& line) { line.add("victim", i); });
      }
    }
    const auto lines = fixture.log.take();
    CHECK(lines.size() < 5'000);
    for (std::size_t i = 0; i < std::size(victims); ++i) {
      CHECK(count_with(lines, "\"victim\":" + std::to_string(i) + ",") == event.per_second);
    }
  }
}

TEST_CASE("whoever changes the port, or the address within a /64, stays the same source") {
  Fixture fixture;
  for (int i = 0; i < 10'000; ++i) {
    const std::string number = std::to_string(i);
    fixture.log.note(Kind::denied, {.address = "192.0.2.1:" + number}, [](AuditLine& line) { line.add("v", "4"); });
    fixture.log.note(Kind::denied, {.address = "[2001:db8::" + number + "]:4000"}, [](AuditLine& line) { line.add("v", "6"); });
  }
  const auto lines = fixture.log.take();
  for (const char* version : {"4", "6"}) {
    const std::size_t kept = count_with(lines, std::string("\"v\":\"") + version);
    CHECK(kept > 0);
    CHECK(kept < 1'000);
  }
}

TEST_CASE("what was left out is told at the end, however short a time after the last telling") {
  Fixture fixture;
  std::uint64_t missing = 0;
  std::size_t kept = 0;
  for (const bool all : {false, false, true}) {
    for (int i = 0; i < 1'000; ++i) fixture.log.note(Kind::denied, nothing);
    for (const std::string& line : fixture.log.take(all)) {
      const bool told = line.find("\"event\":\"left-out\"") != std::string::npos;
      if (told) missing += std::stoull(line.substr(line.rfind("lines\":") + 7));
      kept += told ? 0 : 1;
    }
  }
  CHECK(kept + missing == 3'000);
}

TEST_CASE("what a caller leaves out is counted and told") {
  AuditLog off;
  off.leave_out(Kind::denied);
  CHECK(off.lines_left_out() == 0);
  Fixture fixture;
  for (int i = 0; i < 3; ++i) fixture.log.leave_out(Kind::denied);
  CHECK(fixture.log.lines_left_out() == 3);
  CHECK(count_with(fixture.log.take(), "\"event\":\"left-out\",\"of\":\"denied\",\"lines\":3,") == 1);
}

TEST_CASE("lines of many threads are numbered in the order in which they are taken") {
  Fixture fixture;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) fixture.log.note(Kind::acl, nothing);
    });
  }
  std::vector<std::string> all;
  while (all.size() < 4000) {
    for (std::string& line : fixture.log.take()) all.push_back(std::move(line));
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < all.size(); ++i) REQUIRE(all[i].ends_with("\"seq\":" + std::to_string(i + 1) + "}\n"));
}

}  // namespace
}  // namespace pinfold
