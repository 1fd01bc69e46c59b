#include "pinfold/command/many_elements.hpp"

#include <algorithm>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "harness.hpp"

#include <catch2/catch.hpp>

namespace resp = pinfold::resp;
namespace store = pinfold::store;
using namespace pinfold::command;

namespace {

using Words = std::vector<std::string>;

// A command, and the arguments for the element with a number.
struct Kind {
  std::string name;
  std::string fill;
  Words (*arguments)(int i);
  Words (*filled)(int i);
};

std::string text_of(int i) { return "element:" + std::to_string(i); }
std::string number_of(int i) { return std::to_string(i % 977); }

const Kind kinds[] = {
    {"SADD", "SADD", [](int i) { return Words{text_of(i)}; }, [](int i) { return Words{text_of(i)}; }},
    {"SREM", "SADD", [](int i) { return Words{text_of(i)}; }, [](int i) { return Words{text_of(i)}; }},
    {"HSET", "HSET",
     [](int i) {
       return Words{text_of(i), "v" + std::to_string(i)};
     },
     [](int i) {
       return Words{text_of(i), number_of(i)};
     }},
    {"HMSET", "HSET",
     [](int i) {
       return Words{text_of(i), "v" + std::to_string(i)};
     },
     [](int i) {
       return Words{text_of(i), number_of(i)};
     }},
    {"HDEL", "HSET", [](int i) { return Words{text_of(i)}; },
     [](int i) {
       return Words{text_of(i), number_of(i)};
     }},
    {"ZADD", "ZADD",
     [](int i) {
       return Words{number_of(i + 5), text_of(i)};
     },
     [](int i) {
       return Words{number_of(i), text_of(i)};
     }},
    {"ZREM", "ZADD", [](int i) { return Words{text_of(i)}; },
     [](int i) {
       return Words{number_of(i), text_of(i)};
     }},
    {"RPUSH", "RPUSH", [](int i) { return Words{text_of(i)}; }, [](int i) { return Words{number_of(i)}; }},
    {"LPUSHX", "RPUSH", [](int i) { return Words{text_of(i)}; }, [](int i) { return Words{number_of(i)}; }},
    {"GEOADD", "GEOADD",
     [](int i) {
       return Words{number_of(i % 180), "10", text_of(i)};
     },
     [](int i) {
       return Words{number_of(i % 170), "20", text_of(i)};
     }},
};

struct Rig {
  std::string run(Client& who, const Words& words) {
    std::vector<std::string_view> views(words.begin(), words.end());
    return who.run_all(views);
  }
  static Words request(std::string_view command, std::string_view key, Words (*arguments)(int), int from, int to, int by = 1) {
    Words words{std::string(command), std::string(key)};
    for (int i = from; i < to; i += by) {
      for (std::string& word : arguments(i)) words.push_back(std::move(word));
    }
    return words;
  }
  void fill(const Kind& kind, std::string_view key, int count) {
    for (int from = 0; from < count; from += 500) run(client, request(kind.fill, key, kind.filled, from, std::min(from + 500, count)));
  }
  // Executes the command, and `between` before each further step. Returns the reply.
  template <class Between>
  std::string disturbed(const Words& words, Between&& between) {
    std::vector<std::string_view> views(words.begin(), words.end());
    resp::Output output;
    resp::Reply reply(output, client.session.protocol);
    server.now += 3;  // so that the first step is not made at once
    server.dispatcher.clock().hold_for_test(server.moment());
    server.dispatcher.execute(client.session, views, reply);
    REQUIRE(client.session.task != nullptr);
    for (int step = 0; client.session.task != nullptr; ++step) {
      between(step);
      server.dispatcher.step(client.session, reply);
    }
    return pinfold::command::text_of(output);
  }
  std::string content(std::string_view key) {
    const std::string type = client.run("TYPE", key);
    std::string_view command = "SMEMBERS";
    if (type == "+hash\r\n") command = "HGETALL";
    if (type == "+none\r\n") return {};
    if (type == "+list\r\n") return client.run("LRANGE", key, "0", "-1");
    if (type == "+zset\r\n") return client.run("ZRANGE", key, "0", "-1", "WITHSCORES");
    std::string text = client.run(command, key);
    // Their order depends on how they came into the collection.
    Words lines;
    const std::size_t words = command == "HGETALL" ? 4 : 2;
    std::size_t at = text.find('\n') + 1;
    while (at < text.size()) {
      std::size_t end = at;
      for (std::size_t i = 0; i < words; ++i) end = text.find('\n', end) + 1;
      lines.push_back(text.substr(at, end - at));
      at = end;
    }
    std::ranges::sort(lines);
    text.clear();
    for (const std::string& line : lines) text += line;
    return text;
  }

