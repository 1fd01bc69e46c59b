// Purges that wait to be swept: what each counts, what they take, and what they must not keep from happening.

#include <catch2/catch.hpp>

#include <algorithm>
#include <memory>
#include <string>

#include "pinfold/base/work.hpp"
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
  constexpr std::uint64_t waiting = sizeof(Purges::Mark);
  CHECK(grown(false) <= 1000 * waiting + 512);
  CHECK(grown(true) <= 1000 * waiting + 512);
  CHECK(rig.purge("other", true));
  rig.work();
  CHECK(rig.keyspace.memory().used(Use::herd) == 0);
}

TEST_CASE("tags are marked once, however many shards there are") {
  constexpr std::size_t count = 10'000;
  const auto grown = [](unsigned shards) {
    Keyspace keyspace({.shards = shards});
    const UnixMs now = unix_ms();
    for (int i = 0; i < 1000; ++i) {  // in all of them
      const std::string name = std::to_string(i);
      const Key key = keyspace.key(name);
      Keyspace::Locks locks(keyspace);
      locks.acquire(key);
      REQUIRE(Database(keyspace, 0, now).put(key, "v"));
    }
    auto purge = std::make_shared<Purge>();
    for (std::size_t i = 0; i < count; ++i) purge->names.push_back("tag" + std::to_string(i));
    std::sort(purge->names.begin(), purge->names.end());
    Keyspace::Locks locks(keyspace);
    const std::uint64_t before = keyspace.memory().used(Use::herd);
    const work::Counting counting;
    REQUIRE(keyspace.purge(0, purge, locks));
    CHECK(counting.counts().entries <= count + shards);
    const std::uint64_t taken = keyspace.memory().used(Use::herd) - before;
    locks.release();
    while (keyspace.background_step(now, 100'000)) {
    }
    CHECK(keyspace.memory().used(Use::herd) == before);
    return taken;
  };
  CHECK(grown(64) < grown(1) + 64 * 4096);
}

TEST_CASE("what was purged before SWAPDB stays purged when the same tag is purged after it") {
  Rig rig;
  for (int i = 0; i < 100; ++i) rig.put_tagged("k" + std::to_string(i), "v");
  for (int i = 0; i < 3; ++i) REQUIRE(rig.purge("t"));
  {
    Keyspace::Locks locks(rig.keyspace);
    locks.acquire_all();
    rig.keyspace.swap(0, 1, rig.now, locks);
  }
  for (int i = 0; i < 100; ++i) rig.put_tagged("k" + std::to_string(i), "new");
  for (int i = 0; i < 3; ++i) REQUIRE(rig.purge("t"));
  for (const unsigned db : {0U, 1U}) {
    for (int i = 0; i < 100; ++i) {
      const std::string name = "k" + std::to_string(i);
      const Key key = rig.keyspace.key(name);
      Keyspace::Locks locks(rig.keyspace);
      locks.acquire(key);
      REQUIRE_FALSE(Database(rig.keyspace, db, rig.now).find_any(key, Access::none()));
    }
  }
}

TEST_CASE("purges that were swept are forgotten in bounded pieces") {
  Rig rig;
  rig.put_tagged("k", "v");
  for (int i = 0; i < 2000; ++i) REQUIRE(rig.purge("t" + std::to_string(i)));
  for (int steps = 0; steps < 10'000 && rig.keyspace.memory().used(Use::herd) > 0; ++steps) {
    const work::Counting counting;
    rig.keyspace.background_step(rig.now, 0);
    CHECK(counting.counts().nodes <= Purges::most_forgotten);
  }
  CHECK(rig.keyspace.memory().used(Use::herd) == 0);
}

TEST_CASE("large values that were stale before a soft purge can be evicted while it waits") {
  Rig rig(16 * 1024 * 1024);
  for (int i = 0; i < 100; ++i) rig.put_tagged("k" + std::to_string(i), std::string(100'000, 'v'), rig.now - 1000, 1'000'000'000);
  REQUIRE(rig.purge("t", false, true));
  CHECK(rig.keyspace.make_room(12 * 1024 * 1024));
}
