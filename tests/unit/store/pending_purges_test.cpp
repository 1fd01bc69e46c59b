// Purges that wait to be swept: what each counts, what they take, and what they must not keep from happening.

#include <catch2/catch.hpp>

#include <memory>
#include <string>

#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/purges.hpp"

using namespace pinfold;
using namespace pinfold::store;

namespace {

struct Rig {
  Keyspace keyspace;
  UnixMs now = unix_ms();

  explicit Rig(std::uint64_t max_memory = 0) : keyspace({.shards = 1, .max_memory = max_memory}) {}

  void put(const std::string& name, const std::string& text, const PutOptions& how) {
    const Key key = keyspace.key(name);
    Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    REQUIRE(Database(keyspace, 0, now).put(key, text, how));
  }
  void put_tagged(const std::string& name, const std::string& text, UnixMs expires_at = 0, std::uint32_t stale_ms = 0) {
    Extra extra;
    extra.tags = "\1t";
    extra.stale_ms = stale_ms;
    put(name, text, {.expires_at = expires_at, .extra = &extra});
  }
  std::shared_ptr<Purge> purge(const std::string& name, bool by_prefix = false, bool soft = false) {
    auto purge = std::make_shared<Purge>();
    purge->by_prefix = by_prefix;
    purge->names = {name};
    purge->soft = soft;
    purge->at = now;
    purge->stale_for = [](std::string_view) { return 1000U; };
    Keyspace::Locks locks(keyspace);
    return keyspace.purge(0, purge, locks) ? purge : nullptr;
  }
  void work() {
    while (keyspace.background_step(now, 100'000)) {
    }
  }
};

}  // namespace

TEST_CASE("what waits for two purges counts for the first") {
  for (const bool by_prefix : {false, true}) {
    Rig rig;
    const std::string name = by_prefix ? "k" : "t";
    for (int i = 0; i < 100; ++i) rig.put_tagged("k" + std::to_string(i), "v");
    const auto first = rig.purge(name, by_prefix);
    rig.put_tagged("k-new", "v");
    const auto second = rig.purge(name, by_prefix);
    rig.work();
    CHECK(first->entries == 100);
    CHECK(second->entries == 1);
  }
}

TEST_CASE("the same purge again and again takes no more marks, and others still have room") {
  Rig rig;
  rig.put_tagged("k", "v");
  const auto grown = [&](bool by_prefix) {
    const std::string name = by_prefix ? "k" : "t";
    for (int i = 0; i < 2; ++i) REQUIRE(rig.purge(name, by_prefix));
    const std::uint64_t before = rig.keyspace.memory().used(Use::herd);
    for (int i = 0; i < 1000; ++i) REQUIRE(rig.purge(name, by_prefix));
    return rig.keyspace.memory().used(Use::herd) - before;
  };
  constexpr std::uint64_t waiting = 2 * 24;  // of each, in a vector that doubles
  CHECK(grown(false) <= 1000 * waiting + 512);
  CHECK(grown(true) <= 2000 * waiting);
  CHECK(rig.purge("other", true));
  rig.work();
  CHECK(rig.keyspace.memory().used(Use::herd) == 0);
}

TEST_CASE("large values that were stale before a soft purge can be evicted while it waits") {
  Rig rig(16 * 1024 * 1024);
  for (int i = 0; i < 100; ++i) rig.put_tagged("k" + std::to_string(i), std::string(100'000, 'v'), rig.now - 1000, 1'000'000'000);
  REQUIRE(rig.purge("t", false, true));
  CHECK(rig.keyspace.make_room(12 * 1024 * 1024));
}
