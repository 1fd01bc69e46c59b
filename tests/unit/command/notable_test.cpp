#include "pinfold/command/notable.hpp"

#include <string>
#include <vector>

#include "harness.hpp"

#include <catch2/catch.hpp>

#include "pinfold/command/command_log.hpp"
#include "pinfold/command/latency_monitor.hpp"
#include "pinfold/command/request_words.hpp"

using namespace pinfold;
using namespace pinfold::command;

namespace {

using Kind = CommandLog::Kind;
using Measured = LatencyMonitor::Event;

std::vector<std::string> list_of(const RequestWords& words) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < words.count(); ++i) all.emplace_back(words[i]);
  return all;
}

std::vector<std::string> list_of(const std::vector<std::string_view>& args, const WordLimits& limits = {}) {
  return list_of(RequestWords(*find_command(args), args, limits));
}

CommandLog::Entry entry_with(std::string_view key) {
  const std::vector<std::string_view> args{"GET", key};
  CommandLog::Entry entry;
  entry.words = RequestWords(*find_command(args), args);
  return entry;
}

// The noted commands, newest first.
std::vector<std::string> noted(Server& server, Kind kind) {
  std::vector<std::string> all;
  for (const auto& entry : server.engine.command_log.newest(kind, 100)) {
    std::string& line = all.emplace_back();
    for (const std::string& word : list_of(entry->words)) line += (line.empty() ? "" : " ") + word;
  }
  return all;
}

}  // namespace

TEST_CASE("request words: long ones are cut, many are counted, secrets are left out") {
  CHECK(list_of({"GET", "k"}) == std::vector<std::string>{"GET", "k"});
  CHECK(list_of({"AUTH", "name", "secret"}) == std::vector<std::string>{"AUTH", "(redacted)", "(redacted)"});
  const std::string longest(128, 'v');
  const std::string longer(129, 'v');
  CHECK(list_of({"SET", "k", longest})[2] == longest);
  CHECK(list_of({"SET", "k", longer})[2] == longest + "... (1 more bytes)");
  std::vector<std::string_view> many{"MGET"};
  many.resize(32, "k");
  CHECK(list_of(many).size() == 32);
  CHECK(list_of(many).back() == "k");
  many.push_back("k");
  CHECK(list_of(many).size() == 32);
  CHECK(list_of(many).back() == "... (2 more arguments)");
  const WordLimits limits{.words = 100, .bytes_of_word = 10, .bytes = 20};
  CHECK(list_of({"MGET", "0123456789", "0123456789", "0123456789", "0123456789"}, limits).back() == "... (2 more arguments)");
}

TEST_CASE("request words: what a request has in the protocol is counted") {
  const std::vector<std::string_view> args{"SET", "key", "0123456789"};
  CHECK(request_bytes(args) == std::string("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$10\r\n0123456789\r\n").size());
  const std::vector<std::string_view> many(100, "");
  CHECK(request_bytes(many) == 6 + 100 * 6);
}

TEST_CASE("command log: the newest entries stay, and ids go on") {
  CommandLog log;
  for (int i = 0; i < 5; ++i) log.add(Kind::slow, entry_with("k" + std::to_string(i)), 3);
  CHECK(log.length(Kind::slow) == 3);
  CHECK(log.length(Kind::large_reply) == 0);
  const std::vector<CommandLog::Pointer> newest = log.newest(Kind::slow, 2);
  REQUIRE(newest.size() == 2);
  CHECK(newest[0]->id == 4);
  CHECK(newest[0]->words[1] == "k4");
  log.reset(Kind::slow);
  CHECK(log.length(Kind::slow) == 0);
  CHECK(log.bytes(Kind::slow) == 0);
  log.add(Kind::slow, entry_with("k"), 3);
  CHECK(log.newest(Kind::slow, 9)[0]->id == 5);
  log.add(Kind::slow, entry_with("k"), 0);
  CHECK(log.length(Kind::slow) == 0);
}