  explicit Rig(const store::KeyspaceOptions& options = {}) : server(options) {}

  Server server;
  Client client{server};
  Client other{server};
};

constexpr int there = 20'000;

}  // namespace

TEST_CASE("many elements: a command does the same as with its key locked, and works under the lock as little as one of few") {
  for (const Kind& kind : kinds) {
    for (const int before : {0, 5, 600, there}) {
      CAPTURE(kind.name, before);
      Rig rig;
      rig.fill(kind, "k", before);
      if (before > 0) rig.client.run("EXPIRE", "k", "600");
      rig.client.run("COPY", "k", "same");
      // Elements that are there, others, and some twice.
      Words words = Rig::request(kind.name, "k", kind.arguments, 0, 2 * there, 4);
      const Words twice = Rig::request(kind.name, "k", kind.arguments, 0, there, 16);
      words.insert(words.end(), twice.begin() + 2, twice.end());

      Words same = words;
      same[1] = "same";
      rig.client.run("MULTI");
      rig.run(rig.client, same);
      const std::string expected = rig.client.run("EXEC");

      rig.server.keyspace.lock_watch().set_accounting(true);
      const std::string reply = rig.disturbed(words, [](int) {});
      CHECK("*1\r\n" + reply == expected);
      CHECK(rig.content("k") == rig.content("same"));
      CHECK(rig.client.run("OBJECT", "ENCODING", "k") == rig.client.run("OBJECT", "ENCODING", "same"));
      CHECK(rig.client.run("TTL", "k") == rig.client.run("TTL", "same"));
      for (const auto& [cause, counts] : rig.server.keyspace.lock_watch().account.causes()) {
        if (cause != find_command_by_name(kind.name)->name) continue;
        CHECK(counts.over == 0);
        CHECK(counts.most.entries <= 64);
      }
      CHECK(rig.server.keyspace.audit().consistent);
    }
  }
}

TEST_CASE("many elements: what others write meanwhile stays, and the command does what it would do behind them") {
  const int writes = GENERATE(1, 100);
  for (const Kind& kind : kinds) {
    CAPTURE(kind.name, writes);
    Rig rig;
    std::mt19937 random(static_cast<unsigned>(writes));
    rig.fill(kind, "k", there);
    rig.fill(kind, "same", there);
    const auto both = [&](Words words) {
      for (const std::string_view key : {"k", "same"}) {
        words[1] = key;
        rig.run(rig.other, words);
      }
    };
    const auto write = [&] {
      const int i = static_cast<int>(random() % (3 * there));
      std::string name = random() % 8 == 0 ? std::string(600, 'x') + std::to_string(i % 50) : text_of(i);
      if (kind.fill == "RPUSH") return both({"RPUSH", "", name});
      if (kind.fill == "SADD") return both({random() % 2 == 0 ? "SADD" : "SREM", "", name});
      if (random() % 2 == 0) return both({kind.fill == "HSET" ? "HDEL" : "ZREM", "", name});
      if (kind.fill == "HSET") return both({"HSET", "", name, random() % 4 == 0 ? std::string(700, 'v') : "w"});
      both({"ZADD", "", std::to_string(random() % 2000), name});
    };
    Words words = Rig::request(kind.name, "k", kind.arguments, 0, 2 * there, 4);
    for (int i = 0; i < 100; ++i) {  // some twice
      for (std::string& word : kind.arguments(static_cast<int>(random() % there))) words.push_back(std::move(word));
    }
    for (int i = 0; i < 50; ++i) {
      Words one = kind.arguments(0);
      const bool at_end = kind.name != "HSET" && kind.name != "HMSET";
      (at_end ? one.back() : one.front()) = std::string(600, 'x') + std::to_string(i);
      words.insert(words.end(), one.begin(), one.end());
    }
    int rounds = 0;
    const std::string reply = rig.disturbed(words, [&](int step) {
      if (step == 0 || ++rounds > 8) return;
      for (int i = 0; i < writes; ++i) write();
    });
    Words same = words;
    same[1] = "same";
    rig.client.run("MULTI");
    rig.run(rig.client, same);
    CHECK("*1\r\n" + reply == rig.client.run("EXEC"));
    CHECK(rig.content("k") == rig.content("same"));
    if (kind.fill != "RPUSH") CHECK(rounds > 0);  // a push takes no time
    CHECK(rig.server.keyspace.audit().consistent);
  }
}

