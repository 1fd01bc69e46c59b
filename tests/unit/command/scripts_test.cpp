// What is locked for scripts, the caches of scripts and libraries, and how a script ends that other threads get in the way of.

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>

#include "harness.hpp"

#include <catch2/catch.hpp>

#include "pinfold/command/function_libraries.hpp"
#include "pinfold/command/script_cache.hpp"
#include "pinfold/script/interpreter.hpp"

using namespace pinfold;
using namespace pinfold::command;

namespace {

// The keys that the script reads come first; the one behind them it reads or writes without having declared it.
constexpr std::string_view reaches =
    "local v = redis.call('GET', KEYS[1]) if ARGV[2] == 'write' then redis.call('SET', KEYS[1], 'written') end "
    "if ARGV[1] then return redis.call('GET', ARGV[1]) end return v";

std::uint64_t runs(Server& server, Counter ThreadStats::*counter) { return server.engine.stats.total(counter); }

std::string key_of_other_shard(Server& server, std::string_view key) {
  for (int i = 0;; ++i) {
    std::string other = "other" + std::to_string(i);
    if (server.keyspace.shard_of(server.keyspace.key(other)) != server.keyspace.shard_of(server.keyspace.key(key))) return other;
  }
}

void make_trusted(Client& client) {
  for (std::uint32_t i = 0; i < KeyHabit::runs_to_trust; ++i) client.run("EVAL", reaches, "1", "k");
}

// Holds the shard of a key from another thread until `released()` is true.
template <class Released>
class Holding {
 public:
  Holding(Server& server, const std::string& key, Released released) {
    thread_ = std::thread([this, &server, key, released] {
      store::Keyspace::Locks locks(server.keyspace);
      locks.acquire(server.keyspace.key(key));
      holds_ = true;
      while (!released()) std::this_thread::yield();
    });
    while (!holds_) std::this_thread::yield();
  }
  ~Holding() { thread_.join(); }
  Holding(const Holding&) = delete;
  Holding& operator=(const Holding&) = delete;

 private:
  std::atomic<bool> holds_{false};
  std::thread thread_;
};

}  // namespace

TEST_CASE("scripts: a habit is trusted after sixteen runs with declared keys, and never after another one") {
  KeyHabit habit;
  for (std::uint32_t i = 0; i < KeyHabit::runs_to_trust; ++i) {
    CHECK(!habit.is_trusted());
    habit.note_declared();
  }
  CHECK(habit.is_trusted());
  habit.note_undeclared();
  for (int i = 0; i < 100; ++i) habit.note_declared();
  CHECK(!habit.is_trusted());
}

TEST_CASE("scripts: a trusted script that needs a shard which another thread holds is run anew, and leaves no trace of its first run") {
  Server server;
  Client client(server);
  const std::string other = key_of_other_shard(server, "k");
  client.run("SET", "k", "v");
  client.run("SET", other, "there");
  make_trusted(client);
  client.run("CONFIG", "RESETSTAT");
  {
    const Holding holding(server, other, [&] { return runs(server, &ThreadStats::scripts_run_again) == 1; });
    CHECK(client.run("EVAL", reaches, "1", "k", other) == "$5\r\nthere\r\n");
  }
  CHECK(runs(server, &ThreadStats::scripts) == 1);
  CHECK(runs(server, &ThreadStats::scripts_locked_declared) == 1);
  CHECK(runs(server, &ThreadStats::scripts_locked_all) == 1);
  CHECK(server.counters("get").calls.get() - KeyHabit::runs_to_trust == 2);
  CHECK(server.keyspace.stats().hits == 2);
  CHECK(client.session.shared.reads.hits == KeyHabit::runs_to_trust + 2);
  // It is not trusted any more.
  client.run("EVAL", reaches, "1", "k");
  CHECK(runs(server, &ThreadStats::scripts_locked_all) == 2);
}

