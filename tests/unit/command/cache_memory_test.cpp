// What leases, refused versions and purges take is made room for before: the data give way at once, and not when the background comes.

#include <string>
#include <vector>

#include "harness.hpp"

#include <catch2/catch.hpp>

using namespace pinfold;
using namespace pinfold::command;

namespace {

constexpr std::uint64_t limit = 24 << 20;
// Room is made for whole requests, a segment and a group of the index at a time, and a command can be one of those beyond it.
constexpr std::uint64_t slack = 160 * 1024;

struct Full {
  Server server{{.shards = 2, .max_memory = limit}};
  Client client{server};

  Full() {
    const std::string value(200, 'v');
    for (int i = 0; server.keyspace.stats().evicted == 0; ++i) {
      const std::string key = "key:" + std::to_string(i);
      REQUIRE(client.run("SET", key, value) == "+OK\r\n");
    }
  }
  std::uint64_t coalescing() { return server.keyspace.memory().used(store::Use::coalescing); }
  void run(const std::vector<std::string>& words) {
    const std::string reply = client.run_all({words.begin(), words.end()});
    REQUIRE(reply[0] != '-');
    REQUIRE(server.keyspace.memory().data() <= limit + slack);
  }
};

std::vector<std::string> numbered(std::vector<std::string> words, const std::string& begin, int count) {
  words.push_back(std::to_string(count));
  for (int i = 0; i < count; ++i) words.push_back(begin + std::to_string(i));
  return words;
}

}  // namespace

TEST_CASE("leases, refused versions and purges stay within maxmemory together with the data", "[one-thread]") {
  Full full;
  const std::uint64_t before = full.coalescing();
  SECTION("CACHE.INVALIDATE with VERSION") {
    for (int i = 0; i < 10; ++i) {
      std::vector<std::string> words = numbered({"CACHE.INVALIDATE"}, "none:" + std::to_string(i) + ":", 1000);
      words.insert(words.end(), {"VERSION", "5"});
      full.run(words);
    }
  }
  SECTION("CACHE.GET") {
    for (int i = 0; i < 4000; ++i) full.run({"CACHE.GET", "none:" + std::to_string(i)});
  }
  SECTION("CACHE.MGET") {
    for (int i = 0; i < 10; ++i) full.run(numbered({"CACHE.MGET"}, "none:" + std::to_string(i) + ":", 400));
  }
  SECTION("CACHE.PURGE") {
    full.run({"CACHE.GET", "none", "LEASE", "600000"});  // for which purges are remembered
    for (int i = 0; i < 4; ++i) full.run(numbered({"CACHE.PURGE", "TAGS"}, std::to_string(i) + ":", 1000));
  }
  CHECK(full.coalescing() > before + 4 * slack);
}

TEST_CASE("a read that makes room for a lease counts once") {
  Full full;
  full.server.keyspace.reset_stats(store::Keyspace::Locks(full.server.keyspace));
  for (int i = 0; i < 2000; ++i) full.run({"CACHE.GET", "none:" + std::to_string(i)});
  CHECK(full.server.keyspace.stats().misses == 2000);
  CHECK(full.server.engine.cache.leases_alive() == 2000);
}
