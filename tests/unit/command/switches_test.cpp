// Switches for an incident, seen by commands: under bypass every command that has keys answers as if they did not exist, and what it
// writes is not there afterwards; a key that admit does not admit is written to and not stored.

#include <algorithm>
#include <mutex>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "harness.hpp"
#include "support/told_clients.hpp"

#include <catch2/catch.hpp>

#include "pinfold/command/command_table.hpp"

using namespace pinfold::command;
namespace cache = pinfold::cache;

namespace {

const std::string nil = "$-1\r\n";
const std::string nil_array = "*-1\r\n";

// What has become of the key `k`, which was stored before the bypass, when the bypass is over.
enum class After : std::uint8_t { kept, gone };
using enum After;

struct Request {
  std::vector<std::string_view> words;
  After after;
};

// The keys `k` and `l` hold "7" and end in 100 s, and `new` holds nothing.
const std::vector<Request> requests = {
    {{"APPEND", "k", "x"}, gone},
    {{"BITCOUNT", "k"}, kept},
    {{"BITFIELD", "k", "GET", "u8", "0"}, kept},
    {{"BITFIELD", "k", "INCRBY", "u8", "0", "1"}, gone},
    {{"BITFIELD", "k", "SET", "u8", "0", "1", "GET", "u8", "0"}, gone},
    {{"BITFIELD_RO", "k", "GET", "u8", "0"}, kept},
    {{"BITOP", "OR", "new", "k", "l"}, kept},
    {{"BITOP", "NOT", "k", "l"}, gone},
    {{"BITPOS", "k", "1"}, kept},
    {{"CACHE.ABSENT", "k"}, gone},
    {{"CACHE.ABSENT", "k", "TOKEN", "1"}, kept},
    {{"CACHE.GET", "k"}, kept},
    {{"CACHE.GET", "k", "LEASE", "0"}, kept},
    {{"CACHE.GET", "k", "LEASE", "1000", "WAIT", "10"}, kept},
    {{"CACHE.INSPECT", "k"}, kept},
    {{"CACHE.INVALIDATE", "1", "k"}, gone},
    {{"CACHE.INVALIDATE", "2", "k", "l", "SOFT"}, gone},
    {{"CACHE.INVALIDATE", "1", "k", "VERSION", "1"}, gone},
    {{"CACHE.MGET", "2", "k", "new", "LEASE", "1000"}, kept},
    {{"CACHE.POLICY", "MATCH", "k"}, kept},
    {{"CACHE.RELEASE", "k", "1"}, kept},
    {{"CACHE.RENEW", "k", "1", "1000"}, kept},
    {{"CACHE.SET", "k", "x"}, gone},
    {{"CACHE.SET", "k", "x", "PX", "100000", "STALE", "1000", "VERSION", "7", "TAGS", "1", "t"}, gone},
    {{"CACHE.SET", "k", "x", "TOKEN", "1"}, kept},
    {{"CL.THROTTLE", "k", "1", "1", "1"}, gone},
    {{"COPY", "k", "new"}, kept},
    {{"COPY", "k", "l", "REPLACE"}, kept},
    {{"DECR", "k"}, gone},
    {{"DECRBY", "k", "2"}, gone},
    {{"DEL", "k", "l"}, gone},
    {{"DELEX", "k"}, gone},
    {{"DELEX", "k", "IFEQ", "7"}, kept},
    {{"DELIFEQ", "k", "7"}, kept},
    {{"DIGEST", "k"}, kept},
    {{"EVAL", "return redis.call('GET', KEYS[1])", "1", "k"}, kept},
    {{"EVAL_RO", "return redis.call('GET', KEYS[1])", "1", "k"}, kept},
    {{"EVALSHA", "x", "1", "k"}, kept},
    {{"EVALSHA_RO", "x", "1", "k"}, kept},
    {{"FCALL", "x", "1", "k"}, kept},
    {{"FCALL_RO", "x", "1", "k"}, kept},
    {{"EXISTS", "k", "l", "k"}, kept},
    {{"EXPIRE", "k", "50"}, kept},
    {{"EXPIREAT", "k", "99999999999"}, kept},
    {{"EXPIRETIME", "k"}, kept},
    {{"GET", "k"}, kept},
    {{"GETBIT", "k", "3"}, kept},
    {{"GETDEL", "k"}, gone},
    {{"GETEX", "k"}, kept},
    {{"GETEX", "k", "PERSIST"}, kept},
    {{"GETEX", "k", "PX", "50"}, kept},
    {{"GETRANGE", "k", "0", "-1"}, kept},
    {{"GETSET", "k", "x"}, gone},
    {{"INCR", "k"}, gone},
    {{"INCRBY", "k", "3"}, gone},
    {{"INCRBYFLOAT", "k", "1.5"}, gone},
    {{"LCS", "k", "l"}, kept},
    {{"MEMORY", "USAGE", "k"}, kept},
    {{"MGET", "k", "new", "l"}, kept},
    {{"MOVE", "k", "1"}, kept},
    {{"MSET", "k", "x", "new", "x"}, gone},
    {{"MSETEX", "2", "k", "x", "new", "x"}, gone},
    {{"MSETEX", "1", "k", "x", "NX"}, gone},
    {{"MSETEX", "1", "k", "x", "XX"}, kept},
    {{"MSETNX", "k", "x", "l", "x"}, gone},
    {{"OBJECT", "ENCODING", "k"}, kept},
    {{"OBJECT", "FREQ", "k"}, kept},
    {{"OBJECT", "IDLETIME", "k"}, kept},
    {{"OBJECT", "REFCOUNT", "k"}, kept},
    {{"PERSIST", "k"}, kept},
    {{"PEXPIRE", "k", "50"}, kept},
    {{"PEXPIREAT", "k", "99999999999999"}, kept},
    {{"PEXPIRETIME", "k"}, kept},
    {{"PSETEX", "k", "100", "x"}, gone},
    {{"PTTL", "k"}, kept},
    {{"RENAME", "k", "new"}, kept},
    {{"RENAMENX", "k", "new"}, kept},
    {{"SET", "k", "x"}, gone},
    {{"SET", "k", "x", "NX"}, gone},
    {{"SET", "k", "x", "XX"}, kept},
    {{"SET", "k", "x", "GET", "KEEPTTL"}, gone},
    {{"SET", "k", "x", "IFEQ", "7"}, kept},
    {{"SET", "k", "x", "PXAT", "1"}, gone},
    {{"SETBIT", "k", "9", "1"}, gone},
    {{"SETEX", "k", "100", "x"}, gone},
    {{"SETNX", "k", "x"}, gone},
    {{"SETRANGE", "k", "3", "x"}, gone},
    {{"SETRANGE", "k", "3", ""}, kept},
    {{"STRLEN", "k"}, kept},
    {{"SUBSTR", "k", "0", "-1"}, kept},
    {{"TOUCH", "k", "l"}, kept},
    {{"TTL", "k"}, kept},
    {{"TYPE", "k"}, kept},
    {{"UNLINK", "k"}, gone},
    {{"WATCH", "k"}, kept},
    // Commands on collections. Those that wait are given no valid time.
    {{"BLMOVE", "k", "new", "LEFT", "RIGHT", "x"}, kept},
    {{"BLMPOP", "x", "1", "k", "LEFT"}, kept},
    {{"BLPOP", "k", "x"}, kept},
    {{"BRPOP", "k", "x"}, kept},
    {{"BRPOPLPUSH", "k", "new", "x"}, kept},
    {{"BZMPOP", "x", "1", "k", "MIN"}, kept},
    {{"BZPOPMAX", "k", "x"}, kept},
    {{"BZPOPMIN", "k", "x"}, kept},
    {{"GEOADD", "k", "1", "2", "a"}, gone},
    {{"GEODIST", "k", "a", "b"}, kept},
    {{"GEOHASH", "k", "a"}, kept},
    {{"GEOPOS", "k", "a"}, kept},
    {{"GEORADIUS", "k", "1", "2", "3", "km"}, kept},
    {{"GEORADIUSBYMEMBER", "k", "a", "3", "km"}, kept},
    {{"GEORADIUSBYMEMBER_RO", "k", "a", "3", "km"}, kept},
    {{"GEORADIUS_RO", "k", "1", "2", "3", "km"}, kept},
    {{"GEOSEARCH", "k", "FROMLONLAT", "1", "2", "BYRADIUS", "3", "km"}, kept},
    {{"GEOSEARCHSTORE", "new", "k", "FROMLONLAT", "1", "2", "BYRADIUS", "3", "km"}, kept},
    {{"HDEL", "k", "f"}, kept},
    {{"HEXISTS", "k", "f"}, kept},
    {{"HGET", "k", "f"}, kept},
    {{"HGETALL", "k"}, kept},
    {{"HGETDEL", "k", "FIELDS", "1", "f"}, kept},
    {{"HINCRBY", "k", "f", "1"}, gone},
    {{"HINCRBYFLOAT", "k", "f", "1"}, gone},
    {{"HKEYS", "k"}, kept},
    {{"HLEN", "k"}, kept},
    {{"HMGET", "k", "f"}, kept},
    {{"HMSET", "k", "f", "v"}, gone},
    {{"HRANDFIELD", "k"}, kept},
    {{"HSCAN", "k", "0"}, kept},
    {{"HSET", "k", "f", "v"}, gone},
    {{"HSETNX", "k", "f", "v"}, gone},
    {{"HSTRLEN", "k", "f"}, kept},
    {{"HVALS", "k"}, kept},
    {{"LINDEX", "k", "0"}, kept},
    {{"LINSERT", "k", "BEFORE", "a", "b"}, kept},
    {{"LLEN", "k"}, kept},
    {{"LMOVE", "k", "new", "LEFT", "RIGHT"}, kept},
    {{"LMPOP", "2", "k", "l", "LEFT"}, kept},
    {{"LPOP", "k"}, kept},
    {{"LPOS", "k", "a"}, kept},
    {{"LPUSH", "k", "x"}, gone},
    {{"LPUSHX", "k", "x"}, kept},
    {{"LRANGE", "k", "0", "-1"}, kept},
    {{"LREM", "k", "0", "x"}, kept},
    {{"LSET", "k", "0", "x"}, kept},
    {{"LTRIM", "k", "0", "-1"}, kept},
    {{"PFADD", "k", "x"}, gone},
    {{"PFCOUNT", "k"}, kept},
    {{"PFCOUNT", "k", "l"}, kept},
    {{"PFDEBUG", "ENCODING", "k"}, kept},
    {{"PFMERGE", "k", "l"}, gone},
    {{"RPOP", "k"}, kept},
    {{"RPOPLPUSH", "k", "new"}, kept},
    {{"RPUSH", "k", "x"}, gone},
    {{"RPUSHX", "k", "x"}, kept},
    {{"SADD", "k", "x"}, gone},
    {{"SCARD", "k"}, kept},
    {{"SDIFF", "k", "l"}, kept},
    {{"SDIFFSTORE", "new", "k", "l"}, kept},
    {{"SINTER", "k", "l"}, kept},
    {{"SINTERCARD", "2", "k", "l"}, kept},
    {{"SINTERSTORE", "new", "k", "l"}, kept},
    {{"SISMEMBER", "k", "x"}, kept},
    {{"SMEMBERS", "k"}, kept},
    {{"SMISMEMBER", "k", "x"}, kept},
    {{"SMOVE", "k", "new", "x"}, kept},
    {{"SORT", "k"}, kept},
    {{"SORT_RO", "k"}, kept},
    {{"SPOP", "k"}, kept},
    {{"SRANDMEMBER", "k"}, kept},
    {{"SREM", "k", "x"}, kept},
    {{"SSCAN", "k", "0"}, kept},
    {{"SUNION", "k", "l"}, kept},
    {{"SUNIONSTORE", "new", "k", "l"}, kept},
    {{"ZADD", "k", "1", "a"}, gone},
    {{"ZADD", "k", "INCR", "1", "a"}, gone},
    {{"ZADD", "k", "XX", "1", "a"}, kept},
    {{"ZCARD", "k"}, kept},
    {{"ZCOUNT", "k", "0", "1"}, kept},
    {{"ZDIFF", "2", "k", "l"}, kept},
    {{"ZDIFFSTORE", "new", "1", "k"}, kept},
    {{"ZINCRBY", "k", "1", "a"}, gone},
    {{"ZINTER", "1", "k"}, kept},
    {{"ZINTERCARD", "1", "k"}, kept},
    {{"ZINTERSTORE", "new", "1", "k"}, kept},
    {{"ZLEXCOUNT", "k", "-", "+"}, kept},
    {{"ZMPOP", "2", "k", "l", "MAX"}, kept},
    {{"ZMSCORE", "k", "a"}, kept},
    {{"ZPOPMAX", "k"}, kept},
    {{"ZPOPMIN", "k"}, kept},
    {{"ZRANDMEMBER", "k"}, kept},
    {{"ZRANGE", "k", "0", "-1"}, kept},
    {{"ZRANGEBYLEX", "k", "-", "+"}, kept},
    {{"ZRANGEBYSCORE", "k", "0", "1"}, kept},
    {{"ZRANGESTORE", "new", "k", "0", "-1"}, kept},
    {{"ZRANK", "k", "a"}, kept},
    {{"ZREM", "k", "a"}, kept},
    {{"ZREMRANGEBYLEX", "k", "-", "+"}, kept},
    {{"ZREMRANGEBYRANK", "k", "0", "-1"}, kept},
    {{"ZREMRANGEBYSCORE", "k", "0", "1"}, kept},
    {{"ZREVRANGE", "k", "0", "-1"}, kept},
    {{"ZREVRANGEBYLEX", "k", "+", "-"}, kept},
    {{"ZREVRANGEBYSCORE", "k", "1", "0"}, kept},
    {{"ZREVRANK", "k", "a"}, kept},
    {{"ZSCAN", "k", "0"}, kept},
    {{"ZSCORE", "k", "a"}, kept},
    {{"ZUNION", "1", "k"}, kept},
    {{"ZUNIONSTORE", "new", "1", "k"}, kept},
};

std::string shown(const Request& request) {
  std::string text;
  for (const std::string_view word : request.words) text.append(word).append(" ");
  return text;
}

// Tokens differ between servers.
std::string without_tokens(const std::string& reply) { return std::regex_replace(reply, std::regex(":[0-9]{15,}\r\n"), ":token\r\n"); }

struct Switched : Server {
  using Server::Server;
  void switch_to(const cache::Switches& switches) {
    const std::lock_guard lock(engine.cache.policies_mutex());
    engine.cache.set_switches(switches);
  }
  void bypass(bool on) { switch_to({.bypass = on}); }
  void fill(Client& client) {
    client.run("FLUSHALL");
    client.run("SET", "k", "7", "PX", "100000");
    client.run("SET", "l", "7", "PX", "100000");
  }
  bool consistent() {
    while (keyspace.background_step(now, 100'000)) {
    }
    const auto audit = keyspace.audit();
    return audit.consistent && audit.readers == 0;
  }
};

// One that takes `percent` of the new keys.
std::string key_with(Server& server, bool admitted, unsigned percent) {
  for (int i = 0;; ++i) {
    std::string key = "key:" + std::to_string(i);
    if (cache::is_admitted(server.keyspace.key(key).hash, percent) == admitted) return key;
  }
}

}  // namespace

TEST_CASE("switches: every command that has keys says here what bypass makes of it") {
  std::set<std::string_view> known;
  for (const Request& request : requests) {
    const Row* const row = find_command(request.words);
    INFO(shown(request));
    REQUIRE(row != nullptr);
    known.insert(row->name);
  }
  for (const Row* row : commands()) {
    if (row->keys[0].kind == KeySpec::Kind::none) continue;
    INFO(row->name << " is in no list of this test");
    CHECK(known.contains(row->name));
  }
}

TEST_CASE("switches: under bypass commands answer as if their keys did not exist, and what they write is not there afterwards") {
  const bool by_policy = GENERATE(false, true);
  const bool in_transaction = GENERATE(false, true);
  Switched server;
  Client client(server);
  Server empty;
  empty.now = server.now;
  Client model(empty);
  for (Client* one : {&client, &model}) REQUIRE(one->run("CACHE.POLICY", "SET", "p", "match", "*") == "+OK\r\n");
  const auto bypass = [&](bool on) {
    if (!by_policy) return server.bypass(on);
    REQUIRE(client.run("CACHE.POLICY", "SET", "p", "bypass", on ? "yes" : "no") == "+OK\r\n");
  };
  for (const Request& request : requests) {
    if (in_transaction && request.words[0] == "WATCH") continue;
    INFO(shown(request) << (by_policy ? "by policy" : "by setting") << (in_transaction ? " in EXEC" : ""));
    const auto answer = [&](Client& from) {
      if (!in_transaction) return without_tokens(from.run_all(request.words));
      from.run("MULTI");
      from.run_all(request.words);
      return without_tokens(from.run("EXEC"));
    };
    server.fill(client);
    model.run("FLUSHALL");
    bypass(true);
    const std::string expected = answer(model);
    CHECK(answer(client) == expected);
    CHECK(client.session.waiting == nullptr);
    CHECK(client.run("GET", "k") == nil);
    client.run("UNWATCH");
    bypass(false);
    CHECK(client.run("GET", "k") == (request.after == kept ? bulk("7") : nil));
    CHECK(client.run("PTTL", "k") == (request.after == kept ? ":100000\r\n" : ":-2\r\n"));
    CHECK(client.run("EXISTS", "new") == ":0\r\n");
    CHECK(server.engine.cache.leases_alive() == 0);
    model.run("UNWATCH");
  }
  CHECK(server.consistent());
}

TEST_CASE("switches: a key that is not admitted is written to as a new key is, and not stored") {
  Switched server;
  Client client(server);
  Server empty;
  empty.now = server.now;
  Client model(empty);
  server.switch_to({.admit_percent = 0});
  for (const Request& request : requests) {
    INFO(shown(request));
    model.run("FLUSHALL");
    CHECK(without_tokens(client.run_all(request.words)) == without_tokens(model.run_all(request.words)));
    for (const char* key : {"k", "l", "new"}) CHECK(client.run("EXISTS", key) == ":0\r\n");
    client.run("UNWATCH");
    model.run("UNWATCH");
    for (Client* one : {&client, &model}) one->run("FLUSHALL");
  }
  CHECK(client.run("DBSIZE") == ":0\r\n");
  CHECK(server.consistent());
}

TEST_CASE("switches: a stored key is written to, whether or not it is admitted") {
  Switched server;
  Client client(server);
  server.fill(client);
  server.switch_to({.admit_percent = 0});
  CHECK(client.run("INCR", "k") == ":8\r\n");
  CHECK(client.run("APPEND", "k", "0") == ":2\r\n");
  CHECK(client.run("SETRANGE", "k", "2", "1") == ":3\r\n");
  CHECK(client.run("GET", "k") == bulk("801"));
  CHECK(client.run("RENAME", "k", "l") == "+OK\r\n");
  CHECK(client.run("GET", "l") == bulk("801"));
  CHECK(client.run("COPY", "l", "k") == ":1\r\n");
  CHECK(client.run("EXISTS", "k", "l") == ":1\r\n");
  CHECK(client.run("RENAME", "l", "k") == "+OK\r\n");
  CHECK(client.run("EXISTS", "k", "l") == ":0\r\n");
}

TEST_CASE("switches: growing admit adds keys and takes none away, whatever else it is") {
  Switched server;
  constexpr unsigned keys = 20'000;
  std::vector<unsigned> first(101);
  for (unsigned i = 0; i < keys; ++i) {
    const std::uint64_t hash = server.keyspace.key("key:" + std::to_string(i)).hash;
    unsigned from = 0;
    while (!cache::is_admitted(hash, from)) ++from;
    REQUIRE(from <= 100);
    REQUIRE(from > 0);
    for (unsigned percent = from; percent <= 100; ++percent) REQUIRE(cache::is_admitted(hash, percent));
    ++first[from];
  }
  unsigned admitted = 0;
  for (unsigned percent = 1; percent <= 100; ++percent) {
    admitted += first[percent];
    const double share = 100.0 * admitted / keys;
    CHECK(share > percent - 2.0);
    CHECK(share < percent + 2.0);
  }
}

TEST_CASE("switches: of a setting and a policy the stricter one counts") {
  Switched server;
  Client client(server);
  const std::string at_most_20 = key_with(server, true, 20);
  std::string above_20 = key_with(server, false, 20);
  for (int i = 0; !cache::is_admitted(server.keyspace.key(above_20).hash, 80) || cache::is_admitted(server.keyspace.key(above_20).hash, 20);
       ++i) {
    above_20 = "other:" + std::to_string(i);
  }
  const auto stores = [&](const std::string& key) {
    client.run("FLUSHALL");
    client.run("SET", key, "v");
    return client.run("EXISTS", key) == ":1\r\n";
  };
  REQUIRE(client.run("CACHE.POLICY", "SET", "p", "match", "*", "admit", "20%") == "+OK\r\n");
  CHECK(stores(at_most_20));
  CHECK_FALSE(stores(above_20));
  server.switch_to({.admit_percent = 80});
  CHECK_FALSE(stores(above_20));
  REQUIRE(client.run("CACHE.POLICY", "SET", "p", "admit", "100%") == "+OK\r\n");
  CHECK(stores(above_20));
  server.switch_to({.admit_percent = 20});
  CHECK_FALSE(stores(above_20));
  server.switch_to({});
  CHECK(stores(above_20));
  REQUIRE(client.run("CACHE.POLICY", "SET", "p", "bypass", "no") == "+OK\r\n");
  server.bypass(true);
  CHECK_FALSE(stores(above_20));
}

TEST_CASE("switches: a policy's switches are for its keys alone") {
  Switched server;
  Client client(server);
  client.run("MSET", "p:1", "v", "q:1", "v");
  REQUIRE(client.run("CACHE.POLICY", "SET", "p", "match", "p:*", "bypass", "yes") == "+OK\r\n");
  CHECK(client.run("MGET", "p:1", "q:1") == "*2\r\n$-1\r\n" + bulk("v"));
  CHECK(client.run("EXISTS", "p:1", "q:1") == ":1\r\n");
  CHECK(client.run("RENAME", "q:1", "p:1") == "+OK\r\n");  // a write of p:1, and a removal of q:1
  CHECK(client.run("CACHE.POLICY", "DEL", "p") == ":1\r\n");
  CHECK(client.run("EXISTS", "p:1", "q:1") == ":0\r\n");
}

TEST_CASE("switches: EXEC finds a watched key changed if a bypass began or ended meanwhile") {
  Switched server;
  Client client(server);
  server.fill(client);
  const auto executes = [&] {
    client.run("MULTI");
    client.run("SET", "k", "mine");
    return client.run("EXEC") != nil_array;
  };
  client.run("WATCH", "k");
  server.bypass(true);
  CHECK_FALSE(executes());
  client.run("WATCH", "k");
  CHECK(client.run("GET", "k") == nil);
  server.bypass(false);
  CHECK_FALSE(executes());
  CHECK(client.run("GET", "k") == bulk("7"));
  // What does not change what a client sees lets it go on, and what another client writes does not.
  server.bypass(true);
  client.run("WATCH", "k");
  CHECK(executes());
  client.run("WATCH", "k");
  Client other(server);
  other.run("SET", "k", "theirs");
  CHECK_FALSE(executes());
  server.bypass(false);
  CHECK(client.run("EXISTS", "k") == ":0\r\n");
}

TEST_CASE("switches: under bypass CACHE.GET gives tokens that fill nothing, also when the bypass is over") {
  Switched server;
  Client client(server);
  const auto token_in = [](const std::string& reply) {
    std::smatch found;
    REQUIRE(std::regex_search(reply, found, std::regex("miss\r\n\\$-1\r\n:([0-9]+)\r\n:([0-9]+)\r\n$")));
    REQUIRE(found[2] == "10000");
    return found[1].str();
  };
  const std::string before = token_in(client.run("CACHE.GET", "k"));
  server.bypass(true);
  CHECK(client.run("CACHE.SET", "k", "late", "TOKEN", before) == nil);
  const std::string first = token_in(client.run("CACHE.GET", "k"));
  const std::string second = token_in(client.run("CACHE.GET", "k"));
  CHECK(first != second);
  CHECK(client.run("CACHE.RENEW", "k", first, "1000") == ":0\r\n");
  CHECK(client.run("CACHE.RELEASE", "k", first) == ":0\r\n");
  CHECK(client.run("CACHE.SET", "k", "v", "TOKEN", first) == nil);
  server.bypass(false);
  CHECK(client.run("CACHE.SET", "k", "v", "TOKEN", second) == nil);
  CHECK(client.run("EXISTS", "k") == ":0\r\n");
}

TEST_CASE("switches: clients that wait are answered when a bypass begins, and when the value is not stored") {
  Switched server;
  Client loader(server);
  Client reader(server);
  std::vector<cache::Answer> answers;
  ToldClients clients;
  clients.on_answer = [&](const pinfold::Delivery& answer) { answers.push_back(dynamic_cast<const cache::Answers&>(answer).answer); };
  server.engine.connect(&clients);
  const auto wait = [&] {
    answers.clear();
    std::smatch found;
    const std::string reply = loader.run("CACHE.GET", "k");
    REQUIRE(std::regex_search(reply, found, std::regex(":([0-9]{15,})\r\n")));
    REQUIRE(reader.run("CACHE.GET", "k", "WAIT", "10000").empty());
    return found[1].str();
  };
  const auto done = [&] {
    reader.session.waiting.reset();
    REQUIRE(answers.size() == 1);
    CHECK(server.engine.cache.leases_alive() == 0);
    return answers[0];
  };

  SECTION("bypass") {
    wait();
    server.bypass(true);
    server.engine.cache.tell_waiting();
    CHECK(done().status == cache::Status::miss);
  }
  server.switch_to({.admit_percent = 0});
  const auto gets = [&](const std::string& value, std::int64_t ms) {
    const cache::Answer answer = done();
    REQUIRE(answer.value != nullptr);
    CHECK(answer.status == cache::Status::hit);
    CHECK((answer.value->blob ? answer.value->blob.view() : answer.value->text) == value);
    CHECK(answer.ms <= ms);
    CHECK(answer.ms >= std::min<std::int64_t>(ms, ms - 5000));
    CHECK(reader.run("EXISTS", "k") == ":0\r\n");
  };
  SECTION("the fill of the lease's holder") {
    const std::string token = wait();
    CHECK(loader.run("CACHE.SET", "k", "loaded", "TOKEN", token) == "+OK\r\n");
    CHECK(server.engine.cache.counters.filled == 1);
    gets("loaded", -1);
  }
  SECTION("any write") {
    wait();
    CHECK(loader.run("SET", "k", "loaded", "PX", "60000") == "+OK\r\n");
    gets("loaded", 60'000);
  }
  SECTION("a large value") {
    const std::string token = wait();
    const std::string large(300'000, 'x');
    CHECK(loader.run("CACHE.SET", "k", large, "TOKEN", token) == "+OK\r\n");
    gets(large, -1);
  }
  SECTION("a value that is built in place") {
    wait();
    CHECK(loader.run("SETRANGE", "k", "0", "built") == ":5\r\n");
    gets("built", -1);
  }
  SECTION("a negative entry") {
    const std::string token = wait();
    CHECK(loader.run("CACHE.ABSENT", "k", "TOKEN", token) == "+OK\r\n");
    CHECK(done().status == cache::Status::absent);
  }
  for (const std::vector<std::string_view>& removal :
       {std::vector<std::string_view>{"DEL", "k"}, {"FLUSHDB"}, {"CACHE.PURGE", "PREFIX", "k"}, {"SWAPDB", "0", "1"}}) {
    DYNAMIC_SECTION("a value that is gone again when its transaction ends, by " << removal[0]) {
      wait();
      loader.run("MULTI");
      loader.run("SET", "k", "loaded");
      REQUIRE(loader.run_all(removal) == "+QUEUED\r\n");
      loader.run("EXEC");
      server.engine.cache.tell_waiting();
      REQUIRE(answers.size() == 1);
      CHECK(answers[0].status == cache::Status::miss);
      CHECK(answers[0].token != 0);
      reader.session.waiting.reset();
    }
  }
}

TEST_CASE("switches: what they do is counted, over all keys and by policy") {
  Switched server;
  Client client(server);
  REQUIRE(client.run("CACHE.POLICY", "SET", "p", "match", "p:*", "bypass", "yes") == "+OK\r\n");
  client.run("GET", "p:1");
  client.run("MGET", "p:1", "p:2", "q:1");
  client.run("EXISTS", "p:1");
  client.run("SET", "p:1", "v");
  client.run("SETRANGE", "p:1", "1", "v");
  server.switch_to({.admit_percent = 0});
  client.run("SET", "q:1", "v");
  const cache::SwitchCounts& counts = server.engine.cache.switch_counts;
  CHECK(counts.all.reads_bypassed == 4);
  CHECK(counts.all.writes_bypassed == 2);
  CHECK(counts.all.writes_not_admitted == 1);
  CHECK(counts.by_slot[0].writes_not_admitted == 1);
  const std::string policy = client.run("CACHE.POLICY", "SHOW", "p");
  CHECK(policy.find(bulk("reads-bypassed") + ":4\r\n" + bulk("writes-bypassed") + ":2\r\n" + bulk("writes-not-admitted") + ":0\r\n") !=
        std::string::npos);
  CHECK(server.engine.cache.policies_switched.bypass == 1);
  client.run("CONFIG", "RESETSTAT");
  CHECK(counts.all.reads_bypassed == 0);
  CHECK(counts.by_slot[0].writes_not_admitted == 0);
}

TEST_CASE("switches: max-leases of a policy may be none, and 0 means what it always meant") {
  Switched server;
  Client client(server);
  const auto max_leases = [&](const std::string& value) {
    REQUIRE(client.run("CACHE.POLICY", "SET", "p", "match", "*", "max-leases", value) == "+OK\r\n");
    const std::string shown = client.run("CACHE.POLICY", "SHOW", "p");
    std::smatch found;
    REQUIRE(std::regex_search(shown, found, std::regex("max-leases\r\n\\$[0-9]+\r\n([^\r]*)\r\n")));
    return found[1].str();
  };
  CHECK(max_leases("none") == "none");
  CHECK(client.run("CACHE.GET", "k") == "*4\r\n$4\r\nmiss\r\n$-1\r\n:0\r\n:100\r\n");
  CHECK(server.engine.cache.policies_switched.no_leases == 1);
  CHECK(max_leases("3") == "3");
  CHECK(max_leases("0") == "unlimited");
  CHECK(max_leases("unlimited") == "unlimited");
  CHECK(client.run("CACHE.GET", "k").find(":0\r\n") == std::string::npos);
  CHECK(server.engine.cache.policies_switched.no_leases == 0);
}

TEST_CASE("switches: a policy's serve-stale keeps its entries beyond their time, and ends with them") {
  Switched server;
  Client client(server);
  REQUIRE(client.run("CACHE.POLICY", "SET", "p", "match", "p:*") == "+OK\r\n");
  for (const char* key : {"p:1", "q:1"}) client.run("SET", key, "v", "PX", "10");
  REQUIRE(client.run("CACHE.POLICY", "SET", "p", "serve-stale", "yes") == "+OK\r\n");
  server.now += 60'000;
  while (server.keyspace.background_step(server.now, 100'000)) {
  }
  CHECK(client.run("GET", "p:1") == bulk("v"));
  CHECK(client.run("MGET", "p:1", "q:1") == "*2\r\n" + bulk("v") + "$-1\r\n");
  CHECK(client.run("EXISTS", "p:1") == ":0\r\n");
  CHECK(client.run("CACHE.GET", "p:1").starts_with("*4\r\n" + bulk("stale") + bulk("v")));
  CHECK(client.run("DBSIZE") == ":1\r\n");
  REQUIRE(client.run("CACHE.POLICY", "SET", "p", "serve-stale", "no") == "+OK\r\n");
  server.now += 60'000;
  CHECK(client.run("GET", "p:1") == nil);
  CHECK(client.run("DBSIZE") == ":0\r\n");
}
