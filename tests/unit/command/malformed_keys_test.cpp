#include <algorithm>
#include <map>
#include <string>

#include "harness.hpp"

#include <catch2/catch.hpp>

using namespace pinfold::command;

namespace {

using Words = std::vector<std::string_view>;

const std::string_view hostile_counts[] = {"0",
                                           "-1",
                                           "-9223372036854775808",
                                           "3",
                                           "99999999999",
                                           "9223372036854775807",
                                           "9223372036854775808",
                                           "18446744073709551617",
                                           "x",
                                           "",
                                           "1.5",
                                           "1e0",
                                           " 1",
                                           "01x"};

bool is_counted(const KeySpec& spec) { return spec.kind == KeySpec::Kind::count; }

std::vector<const Row*> rows_with_counted_keys() {
  std::vector<const Row*> rows;
  for (const Row* row : commands()) {
    if (std::any_of(std::begin(row->keys), std::end(row->keys), is_counted)) rows.push_back(row);
  }
  return rows;
}

// A request of `row` whose number of keys is `count`, with room for two keys and what belongs to each.
Words request(const Row& row, std::string_view count) {
  const KeySpec& spec = *std::find_if(std::begin(row.keys), std::end(row.keys), is_counted);
  Words words(static_cast<std::size_t>(spec.first), "k");
  words[0] = row.name;
  words.push_back(count);
  const auto behind = static_cast<std::size_t>(2 * spec.step);
  words.insert(words.end(), behind, "k");
  return words;
}

// Whether it is no number of keys for the row. A script may have none.
bool is_hostile(const Row& row, std::string_view count) {
  return count != "0" || std::find_if(std::begin(row.keys), std::end(row.keys), is_counted)->least > 0;
}

}  // namespace

TEST_CASE("malformed keys: every command with counted keys says what is wrong with the count") {
  const std::vector<const Row*> rows = rows_with_counted_keys();
  CHECK(rows.size() >= 3);
  for (const Row* row : rows) {
    for (const std::string_view count : hostile_counts) {
      if (!is_hostile(*row, count)) continue;
      INFO(row->name << " " << count);
      Server server;
      Client client(server);
      REQUIRE(client.run("SET", "k", "before") == "+OK\r\n");
      const Words words = request(*row, count);
      std::vector<std::uint32_t> positions;
      REQUIRE(extract_keys(*row, words, positions) == Extraction::malformed);
      CHECK(positions.empty());
      const std::string reply = client.run_all(words);
      CHECK(reply == "-" + key_error(*row, words) + "\r\n");
      CHECK(reply.starts_with("-ERR "));
      CHECK(client.run("GET", "k") == bulk("before"));
      CommandCounters& counters = server.counters(row->name);
      CHECK(counters.calls.get() == 1);
      CHECK(counters.failed.get() == 1);
      CHECK(counters.rejected.get() == 0);
      CHECK(server.engine.stats.errors() == std::map<std::string, std::uint64_t>{{"ERR", 1}});
      CHECK(server.engine.stats.calls() == 3);
    }
  }
}

TEST_CASE("malformed keys: inside EXEC such a command fails in its place, and the others run") {
  for (const Row* row : rows_with_counted_keys()) {
    for (const std::string_view count : hostile_counts) {
      if (!is_hostile(*row, count)) continue;
      INFO(row->name << " " << count);
      Server server;
      Client client(server);
      const Words words = request(*row, count);
      REQUIRE(client.run("MULTI") == "+OK\r\n");
      REQUIRE(client.run("SET", "first", "1") == "+QUEUED\r\n");
      REQUIRE(client.run_all(words) == "+QUEUED\r\n");
      REQUIRE(client.run("GET", "first") == "+QUEUED\r\n");
      CHECK(client.run("EXEC") == "*3\r\n+OK\r\n-" + key_error(*row, words) + "\r\n" + bulk("1"));
      CHECK(client.run("EXISTS", "k") == ":0\r\n");
      CommandCounters& counters = server.counters(row->name);
      CHECK(counters.calls.get() == 1);
      CHECK(counters.failed.get() == 1);
      CHECK(server.engine.stats.errors() == std::map<std::string, std::uint64_t>{{"ERR", 1}});
      CHECK(server.engine.stats.calls() == 6);  // with MULTI, EXISTS and the three inside
    }
  }
}

