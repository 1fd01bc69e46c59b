// What commands answer about a key that holds a value of another type than a string: each row of the command table that has keys says so
// here, with a type that only tests have (support/toy_type.hpp).

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "harness.hpp"
#include "support/told_clients.hpp"
#include "support/toy_type.hpp"

#include <catch2/catch.hpp>

#include "pinfold/command/command_table.hpp"

using namespace pinfold::command;
namespace store = pinfold::store;
namespace toy = pinfold::store::toy;

namespace {

constexpr std::string_view wrong_type = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

struct Request {
  std::vector<std::string_view> words;  // the key `k` holds a list, `s` the string "text", all others nothing
  std::string_view reply;               // how it begins
  std::string_view packed_reply = {};   // the same for a list that lies in the log, if it is another
};

// Commands that look at or change a string.
const std::vector<Request> for_strings = {
    {{"APPEND", "k", "x"}, wrong_type},
    {{"BITCOUNT", "k"}, wrong_type},
    {{"BITFIELD", "k", "GET", "u8", "0"}, wrong_type},
    {{"BITFIELD", "k", "SET", "u8", "0", "1"}, wrong_type},
    {{"BITFIELD_RO", "k", "GET", "u8", "0"}, wrong_type},
    {{"BITOP", "OR", "new", "s", "k"}, wrong_type},
    {{"BITOP", "NOT", "s", "k"}, wrong_type},
    {{"BITPOS", "k", "1"}, wrong_type},
    {{"CACHE.GET", "k"}, wrong_type},
    {{"CACHE.GET", "k", "LEASE", "1000", "WAIT", "10"}, wrong_type},
    {{"CL.THROTTLE", "k", "1", "1", "1"}, wrong_type},
    {{"DECR", "k"}, wrong_type},
    {{"DECRBY", "k", "1"}, wrong_type},
    {{"DELEX", "k", "IFEQ", "x"}, wrong_type},
    {{"DELEX", "k", "IFDNE", "0123456789abcdef"}, wrong_type},
    {{"DELIFEQ", "k", "x"}, wrong_type},
    {{"DIGEST", "k"}, wrong_type},
    {{"GET", "k"}, wrong_type},
    {{"GETBIT", "k", "0"}, wrong_type},
    {{"GETDEL", "k"}, wrong_type},
    {{"GETEX", "k"}, wrong_type},
    {{"GETEX", "k", "PX", "1"}, wrong_type},
    {{"GETEX", "k", "PERSIST"}, wrong_type},
    {{"GETRANGE", "k", "0", "-1"}, wrong_type},
    {{"GETSET", "k", "x"}, wrong_type},
    {{"INCR", "k"}, wrong_type},
    {{"INCRBY", "k", "1"}, wrong_type},
    {{"INCRBYFLOAT", "k", "1"}, wrong_type},
    {{"EVAL", "return redis.call('GET', KEYS[1])", "1", "k"},
     "-WRONGTYPE Operation against a key holding the wrong kind of value script: "},
    {{"EVAL_RO", "return redis.pcall('GET', KEYS[1])", "1", "k"}, wrong_type},
    {{"LCS", "s", "k"}, "-ERR The specified keys must contain string values\r\n"},
    {{"SET", "k", "x", "GET"}, wrong_type},
    {{"SET", "k", "x", "NX", "GET"}, wrong_type},
    {{"SET", "k", "x", "IFEQ", "y"}, wrong_type},
    {{"SET", "k", "x", "IFDNE", "0123456789abcdef"}, wrong_type},
    {{"SETBIT", "k", "0", "1"}, wrong_type},
    {{"SETRANGE", "k", "0", "x"}, wrong_type},
    {{"SETRANGE", "k", "0", ""}, wrong_type},
    {{"STRLEN", "k"}, wrong_type},
    {{"SUBSTR", "k", "0", "-1"}, wrong_type},
    // Of several values they answer those that are strings.
    {{"MGET", "s", "k", "new", "s"}, "*4\r\n$4\r\ntext\r\n$-1\r\n$-1\r\n$4\r\ntext\r\n"},
    {{"CACHE.MGET", "2", "k", "s", "LEASE", "1000"}, "*2\r\n*4\r\n$4\r\nmiss\r\n$-1\r\n:0\r\n:0\r\n*4\r\n$3\r\nhit\r\n$4\r\ntext\r\n"},
    // A value that is there, of whatever type, is not written to.
    {{"SETNX", "k", "x"}, ":0\r\n"},
    {{"MSETNX", "new", "x", "k", "x"}, ":0\r\n"},
    {{"SET", "k", "x", "NX"}, "$-1\r\n"},
    {{"MSETEX", "2", "new", "x", "k", "x", "NX"}, ":0\r\n"},
};

// Commands on collections of a type, and on strings that have a format.
const std::vector<Request> for_collections = {
    {{"BLMOVE", "k", "new", "LEFT", "RIGHT", "0.01"}, wrong_type},
    {{"BLMPOP", "0.01", "1", "k", "LEFT"}, wrong_type},
    {{"BLPOP", "new", "k", "0.01"}, wrong_type},
    {{"BRPOP", "k", "0.01"}, wrong_type},
    {{"BRPOPLPUSH", "k", "new", "0.01"}, wrong_type},
    {{"BZMPOP", "0.01", "1", "k", "MIN"}, wrong_type},
    {{"BZPOPMAX", "new", "k", "0.01"}, wrong_type},
    {{"BZPOPMIN", "k", "0.01"}, wrong_type},
    {{"GEOADD", "k", "1", "2", "a"}, wrong_type},
    {{"GEODIST", "k", "a", "b"}, wrong_type},
    {{"GEOHASH", "k", "a"}, wrong_type},
    {{"GEOPOS", "k", "a"}, wrong_type},
    {{"GEORADIUS", "k", "1", "2", "3", "km"}, wrong_type},
    {{"GEORADIUS", "k", "1", "2", "3", "km", "STORE", "new"}, wrong_type},
    {{"GEORADIUS_RO", "k", "1", "2", "3", "km"}, wrong_type},
    {{"GEORADIUSBYMEMBER", "k", "a", "3", "km"}, wrong_type},
    {{"GEORADIUSBYMEMBER_RO", "k", "a", "3", "km"}, wrong_type},
    {{"GEOSEARCH", "k", "FROMLONLAT", "1", "2", "BYRADIUS", "3", "km"}, wrong_type},
    {{"GEOSEARCHSTORE", "new", "k", "FROMLONLAT", "1", "2", "BYRADIUS", "3", "km"}, wrong_type},
    {{"HDEL", "k", "f"}, wrong_type},
    {{"HEXISTS", "k", "f"}, wrong_type},
    {{"HGET", "k", "f"}, wrong_type},
    {{"HGETALL", "k"}, wrong_type},
    {{"HGETDEL", "k", "FIELDS", "1", "f"}, wrong_type},
    {{"HINCRBY", "k", "f", "1"}, wrong_type},
    {{"HINCRBYFLOAT", "k", "f", "1"}, wrong_type},
    {{"HKEYS", "k"}, wrong_type},
    {{"HLEN", "k"}, wrong_type},
    {{"HMGET", "k", "f"}, wrong_type},
    {{"HMSET", "k", "f", "v"}, wrong_type},
    {{"HRANDFIELD", "k"}, wrong_type},
    {{"HSCAN", "k", "0"}, wrong_type},
    {{"HSET", "k", "f", "v"}, wrong_type},
    {{"HSETNX", "k", "f", "v"}, wrong_type},
    {{"HSTRLEN", "k", "f"}, wrong_type},
    {{"HVALS", "k"}, wrong_type},
    {{"LINDEX", "k", "0"}, wrong_type},
    {{"LINSERT", "k", "BEFORE", "a", "b"}, wrong_type},
    {{"LLEN", "k"}, wrong_type},
    {{"LMOVE", "k", "new", "LEFT", "RIGHT"}, wrong_type},
    {{"LMPOP", "2", "new", "k", "LEFT"}, wrong_type},
    {{"LPOP", "k"}, wrong_type},
    {{"LPOP", "k", "2"}, wrong_type},
    {{"LPOS", "k", "a"}, wrong_type},
    {{"LPUSH", "k", "x"}, wrong_type},
    {{"LPUSHX", "k", "x"}, wrong_type},
    {{"LRANGE", "k", "0", "-1"}, wrong_type},
    {{"LREM", "k", "0", "x"}, wrong_type},
    {{"LSET", "k", "0", "x"}, wrong_type},
    {{"LTRIM", "k", "0", "-1"}, wrong_type},
    {{"PFADD", "k", "x"}, wrong_type},
    {{"PFCOUNT", "k"}, wrong_type},
    {{"PFCOUNT", "new", "k"}, wrong_type},
    {{"PFDEBUG", "ENCODING", "k"}, wrong_type},
    {{"PFMERGE", "k"}, wrong_type},
    {{"PFMERGE", "new", "k"}, wrong_type},
    {{"RPOP", "k"}, wrong_type},
    {{"RPOPLPUSH", "k", "new"}, wrong_type},
    {{"RPUSH", "k", "x"}, wrong_type},
    {{"RPUSHX", "k", "x"}, wrong_type},
    {{"SADD", "k", "x"}, wrong_type},
    {{"SCARD", "k"}, wrong_type},
    {{"SDIFF", "new", "k"}, wrong_type},
    {{"SDIFFSTORE", "new", "k"}, wrong_type},
    {{"SINTER", "k", "s"}, wrong_type},
    {{"SINTERCARD", "2", "new", "k"}, wrong_type},
    {{"SINTERSTORE", "new", "k"}, wrong_type},
    {{"SISMEMBER", "k", "x"}, wrong_type},
    {{"SMEMBERS", "k"}, wrong_type},
    {{"SMISMEMBER", "k", "x"}, wrong_type},
    {{"SMOVE", "k", "new", "x"}, wrong_type},
    {{"SORT", "k"}, wrong_type},
    {{"SORT", "k", "STORE", "new"}, wrong_type},
    {{"SORT_RO", "k"}, wrong_type},
    {{"SPOP", "k"}, wrong_type},
    {{"SPOP", "k", "2"}, wrong_type},
    {{"SRANDMEMBER", "k"}, wrong_type},
    {{"SRANDMEMBER", "k", "-2"}, wrong_type},
    {{"SREM", "k", "x"}, wrong_type},
    {{"SSCAN", "k", "0"}, wrong_type},
    {{"SUNION", "new", "k"}, wrong_type},
    {{"SUNIONSTORE", "new", "k"}, wrong_type},
    {{"ZADD", "k", "1", "a"}, wrong_type},
    {{"ZADD", "k", "INCR", "1", "a"}, wrong_type},
    {{"ZCARD", "k"}, wrong_type},
    {{"ZCOUNT", "k", "0", "1"}, wrong_type},
    {{"ZDIFF", "1", "k"}, wrong_type},
    {{"ZDIFFSTORE", "new", "1", "k"}, wrong_type},
    {{"ZINCRBY", "k", "1", "a"}, wrong_type},
    {{"ZINTER", "1", "k"}, wrong_type},
    {{"ZINTERCARD", "1", "k"}, wrong_type},
    {{"ZINTERSTORE", "new", "1", "k"}, wrong_type},
    {{"ZLEXCOUNT", "k", "-", "+"}, wrong_type},
    {{"ZMPOP", "2", "new", "k", "MAX"}, wrong_type},
    {{"ZMSCORE", "k", "a"}, wrong_type},
    {{"ZPOPMAX", "k"}, wrong_type},
    {{"ZPOPMIN", "k", "2"}, wrong_type},
    {{"ZRANDMEMBER", "k"}, wrong_type},
    {{"ZRANGE", "k", "0", "-1"}, wrong_type},
    {{"ZRANGEBYLEX", "k", "-", "+"}, wrong_type},
    {{"ZRANGEBYSCORE", "k", "0", "1"}, wrong_type},
    {{"ZRANGESTORE", "new", "k", "0", "-1"}, wrong_type},
    {{"ZRANK", "k", "a"}, wrong_type},
    {{"ZREM", "k", "a"}, wrong_type},
    {{"ZREMRANGEBYLEX", "k", "-", "+"}, wrong_type},
    {{"ZREMRANGEBYRANK", "k", "0", "-1"}, wrong_type},
    {{"ZREMRANGEBYSCORE", "k", "0", "1"}, wrong_type},
    {{"ZREVRANGE", "k", "0", "-1"}, wrong_type},
    {{"ZREVRANGEBYLEX", "k", "+", "-"}, wrong_type},
    {{"ZREVRANGEBYSCORE", "k", "1", "0"}, wrong_type},
    {{"ZREVRANK", "k", "a"}, wrong_type},
    {{"ZSCAN", "k", "0"}, wrong_type},
    {{"ZSCORE", "k", "a"}, wrong_type},
    {{"ZUNION", "1", "k"}, wrong_type},
    {{"ZUNIONSTORE", "new", "1", "k"}, wrong_type},
};

// Commands on keys whatever their values, and those that overwrite them.
const std::vector<Request> for_any = {
    {{"CACHE.ABSENT", "k"}, "+OK\r\n"},
    {{"CACHE.INSPECT", "k"}, "*28\r\n$6\r\nstatus\r\n$3\r\nhit\r\n$4\r\ntype\r\n$3\r\ntoy\r\n"},
    {{"CACHE.INVALIDATE", "1", "k"}, ":1\r\n"},
    {{"CACHE.INVALIDATE", "1", "k", "SOFT"}, ":1\r\n"},
    {{"CACHE.POLICY", "MATCH", "k"}, "$-1\r\n"},
    {{"CACHE.RELEASE", "k", "1"}, ":0\r\n"},
    {{"CACHE.RENEW", "k", "1", "1000"}, ":0\r\n"},
    {{"CACHE.SET", "k", "x", "VERSION", "7"}, "+OK\r\n"},
    {{"COPY", "k", "new"}, ":1\r\n"},
    {{"COPY", "k", "s", "REPLACE"}, ":1\r\n"},
    {{"COPY", "s", "k", "REPLACE"}, ":1\r\n"},
    {{"DEL", "k"}, ":1\r\n"},
    {{"DELEX", "k"}, ":1\r\n"},
    {{"EVALSHA", "x", "1", "k"}, "-NOSCRIPT "},
    {{"EVALSHA_RO", "x", "1", "k"}, "-NOSCRIPT "},
    {{"EXISTS", "k"}, ":1\r\n"},
    {{"FCALL", "x", "1", "k"}, "-ERR Function not found\r\n"},
    {{"FCALL_RO", "x", "1", "k"}, "-ERR Function not found\r\n"},
    {{"EXPIRE", "k", "100"}, ":1\r\n"},
    {{"EXPIREAT", "k", "99999999999"}, ":1\r\n"},
    {{"EXPIRETIME", "k"}, ":-1\r\n"},
    {{"MEMORY", "USAGE", "k"}, ":"},
    {{"MOVE", "k", "1"}, ":1\r\n"},
    {{"MSET", "new", "x", "k", "x"}, "+OK\r\n"},
    {{"MSETEX", "1", "k", "x"}, ":1\r\n"},
    {{"MSETEX", "1", "k", "x", "XX", "KEEPTTL"}, ":1\r\n"},
    {{"OBJECT", "ENCODING", "k"}, "$5\r\nchain\r\n", "$4\r\npack\r\n"},
    {{"OBJECT", "FREQ", "k"}, ":0\r\n"},
    {{"OBJECT", "IDLETIME", "k"}, "-ERR An LFU maxmemory policy is selected"},
    {{"OBJECT", "REFCOUNT", "k"}, ":1\r\n"},
    {{"PERSIST", "k"}, ":0\r\n"},
    {{"PEXPIRE", "k", "100"}, ":1\r\n"},
    {{"PEXPIREAT", "k", "99999999999999"}, ":1\r\n"},
    {{"PEXPIRETIME", "k"}, ":-1\r\n"},
    {{"PSETEX", "k", "100", "x"}, "+OK\r\n"},
    {{"PTTL", "k"}, ":-1\r\n"},
    {{"RENAME", "k", "new"}, "+OK\r\n"},
    {{"RENAME", "s", "k"}, "+OK\r\n"},
    {{"RENAMENX", "k", "new"}, ":1\r\n"},
    {{"RENAMENX", "s", "k"}, ":0\r\n"},
    {{"SET", "k", "x"}, "+OK\r\n"},
    {{"SET", "k", "x", "XX"}, "+OK\r\n"},
    {{"SET", "k", "x", "KEEPTTL"}, "+OK\r\n"},
    {{"SETEX", "k", "100", "x"}, "+OK\r\n"},
    // A result without elements removes what was there.
    {{"GEOSEARCHSTORE", "k", "new", "FROMLONLAT", "1", "2", "BYRADIUS", "3", "km"}, ":0\r\n"},
    {{"GEORADIUS", "new", "1", "2", "3", "km", "STORE", "k"}, ":0\r\n"},
    {{"GEORADIUSBYMEMBER", "new", "a", "3", "km", "STORE", "k"}, ":0\r\n"},
    {{"SDIFFSTORE", "k", "new"}, ":0\r\n"},
    {{"SINTERSTORE", "k", "new"}, ":0\r\n"},
    {{"SORT", "new", "STORE", "k"}, ":0\r\n"},
    {{"SUNIONSTORE", "k", "new"}, ":0\r\n"},
    {{"ZDIFFSTORE", "k", "1", "new"}, ":0\r\n"},
    {{"ZINTERSTORE", "k", "1", "new"}, ":0\r\n"},
    {{"ZRANGESTORE", "k", "new", "0", "-1"}, ":0\r\n"},
    {{"ZUNIONSTORE", "k", "1", "new"}, ":0\r\n"},
    {{"TOUCH", "k"}, ":1\r\n"},
    {{"TTL", "k"}, ":-1\r\n"},
    {{"TYPE", "k"}, "+toy\r\n"},
    {{"UNLINK", "k"}, ":1\r\n"},
    {{"WATCH", "k"}, "+OK\r\n"},
};

struct TypedServer {
  const toy::Registered registered;
  Server server;