TEST_CASE("many elements: writes of others in every step do not keep a command from its end") {
  Rig rig;
  rig.fill(kinds[0], "k", there);
  rig.server.keyspace.lock_watch().set_accounting(true);
  const Words words = Rig::request("SREM", "k", kinds[0].arguments, 0, there / 2);
  int written = 0;
  SECTION("of some elements") {
    rig.disturbed(words, [&](int) { rig.other.run("SADD", "k", "other" + std::to_string(written++)); });
  }
  SECTION("of the whole") {
    rig.disturbed(words, [&](int) {
      rig.other.run("COPY", "k", "copy", "REPLACE");
      rig.other.run("RENAME", "copy", "k");
      rig.other.run("SPOP", "k", "1");
      ++written;
    });
  }
  CHECK(written < 1000);
  CHECK(rig.client.run("SISMEMBER", "k", text_of(1)) == ":0\r\n");
}

TEST_CASE("many elements: a key that is removed, expires or gets another type meanwhile") {
  Rig rig;
  const Kind& hset = kinds[2];
  rig.fill(hset, "k", there);
  rig.client.run("EXPIRE", "k", "60");
  const Words words = Rig::request("HSET", "k", hset.arguments, 0, there);
  SECTION("removed") {
    CHECK(rig.disturbed(words, [&](int step) {
      if (step == 1) rig.other.run("DEL", "k");
    }) == ":20000\r\n");
    CHECK(rig.client.run("HLEN", "k") == ":20000\r\n");
    CHECK(rig.client.run("TTL", "k") == ":-1\r\n");
  }
  SECTION("expired") {
    const std::string reply = rig.disturbed(words, [&](int step) {
      if (step != 1) return;
      rig.server.now += 61'000;
      rig.server.dispatcher.clock().hold_for_test(rig.server.moment());
    });
    CHECK(reply == ":20000\r\n");
    CHECK(rig.client.run("TTL", "k") == ":-1\r\n");
  }
  SECTION("another type") {
    CHECK(rig.disturbed(words,
                        [&](int step) {
                          if (step == 1) rig.other.run("SET", "k", "text");
                        })
              .starts_with("-WRONGTYPE"));
    CHECK(rig.client.run("GET", "k") == bulk("text"));
  }
  SECTION("another deadline") {
    CHECK(rig.disturbed(words, [&](int step) {
      if (step == 1) rig.other.run("PERSIST", "k");
    }) == ":0\r\n");
    CHECK(rig.client.run("TTL", "k") == ":-1\r\n");
  }
}

TEST_CASE("many elements: a malformed argument is reported before a wrong type, and nothing is done") {
  Rig rig;
  rig.client.run("SET", "text", "x");
  Words words = Rig::request("ZADD", "text", kinds[5].arguments, 0, 3000);
  CHECK(rig.run(rig.client, words).starts_with("-WRONGTYPE"));
  words[words.size() - 2] = "no number";
  CHECK(rig.run(rig.client, words).starts_with("-ERR value is not a valid float"));
  words[1] = "k";
  CHECK(rig.run(rig.client, words).starts_with("-ERR value is not a valid float"));
  CHECK(rig.client.run("EXISTS", "k") == ":0\r\n");
}