TEST_CASE("scripts: a script that is run anew may do as much as one that is run once") {
  Server server;
  Client client(server);
  const std::string other = key_of_other_shard(server, "k");
  // It reads more than half of what a script may.
  constexpr std::string_view counts =
      "for i = 1, 50 do redis.call('BITCOUNT', KEYS[1]) end if ARGV[1] then redis.call('GET', ARGV[1]) end "
      "return redis.call('BITCOUNT', KEYS[1])";
  client.run("SET", "k", std::string(200'000, '\1'));
  for (std::uint32_t i = 0; i < KeyHabit::runs_to_trust; ++i) CHECK(client.run("EVAL", counts, "1", "k") == ":200000\r\n");
  const Holding holding(server, other, [&] { return runs(server, &ThreadStats::scripts_run_again) == 1; });
  CHECK(client.run("EVAL", counts, "1", "k", other) == ":200000\r\n");
}

TEST_CASE("scripts: a script that has written is not run anew") {
  Server server;
  Client client(server);
  const std::string other = key_of_other_shard(server, "k");
  make_trusted(client);
  std::atomic<bool> ended{false};
  {
    const Holding holding(server, other, [&] { return ended.load(); });
    const std::string reply = client.run("EVAL", reaches, "1", "k", other, "write");
    CHECK(reply.starts_with("-ERR The script uses a key that its caller has not declared, which another client is using"));
    ended = true;
  }
  CHECK(runs(server, &ThreadStats::scripts_run_again) == 0);
  CHECK(runs(server, &ThreadStats::scripts_refused_undeclared) == 1);
  CHECK(client.run("GET", "k") == "$7\r\nwritten\r\n");
  CHECK(client.run("EVAL", reaches, "1", "k", other, "write") == "$-1\r\n");
}

TEST_CASE("scripts: a transaction with a trusted script locks its keys, and is not run anew") {
  Server server;
  Client client(server);
  const std::string other = key_of_other_shard(server, "k");
  make_trusted(client);
  std::atomic<bool> ended{false};
  const Holding holding(server, other, [&] { return ended.load(); });
  client.run("MULTI");
  client.run("SET", "k", "1");
  client.run("EVAL", reaches, "1", "k");
  CHECK(client.run("EXEC") == "*2\r\n+OK\r\n$1\r\n1\r\n");
  client.run("MULTI");
  client.run("EVAL", reaches, "1", "k", other);
  CHECK(client.run("EXEC").starts_with("*1\r\n-ERR The script uses a key that its caller has not declared, which another"));
  ended = true;
}

TEST_CASE("scripts: shards that are locked in the middle are released at the end") {
  Server server;
  Client client(server);
  const std::string other = key_of_other_shard(server, "k");
  make_trusted(client);
  CHECK(client.run("EVAL", reaches, "1", "k", other) == "$-1\r\n");
  CHECK(runs(server, &ThreadStats::scripts_locked_more) == 1);
  store::Keyspace::Locks all(server.keyspace);
  all.acquire_all();
  CHECK(all.holds_all());
}

TEST_CASE("scripts: more shards can be locked beside others, but nobody waits for them") {
  store::Keyspace keyspace({.shards = 4});
  store::Keyspace::Locks one(keyspace);
  store::Keyspace::Locks other(keyspace);
  one.acquire_shard(1);
  CHECK(one.try_acquire_more(1));
  CHECK(one.try_acquire_more(3));
  other.acquire_shard(0);
  CHECK(!one.try_acquire_more(0));
  CHECK(!one.try_acquire_rest());
  CHECK(!other.try_acquire_more(3));
  other.release();
  CHECK(one.try_acquire_rest());
  CHECK(one.holds_all());
  one.release();
  CHECK(one.empty());
  other.acquire_all();
  CHECK(other.holds_all());
}

TEST_CASE("scripts: the cache keeps what SCRIPT LOAD has brought, and the latest of EVAL") {
  store::Memory memory(0);
  ScriptCache cache(memory);
  const auto add = [&](const std::string& body, bool loaded, std::int64_t now, std::uint64_t limit = 1 << 24) {
    return cache.add(std::make_shared<Script>(digest_of(body), body, Shebang()), loaded, limit, MonoMs{now});
  };
  add("kept", true, 1);
  for (int i = 0; i < 600; ++i) CHECK(add("of eval " + std::to_string(i), false, 2 + i)->cached);
  CHECK(cache.size() == ScriptCache::most_of_eval + 1);
  CHECK(cache.evicted() == 100);
  CHECK(cache.find(digest_of("kept")) != nullptr);
  CHECK(cache.find(digest_of("of eval 0")) == nullptr);
  CHECK(cache.find(digest_of("of eval 599")) != nullptr);
  CHECK(memory.used(store::Use::scripts) == cache.bytes());
  // One of EVAL that is loaded later stays as well.
  add("of eval 599", true, 1);
  for (int i = 0; i < 600; ++i) add("more " + std::to_string(i), false, 1000 + i);
  CHECK(cache.find(digest_of("of eval 599")) != nullptr);
  // What finds no room is not cached, and removes nothing in vain.
  const std::size_t size = cache.size();
  CHECK(!add(std::string(100'000, 'x'), false, 5000, 50'000)->cached);
  CHECK(cache.size() == size);
  cache.flush();
  CHECK((cache.size() == 0 && cache.bytes() == 0 && memory.used(store::Use::scripts) == 0));
}

TEST_CASE("scripts: digests are those of SHA1, and are named in any case") {
  CHECK(text_of(digest_of("")) == "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  CHECK(text_of(digest_of("return 1")) == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
  CHECK(named_digest("E0E1F9FABFC9D4800C877A703B823AC0578FF8DB") == digest_of("return 1"));
  CHECK(!named_digest("e0e1"));
}

TEST_CASE("scripts: a set of libraries takes all functions of a library or none") {
  const auto library = [](std::string name, std::initializer_list<std::string> functions) {
    auto made = std::make_shared<FunctionLibrary>();
    made->name = std::move(name);
    for (const std::string& function : functions) made->functions.push_back(std::make_unique<const Function>(function, std::nullopt, 0));
    return made;
  };
  LibrarySet set;
  CHECK(set.add(library("a", {"f", "g"}), false).empty());
  CHECK(set.add(library("a", {"h"}), false) == "ERR Library 'a' already exists");
  CHECK(set.add(library("b", {"x", "g"}), false) == "ERR Function g already exists");
  CHECK((set.find("x") == nullptr && set.function_count() == 2));
  CHECK(set.add(library("a", {"g", "h"}), true).empty());
  CHECK((set.find("f") == nullptr && set.find("g")->library->name == "a" && set.function_count() == 2));
  CHECK(set.remove("a"));
  CHECK((!set.remove("a") && set.function_count() == 0 && set.memory() == 0));
}

TEST_CASE("scripts: a dump has the codes of the libraries") {
  LibrarySet set;
  for (const char* name : {"a", "b", "c"}) {
    auto library = std::make_shared<FunctionLibrary>();
    library->name = name;
    library->code = std::string("#!lua name=") + name + "\n" + std::string(1000, *name);
    library->functions.push_back(std::make_unique<const Function>(name, std::nullopt, 0));
    REQUIRE(set.add(library, false).empty());
  }
  const std::string dumped = dump_libraries(set);
  const auto codes = codes_in_dump(dumped);
  REQUIRE(codes);
  REQUIRE(codes->size() == 3);
  CHECK((*codes)[1] == set.libraries().find("b")->second->code);
  for (std::size_t cut = 0; cut < dumped.size(); cut += 7) CHECK(!codes_in_dump(std::string_view(dumped).substr(0, cut)));
  CHECK(codes_in_dump(dump_libraries(LibrarySet()))->empty());
}

TEST_CASE("scripts: the memory of an interpreter is in the account, and goes with it") {
  const auto server = std::make_unique<Server>();
  {
    Client client(*server);
    CHECK(server->keyspace.memory().used(store::Use::scripts) == 0);
    client.run("EVAL", "local t = {} for i = 1, 10000 do t[i] = i end return #t", "0");
    CHECK(server->engine.scripting.interpreter_bytes > 0);
    CHECK(server->keyspace.memory().used(store::Use::scripts) ==
          server->engine.scripting.interpreter_bytes + server->engine.scripting.cache.bytes());
  }
}

TEST_CASE("scripts: what scripts are flushed does not stay in the interpreters") {
  Server server;
  Client client(server);
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 200; ++i) {
      const std::string body = "return '" + std::string(2000, 'x') + std::to_string(i) + "'";
      client.run("SCRIPT", "LOAD", body);
    }
    client.run("SCRIPT", "FLUSH");
    for (int i = 0; i < 50; ++i) server.engine.scripting.tick(0);
  }
  CHECK(server.engine.scripting.interpreter_bytes < 8U << 20);
}

TEST_CASE("scripts: nothing refers to the value that a script has read last") {
  Server server;
  Client client(server);
  client.run("SET", "k", std::string(100'000, 'x'));
  CHECK(client.run("EVAL", "return #redis.call('GET', KEYS[1])", "1", "k") == ":100000\r\n");
  CHECK(server.keyspace.audit().readers == 0);
}