  void put(std::string_view name, bool packed, std::vector<std::string> texts = {"one", "two"}) {
    const store::Key key = server.keyspace.key(name);
    store::Keyspace::Locks locks(server.keyspace);
    locks.acquire(key);
    store::Database db(server.keyspace, 0, server.now);
    store::TypedValue value{toy::packed, "onetwo", {}};
    if (!packed) value = {toy::chained, {}, toy::make(server.keyspace.memory().heap(), texts)};
    REQUIRE(db.put(key, std::move(value)));
  }
  // "onetwo", if the list is there as it was put.
  std::string list(std::string_view name) {
    const store::Key key = server.keyspace.key(name);
    store::Keyspace::Locks locks(server.keyspace);
    locks.acquire(key);
    const auto value = store::Database(server.keyspace, 0, server.now).find(key, store::Access::none());
    if (!value || value->is_string()) return "none";
    return value->handle() ? toy::text_of(value->handle()) : std::string(value->text);
  }
  void begin(Client& client, bool packed) {
    server.set(pinfold::config::Id::enable_debug_command, "yes");
    client.run("FLUSHALL");
    client.run("SET", "s", "text");
    put("k", packed);
  }
  bool consistent() {
    while (server.keyspace.background_step(server.now, 100'000)) {
    }
    const auto audit = server.keyspace.audit();
    return audit.consistent && audit.readers == 0;
  }
};

bool begins(const std::string& text, std::string_view with) { return text.starts_with(with); }

std::string shown(const Request& request) {
  std::string text;
  for (const std::string_view word : request.words) text.append(word).append(" ");
  return text;
}

}  // namespace

TEST_CASE("types: every command that has keys says here what it answers about a value of another type") {
  std::set<std::string_view> known;
  for (const auto* requests : {&for_strings, &for_collections, &for_any}) {
    for (const Request& request : *requests) {
      const Row* const row = find_command(request.words);
      INFO(shown(request));
      REQUIRE(row != nullptr);
      CHECK_FALSE(request.reply.empty());
      known.insert(row->name);
    }
  }
  for (const Row* row : commands()) {
    if (row->keys[0].kind == KeySpec::Kind::none) continue;
    INFO(row->name << " is in no list of this test");
    CHECK(known.contains(row->name));
  }
}

TEST_CASE("types: what is for one type answers WRONGTYPE to others, as Redis does, and changes nothing") {
  const auto& requests = GENERATE_REF(std::cref(for_strings), std::cref(for_collections)).get();
  TypedServer typed;
  Client client(typed.server);
  for (const bool packed : {false, true}) {
    for (const Request& request : requests) {
      INFO(shown(request) << (packed ? "(packed)" : "(outside of the log)"));
      typed.begin(client, packed);
      const std::string reply = client.run_all(request.words);
      INFO(reply);
      CHECK(begins(reply, request.reply));
      CHECK(typed.list("k") == "onetwo");
      CHECK(client.run("TTL", "k") == ":-1\r\n");
      CHECK(client.run("GET", "s") == bulk("text"));
      CHECK(client.run("EXISTS", "new") == ":0\r\n");
    }
  }
  CHECK(typed.consistent());
}

TEST_CASE("types: the same inside EXEC, command for command") {
  const auto& requests = GENERATE_REF(std::cref(for_strings), std::cref(for_collections)).get();
  TypedServer typed;
  Client client(typed.server);
  for (const Request& request : requests) {
    INFO(shown(request));
    typed.begin(client, false);
    client.run("MULTI");
    client.run("GET", "s");
    CHECK(client.run_all(request.words) == "+QUEUED\r\n");
    client.run("GET", "s");
    const std::string reply = client.run("EXEC");
    INFO(reply);
    CHECK(begins(reply, "*3\r\n" + bulk("text") + std::string(request.reply)));
    CHECK(reply.ends_with(bulk("text")));
    CHECK(typed.list("k") == "onetwo");
  }
  CHECK(typed.consistent());
}

TEST_CASE("types: what is for any value works with all of them") {
  TypedServer typed;
  Client client(typed.server);
  for (const bool packed : {false, true}) {
    for (const Request& request : for_any) {
      INFO(shown(request) << (packed ? "(packed)" : "(outside of the log)"));
      typed.begin(client, packed);
      const std::string reply = client.run_all(request.words);
      INFO(reply);
      CHECK(begins(reply, packed && !request.packed_reply.empty() ? request.packed_reply : request.reply));
      CHECK(reply.find("WRONGTYPE") == std::string::npos);
      client.run("UNWATCH");
    }
  }
  CHECK(typed.consistent());
}

TEST_CASE("types: a list that is copied, renamed or moved is the same list") {
  TypedServer typed;
  Client client(typed.server);
  for (const bool packed : {false, true}) {
    typed.begin(client, packed);
    client.run("PEXPIRE", "k", "100000");
    CHECK(client.run("COPY", "k", "a") == ":1\r\n");
    CHECK(client.run("RENAME", "a", "b") == "+OK\r\n");
    CHECK(client.run("MOVE", "b", "1") == ":1\r\n");
    CHECK(client.run("SELECT", "1") == "+OK\r\n");
    CHECK(client.run("TYPE", "b") == "+toy\r\n");
    CHECK(client.run("OBJECT", "ENCODING", "b") == bulk(packed ? "pack" : "chain"));
    CHECK(client.run("PTTL", "b") == ":100000\r\n");
    CHECK(client.run("SELECT", "0") == "+OK\r\n");
    CHECK(typed.list("k") == "onetwo");
  }
  CHECK(typed.consistent());
}

TEST_CASE("types: an error of the type is counted as a failed call") {
  TypedServer typed;
  Client client(typed.server);
  typed.begin(client, false);
  const std::uint64_t failed = typed.server.counters("incr").failed.get();
  const std::uint64_t calls = typed.server.counters("incr").calls.get();
  CHECK(client.run("INCR", "k") == wrong_type);
  CHECK(typed.server.counters("incr").failed.get() == failed + 1);
  CHECK(typed.server.counters("incr").calls.get() == calls + 1);
}

TEST_CASE("types: reads under a policy, and where stale values are served, answer WRONGTYPE too") {
  TypedServer typed;
  Client client(typed.server);
  typed.begin(client, false);
  REQUIRE(client.run("CACHE.POLICY", "SET", "p", "match", "*", "coalesce", "100ms") == "+OK\r\n");
  CHECK(client.run("GET", "k") == wrong_type);
  CHECK(client.run("CACHE.POLICY", "MATCH", "k") == bulk("p"));
  CHECK(client.run("CACHE.GET", "k") == wrong_type);
  CHECK(begins(client.run("MGET", "k", "s"), "*2\r\n$-1\r\n$4\r\ntext\r\n"));
  CHECK(client.run("GETEX", "k", "PERSIST") == wrong_type);
  CHECK(client.run("SET", "k", "x") == "+OK\r\n");
  CHECK(client.run("GET", "k") == bulk("x"));
}

TEST_CASE("types: a long command that meets another type at a later step answers WRONGTYPE") {
  TypedServer typed;
  Client client(typed.server);
  client.run("SET", "s", std::string(64 << 20, 's'));
  const auto meets_later = [&](const std::vector<std::string_view>& words) {
    pinfold::resp::Output output;
    pinfold::resp::Reply reply(output, 2);
    typed.server.dispatcher.clock().hold_for_test(typed.server.moment());
    typed.server.dispatcher.execute(client.session, words, reply);
    REQUIRE(client.session.task != nullptr);
    Client other(typed.server);
    REQUIRE(other.run("RENAME", "s", "kept") == "+OK\r\n");
    typed.put("s", false);
    while (client.session.task != nullptr) typed.server.dispatcher.step(client.session, reply);
    CHECK(text_of(output) == wrong_type);
    CHECK(typed.list("s") == "onetwo");
    REQUIRE(other.run("RENAME", "kept", "s") == "+OK\r\n");
  };
  meets_later({"DELEX", "s", "IFDEQ", "0123456789abcdef"});
  meets_later({"BITOP", "NOT", "new", "s"});
  CHECK(client.run("EXISTS", "new") == ":0\r\n");
  client.run("DEL", "s");
  CHECK(typed.consistent());
}

TEST_CASE("types: a reader that waits for a value is told to ask again when it is of another type") {
  TypedServer typed;
  Client loader(typed.server);
  Client reader(typed.server);
  std::string answered = "nothing";
  ToldClients clients;
  clients.on_answer = [&](const pinfold::Delivery& answer) {
    answered = dynamic_cast<const pinfold::cache::Answers&>(answer).answer.value == nullptr ? "no value" : "a value";
  };
  typed.server.engine.connect(&clients);
  loader.run("CACHE.GET", "k");
  CHECK(reader.run("CACHE.GET", "k", "WAIT", "1000").empty());
  REQUIRE(reader.session.waiting != nullptr);
  typed.put("k", false);
  CHECK(answered == "no value");
  reader.session.waiting.reset();
  CHECK(reader.run("CACHE.GET", "k") == wrong_type);
}

TEST_CASE("types: SCAN tells types apart, KEYS, RANDOMKEY and DBSIZE do not") {
  TypedServer typed;
  Client client(typed.server);
  typed.begin(client, false);
  CHECK(client.run("SCAN", "0", "COUNT", "1000", "TYPE", "toy").ends_with("*1\r\n$1\r\nk\r\n"));
  CHECK(client.run("SCAN", "0", "COUNT", "1000", "TYPE", "STRING").ends_with("*1\r\n$1\r\ns\r\n"));
  CHECK(client.run("SCAN", "0", "COUNT", "1000", "TYPE", "list").ends_with("*0\r\n"));
  CHECK(begins(client.run("SCAN", "0", "COUNT", "1000"), "*2\r\n"));
  CHECK(begins(client.run("KEYS", "*"), "*2\r\n"));
  CHECK(client.run("DBSIZE") == ":2\r\n");
  client.run("DEL", "s");
  CHECK(client.run("RANDOMKEY") == bulk("k"));
}

TEST_CASE("types: DEBUG OBJECT shows how a value is kept, and how many elements it has") {
  TypedServer typed;
  typed.server.set(pinfold::config::Id::enable_debug_command, "yes");
  Client client(typed.server);
  typed.begin(client, false);
  const std::string reply = client.run("DEBUG", "OBJECT", "k");
  CHECK(reply.find("encoding:chain length:2 ") != std::string::npos);
}

TEST_CASE("types: tags and versions hold for any value") {
  TypedServer typed;
  Client client(typed.server);
  typed.begin(client, false);
  client.run("CACHE.SET", "k", "x", "TAGS", "1", "t");
  typed.put("k", false);  // as a plain write, which has no tags
  CHECK(client.run("CACHE.PURGE", "TAGS", "1", "t") == "+OK\r\n");
  CHECK(typed.list("k") == "onetwo");
  CHECK(client.run("CACHE.PURGE", "PREFIX", "k") == "+OK\r\n");
  CHECK(client.run("EXISTS", "k") == ":0\r\n");
  CHECK(typed.consistent());
}