TEST_CASE("many elements: those who watch the key are told, unless nothing has changed") {
  Rig rig;
  rig.fill(kinds[0], "k", there);
  const auto exec = [&](const Words& words) {
    rig.other.run("WATCH", "k");
    rig.other.run("MULTI");
    rig.disturbed(words, [](int) {});
    return rig.other.run("EXEC");
  };
  CHECK(exec(Rig::request("SADD", "k", kinds[0].arguments, 0, 2000)) == "*0\r\n");
  CHECK(exec(Rig::request("SREM", "k", kinds[0].arguments, there, there + 2000)) == "*0\r\n");
  CHECK(exec(Rig::request("SADD", "k", kinds[0].arguments, there - 1999, there + 1)) == "*-1\r\n");
  CHECK(exec(Rig::request("SREM", "k", kinds[0].arguments, 0, there + 1)) == "*-1\r\n");
  CHECK(rig.client.run("EXISTS", "k") == ":0\r\n");
}

TEST_CASE("many elements: without memory for a copy, elements are removed all the same, and none are added") {
  Rig rig({.shards = 1, .max_memory = 1 << 30, .policy = pinfold::eviction::Kind::noeviction});
  rig.fill(kinds[0], "k", 4 * there);
  rig.server.keyspace.memory().set_limit(rig.server.keyspace.memory().used() + 100'000);
  const std::string before = rig.client.run("SCARD", "k");
  CHECK(rig.run(rig.client, Rig::request("SADD", "k", kinds[0].arguments, 5 * there, 9 * there)).starts_with("-OOM"));
  CHECK(rig.client.run("SCARD", "k") == before);
  CHECK(rig.run(rig.client, Rig::request("SREM", "k", kinds[0].arguments, 0, 3 * there)) == ":" + std::to_string(3 * there) + "\r\n");
}

TEST_CASE("many elements: HGETDEL replies the values that it removes, however many and long they are") {
  Rig rig;
  const int fields = GENERATE(200, 3000);
  Words set{"HSET", "k"};
  Words take{"HGETDEL", "k", "FIELDS", std::to_string(fields + 1)};
  std::string expected = "*" + std::to_string(fields + 1) + "\r\n";
  for (int i = 0; i < fields; ++i) {
    const std::string value(i % 2 == 0 ? 3000 : 500, static_cast<char>('a' + i % 26));
    set.insert(set.end(), {text_of(i), value});
    take.push_back(text_of(i));
    expected += bulk(value);
  }
  take.push_back("none");
  expected += "$-1\r\n";
  rig.run(rig.client, set);
  rig.client.run("HSET", "k", "stays", "1");
  rig.server.keyspace.lock_watch().set_accounting(true);
  CHECK(rig.disturbed(take, [](int) {}) == expected);
  CHECK(rig.client.run("HLEN", "k") == ":1\r\n");
  for (const auto& [cause, counts] : rig.server.keyspace.lock_watch().account.causes()) {
    if (cause == "hgetdel") CHECK(counts.over == 0);
  }
}

TEST_CASE("many elements: what is read of many is the same as inside of EXEC, and the lock is not held for it") {
  Rig rig;
  constexpr int members = 3000;
  rig.fill(kinds[0], "SMISMEMBER", there);
  rig.fill(kinds[2], "HMGET", there);
  for (const std::string_view key : {"ZMSCORE", "GEOHASH", "GEOPOS"}) rig.fill(kinds[9], key, there);
  for (const std::string_view command : {"SMISMEMBER", "HMGET", "ZMSCORE", "GEOHASH", "GEOPOS"}) {
    CAPTURE(command);
    const Words words = Rig::request(command, command, kinds[0].arguments, there - members / 2, there + members / 2);
    rig.client.run("MULTI");
    rig.run(rig.client, words);
    const std::string expected = rig.client.run("EXEC");
    rig.server.keyspace.lock_watch().set_accounting(true);
    CHECK("*1\r\n" + rig.disturbed(words, [](int) {}) == expected);
    rig.server.keyspace.lock_watch().set_accounting(false);
  }
  for (const auto& [cause, counts] : rig.server.keyspace.lock_watch().account.causes()) {
    CAPTURE(cause);
    CHECK(counts.over == 0);
    CHECK(counts.most.entries == 0);
  }
}