TEST_CASE("malformed keys: COMMAND GETKEYS finds none, and says so") {
  Server server;
  Client client(server);
  for (const Row* row : rows_with_counted_keys()) {
    for (const std::string_view count : hostile_counts) {
      if (!is_hostile(*row, count)) continue;
      INFO(row->name << " " << count);
      Words words = request(*row, count);
      for (const std::string_view how : {"GETKEYS", "GETKEYSANDFLAGS"}) {
        Words asked{"COMMAND", how};
        asked.insert(asked.end(), words.begin(), words.end());
        // As in Redis, of scripts, which need no keys, nothing is said to be wrong.
        const bool needs_none = (row->flags & kRunsScript) != 0;
        CHECK(client.run_all(asked) == (needs_none ? "*0\r\n" : "-ERR Invalid arguments specified for command\r\n"));
      }
    }
  }
}

TEST_CASE("malformed keys: the errors are Redis' where Redis has the command") {
  Server server;
  Client client(server);
  CHECK(client.run("MSETEX", "x", "k", "v") == "-ERR invalid numkeys value\r\n");
  CHECK(client.run("MSETEX", "2147483648", "k", "v") == "-ERR invalid numkeys value\r\n");
  CHECK(client.run("MSETEX", "2147483647", "k", "v") == "-ERR wrong number of key-value pairs\r\n");
  CHECK(client.run("MSETEX", "2", "k", "v") == "-ERR wrong number of key-value pairs\r\n");
  CHECK(client.run("MSETEX", "2", "k", "v", "l") == "-ERR wrong number of key-value pairs\r\n");
  for (const char* name : {"CACHE.MGET", "CACHE.INVALIDATE"}) {
    CHECK(client.run(name, "0", "k") == "-ERR numkeys should be greater than 0\r\n");
    CHECK(client.run(name, "2", "k") == "-ERR Number of keys can't be greater than number of args\r\n");
    CHECK(client.run(name, "x", "k") ==
          "-ERR " + std::string(name) + " takes the number of keys, 1 or more, and then the keys, not 'x'\r\n");
  }
}

TEST_CASE("malformed keys: a word that brings keys says what is wrong with their number, and nothing is stored") {
  for (const std::string_view count : hostile_counts) {
    for (const std::string_view name : {std::string_view("CACHE.SET"), std::string_view("CACHE.ABSENT")}) {
      Server server;
      Client client(server);
      Words words = name == "CACHE.SET" ? Words{name, "k", "v"} : Words{name, "k"};
      words.insert(words.end(), {"TAGS", "1", "DEPENDS", "DEPENDS", count, "p", "q"});
      INFO(name << " " << count);
      const Row& row = *find_command(words);
      std::vector<std::uint32_t> positions;
      REQUIRE(extract_keys(row, words, positions) == Extraction::malformed);
      CHECK(positions.empty());
      const std::string reply = client.run_all(words);
      CHECK(reply == "-" + key_error(row, words) + "\r\n");
      CHECK(reply.starts_with("-ERR DEPENDS "));
      CHECK(client.run("DBSIZE") == ":0\r\n");
    }
  }
}

TEST_CASE("malformed keys: whatever fits the arity of a command without counted keys fits its key specs") {
  constexpr std::size_t most = 12;
  for (const Row* row : commands()) {
    if (std::any_of(std::begin(row->keys), std::end(row->keys), is_counted)) continue;
    for (std::size_t size = 1; size <= most; ++size) {
      const auto given = static_cast<std::int64_t>(size);
      if (row->arity >= 0 ? given != row->arity : given < -row->arity) continue;
      INFO(row->name << " with " << size << " words");
      const Words words(size, "1");
      std::vector<std::uint32_t> positions;
      CHECK(extract_keys(*row, words, positions) == Extraction::done);
      CHECK(positions.empty() == (row->keys[0].kind == KeySpec::Kind::none));
    }
  }
}