TEST_CASE("command log: whatever the number of entries, they take at most so many bytes") {
  CommandLog log;
  const std::string longest(128, 'v');
  std::vector<std::string_view> args(32, longest);
  args[0] = "MGET";
  for (int i = 0; i < 10'000; ++i) {
    CommandLog::Entry entry;
    entry.words = RequestWords(*find_command(args), args);
    log.add(Kind::slow, std::move(entry), 10'000);
    REQUIRE(log.bytes(Kind::slow) <= CommandLog::most_bytes);
  }
  CHECK(log.length(Kind::slow) > CommandLog::most_bytes / 5000);
  CHECK(log.length(Kind::slow) < CommandLog::most_bytes / 4000);
}

TEST_CASE("latency monitor: a second has one sample, and 160 of them are kept") {
  LatencyMonitor monitor;
  monitor.add(Measured::command, 20, 1000);
  monitor.add(Measured::command, 50, 1000);
  monitor.add(Measured::command, 30, 1000);
  REQUIRE(monitor.series(Measured::command).samples.size() == 1);
  CHECK(monitor.series(Measured::command).samples[0].ms == 50);
  for (std::int64_t i = 1; i < 400; ++i) monitor.add(Measured::command, 10, 1000 + i);
  const LatencyMonitor::Series series = monitor.series(Measured::command);
  REQUIRE(series.samples.size() == LatencyMonitor::most_samples);
  CHECK(series.samples.front().unix_s == 1240);
  CHECK(series.samples.back().unix_s == 1399);
  CHECK(series.most_ms == 50);
  CHECK(monitor.series(Measured::fast_command).samples.empty());
  CHECK(monitor.reset(Measured::command));
  CHECK_FALSE(monitor.reset(Measured::command));
  CHECK(monitor.series(Measured::command).most_ms == 0);
}

TEST_CASE("latency monitor: events are found by their names") {
  for (std::size_t i = 0; i < LatencyMonitor::events; ++i) {
    const auto event = static_cast<Measured>(i);
    CHECK(find_event(event_name(event)) == event);
  }
  CHECK_FALSE(find_event("nosuch"));
}

TEST_CASE("slow log: the limit holds from the next command of the thread on") {
  Server server;
  Client client(server);
  client.run("GET", "a");
  client.run("CONFIG", "SET", "slowlog-log-slower-than", "0");
  client.run("GET", "b");
  client.run("CONFIG", "SET", "slowlog-log-slower-than", "-1");
  client.run("GET", "c");
  CHECK(noted(server, Kind::slow) == std::vector<std::string>{"GET b"});
  CHECK(server.engine.stats.total(&ThreadStats::slow_commands) == 1);
}

TEST_CASE("slow log: waits that came before belong to no later command") {
  Server server;
  Client client(server);
  client.run("CONFIG", "SET", "slowlog-log-slower-than", "0");
  thread_waits.add_lock(ThreadClock::ticks_of(7'000'000'000));
  client.run("GET", "a");
  client.run("GET", "b");
  const std::vector<CommandLog::Pointer> entries = server.engine.command_log.newest(Kind::slow, 2);
  CHECK(entries[0]->locks_us == 0);
  CHECK(entries[1]->locks_us == Approx(7e6).epsilon(1e-3));  // that of the command that has waited
  CHECK(entries[1]->value < 7'000'000);
  SECTION("a refused one takes its waits with it") {
    thread_waits.add_room(ThreadClock::ticks_of(7'000'000'000));
    client.run("GET");
    client.run("GET", "c");
    CHECK(server.engine.command_log.newest(Kind::slow, 1)[0]->room_us == 0);
  }
}

TEST_CASE("slow log: a time that cannot be is cut") {
  Server server;
  Client client(server);
  client.run("CONFIG", "SET", "slowlog-log-slower-than", "0");
  const std::vector<std::string_view> args{"PING"};
  resp::Output output;
  resp::Reply reply(output);
  store::Keyspace::Locks locks(server.keyspace);
  Call call(*find_command(args), args, reply, client.session, server.engine, server.dispatcher.clock(), {}, locks);
  const std::uint64_t hours = ThreadClock::ticks_of(3'600'000'000'000);
  CHECK(note_call(call, Outcome::done, hours) < hours / 10);
  CHECK(server.engine.command_log.newest(Kind::slow, 1)[0]->value < 360'000'000);
}

TEST_CASE("slow log: a long command is noted once, with its words") {
  Server server;
  Client client(server);
  client.run("CONFIG", "SET", "slowlog-log-slower-than", "-1");  // the machine may be busy
  for (int i = 0; i < 20'000; ++i) client.run("SET", "key:" + std::to_string(i), "");
  client.run("CONFIG", "SET", "slowlog-log-slower-than", "0");
  client.run("KEYS", "nothing*");
  CHECK(client.steps > 0);
  CHECK(noted(server, Kind::slow) == std::vector<std::string>{"KEYS nothing*"});
  CHECK(server.keyspace.memory().used(store::Use::clients) == 0);
}

TEST_CASE("slow log: EXEC is left out, and 128 of its commands are noted at most") {
  Server server;
  Client client(server);
  client.run("CONFIG", "SET", "slowlog-log-slower-than", "0");
  client.run("CONFIG", "SET", "slowlog-max-len", "1000");
  client.run("SLOWLOG", "RESET");
  client.run("MULTI");
  for (int i = 0; i < 200; ++i) client.run("GET", "k");
  client.run("EXEC");
  // MULTI, SLOWLOG RESET itself, and those of EXEC.
  CHECK(server.engine.command_log.length(Kind::slow) == 1 + 1 + most_noted_commands_of_exec);
}

TEST_CASE("request words: whether all are there is known") {
  const auto all = [](std::size_t count) {
    std::vector<std::string_view> args(count, "k");
    args[0] = "MGET";
    return RequestWords(*find_command(args), args).are_all();
  };
  CHECK(all(32));
  CHECK_FALSE(all(33));
}

TEST_CASE("slow log: who may not read a key sees the command alone, and so of a key that was cut") {
  Server server;
  Client admin(server);
  Client operators(server);
  admin.run("ACL", "SETUSER", "op", "on", "nopass", "~mine:*", "+slowlog");
  admin.run("CONFIG", "SET", "slowlog-log-slower-than", "0");
  const std::string longer = "mine:" + std::string(200, 'k');
  admin.run("GET", "mine:1");
  admin.run("SET", "theirs:1", "their value");
  admin.run("GET", longer);
  std::vector<std::string_view> many(40, "mine:k");
  many[0] = "DEL";
  admin.run_all(many);
  admin.run("CONFIG", "SET", "slowlog-log-slower-than", "-1");
  operators.run("AUTH", "op", "");
  const std::string seen = operators.run("SLOWLOG", "GET", "-1");
  CHECK(seen.find("*2\r\n$3\r\nGET\r\n$6\r\nmine:1\r\n") != std::string::npos);
  CHECK(seen.find("*2\r\n$3\r\nSET\r\n$10\r\n(redacted)\r\n") != std::string::npos);
  CHECK(seen.find("*2\r\n$3\r\nGET\r\n$10\r\n(redacted)\r\n") != std::string::npos);
  CHECK(seen.find("*2\r\n$3\r\nDEL\r\n$10\r\n(redacted)\r\n") != std::string::npos);
  CHECK(seen.find("theirs") == std::string::npos);
  CHECK(seen.find("their value") == std::string::npos);
  CHECK(seen.find("kkkk") == std::string::npos);
  CHECK(admin.run("SLOWLOG", "GET", "-1").find("their value") != std::string::npos);
}
