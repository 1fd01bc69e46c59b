#include "pinfold/security/acl_log.hpp"

#include <string>

#include <catch2/catch.hpp>

namespace pinfold::security {
namespace {

constexpr Moment start{.unix = 1'700'000'000'000, .mono = {5'000}};
constexpr std::size_t plenty = 100;

Moment later_by(std::int64_t ms) { return {start.unix + ms, start.mono + ms}; }

AclLog::Event denied(std::string object, std::string client = "id=1") {
  return {.reason = AclLog::Reason::key,
          .context = AclLog::Context::toplevel,
          .object = std::move(object),
          .username = "ada",
          .client = std::move(client)};
}

std::string objects(const AclLog& log) {
  std::string all;
  for (const AclLog::Entry& entry : log.newest(AclLog::most_entries)) all += entry.event.object + "*" + std::to_string(entry.count) + " ";
  return all;
}

TEST_CASE("acl log: the newest entry comes first, and ids grow") {
  AclLog log;
  for (const char* key : {"a", "b", "c"}) log.note(denied(key), plenty, start);
  CHECK(objects(log) == "c*1 b*1 a*1 ");
  const auto two = log.newest(2);
  REQUIRE(two.size() == 2);
  CHECK(two[0].id == 2);
  CHECK(two[1].id == 1);
}

TEST_CASE("acl log: an event like one of the last minute is counted with it, and becomes the newest") {
  AclLog log;
  log.note(denied("a", "id=1"), plenty, start);
  log.note(denied("b"), plenty, start);
  log.note(denied("a", "id=2"), plenty, later_by(60'000));
  CHECK(objects(log) == "a*2 b*1 ");
  const AclLog::Entry entry = log.newest(1)[0];
  CHECK(entry.id == 0);
  CHECK(entry.event.client == "id=2");
  CHECK(entry.created == start.unix);
  CHECK(entry.updated == start.unix + 60'000);
  log.note(denied("a"), plenty, later_by(120'001));
  CHECK(objects(log) == "a*1 a*2 b*1 ");
}

TEST_CASE("acl log: events that differ in anything else have entries of their own") {
  AclLog log;
  log.note(denied("a"), plenty, start);
  AclLog::Event other = denied("a");
  other.username = "bob";
  log.note(other, plenty, start);
  other = denied("a");
  other.context = AclLog::Context::multi;
  log.note(other, plenty, start);
  other = denied("a");
  other.reason = AclLog::Reason::command;
  log.note(other, plenty, start);
  CHECK(log.newest(plenty).size() == 4);
}

TEST_CASE("acl log: however many events come, it keeps so many entries, and none is long") {
  AclLog log;
  const std::string huge(10'000, 'x');
  for (std::size_t i = 0; i < 3 * AclLog::most_entries; ++i) {
    AclLog::Event event = denied(std::to_string(i) + huge, huge);
    event.username = huge;
    log.note(std::move(event), 1'000'000, start);
  }
  const auto entries = log.newest(1'000'000);
  REQUIRE(entries.size() == AclLog::most_entries);
  for (const AclLog::Entry& entry : entries) {
    REQUIRE(entry.event.object.size() == AclLog::longest_object);
    REQUIRE(entry.event.username.size() == AclLog::longest_object);
    REQUIRE(entry.event.client.size() == AclLog::longest_client);
    REQUIRE(entry.event.client.capacity() < 2 * AclLog::longest_client);
  }
}

TEST_CASE("acl log: a shorter limit forgets the oldest, and none keeps nothing") {
  AclLog log;
  for (int i = 0; i < 10; ++i) log.note(denied(std::to_string(i)), 4, start);
  CHECK(objects(log) == "9*1 8*1 7*1 6*1 ");
  log.trim(2);
  CHECK(objects(log) == "9*1 8*1 ");
  log.reset();
  CHECK(objects(log).empty());
  log.note(denied("a"), 0, start);
  CHECK(objects(log).empty());
}

TEST_CASE("acl log: only the ten newest entries are compared") {
  AclLog log;
  for (int i = 0; i < 11; ++i) log.note(denied(std::to_string(i)), plenty, start);
  log.note(denied("1"), plenty, start);
  CHECK(log.newest(plenty).size() == 11);
  log.note(denied("0"), plenty, start);
  CHECK(log.newest(plenty).size() == 12);
}

}  // namespace
}  // namespace pinfold::security
