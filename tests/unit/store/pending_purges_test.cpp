// Purges that wait to be swept: what each counts, what they take, and what they must not keep from happening.

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "support/purge_owner.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"
#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/purges.hpp"
#include "pinfold/store/walk.hpp"

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
    purge->owner = purge_owner<1000>();
    Keyspace::Locks locks(keyspace);
    return keyspace.purge(0, purge, locks) ? purge : nullptr;
  }
  void work() {
    while (keyspace.background_step(now, 100'000)) {
    }
  }
};

}  // namespace

TEST_CASE("a recount does not do what a pending purge is still to do") {
  Rig rig;
  for (int i = 0; i < 20; ++i) rig.put_tagged("k" + std::to_string(i), std::string(i % 2 == 0 ? 10 : 20'000, 'x'));
  REQUIRE(rig.purge("t"));
  Keyspace::Locks none(rig.keyspace);
  const std::uint64_t before = rig.keyspace.entries(0, none);
  CHECK(rig.keyspace.audit().consistent);
  CHECK(rig.keyspace.entries(0, none) == before);
  rig.work();
  CHECK(rig.keyspace.audit().consistent);
  CHECK(rig.keyspace.entries(0, none) == 0);
}

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
    const std::uint64_t before = rig.keyspace.memory().used(Use::coalescing);
    for (int i = 0; i < 1000; ++i) REQUIRE(rig.purge(name, by_prefix));
    return rig.keyspace.memory().used(Use::coalescing) - before;
  };
  constexpr std::uint64_t waiting = sizeof(Purges::Mark);
  CHECK(grown(false) <= 1000 * waiting + 512);
  CHECK(grown(true) <= 1000 * waiting + 512);
  CHECK(rig.purge("other", true));
  rig.work();
  CHECK(rig.keyspace.memory().used(Use::coalescing) == 0);
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
    const std::uint64_t before = keyspace.memory().used(Use::coalescing);
    const work::Counting counting;
    REQUIRE(keyspace.purge(0, purge, locks));
    CHECK(counting.counts().entries <= count + shards);
    const std::uint64_t taken = keyspace.memory().used(Use::coalescing) - before;
    locks.release();
    while (keyspace.background_step(now, 100'000)) {
    }
    CHECK(keyspace.memory().used(Use::coalescing) == before);
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
  for (int steps = 0; steps < 10'000 && rig.keyspace.memory().used(Use::coalescing) > 0; ++steps) {
    const work::Counting counting;
    rig.keyspace.background_step(rig.now, 0);
    CHECK(counting.counts().nodes <= Purges::most_forgotten);
  }
  CHECK(rig.keyspace.memory().used(Use::coalescing) == 0);
}

TEST_CASE("large values that were stale before a soft purge can be evicted while it waits") {
  Rig rig(16 * 1024 * 1024);
  for (int i = 0; i < 100; ++i) rig.put_tagged("k" + std::to_string(i), std::string(100'000, 'v'), rig.now - 1000, 1'000'000'000);
  REQUIRE(rig.purge("t", false, true));
  CHECK(rig.keyspace.make_room(12 * 1024 * 1024));
}

namespace {

// So many tags, t0 and on, as store::Extra keeps them.
std::string many_tags(unsigned count) {
  std::string tags;
  for (unsigned i = 0; i < count; ++i) {
    const std::string tag = "t" + std::to_string(i);
    tags += static_cast<char>(tag.size()) + tag;
  }
  return tags;
}

struct TaggedRig : Rig {
  static constexpr unsigned most_tags = 800;  // 3 990 bytes with the lengths
  const std::string tags = many_tags(most_tags);

  explicit TaggedRig(std::uint64_t max_memory = 0) : Rig(max_memory) { keyspace.lock_watch().set_accounting(true); }
  void put_all(unsigned first, unsigned count) {
    Extra extra;
    extra.tags = tags;
    for (unsigned i = first; i < first + count; ++i) put("k" + std::to_string(i), "v", {.extra = &extra});
  }
  std::shared_ptr<Purge> purge_many(std::vector<std::string> names, bool soft) {
    auto purge = std::make_shared<Purge>();
    purge->names = std::move(names);
    std::ranges::sort(purge->names);
    purge->soft = soft;
    purge->at = now;
    purge->owner = purge_owner<1000>();
    Keyspace::Locks locks(keyspace);
    return keyspace.purge(0, purge, locks) ? purge : nullptr;
  }
  // Tags that no entry has.
  static std::vector<std::string> others(unsigned count, const std::string& begin) {
    std::vector<std::string> names;
    for (unsigned i = 0; i < count; ++i) names.push_back(begin + std::to_string(i));
    return names;
  }
  std::vector<std::string> own() const {
    std::vector<std::string> names;
    for (unsigned i = 0; i < most_tags; ++i) names.push_back("t" + std::to_string(i));
    return names;
  }
  std::uint64_t most_bytes(std::string_view cause) {
    for (const auto& [name, account] : keyspace.lock_watch().account.causes()) {
      if (name == cause) return account.most.bytes;
    }
    return 0;
  }
  std::uint64_t bytes_to_read(const std::string& name) {
    const Key key = keyspace.key(name);
    Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    const work::Counting counting;
    Database(keyspace, 0, now).find_any(key, Access::none());
    return counting.counts().bytes;
  }
};

constexpr std::uint64_t most_bytes_of_hold = 256 * 1024;

}  // namespace

TEST_CASE("a sweep stops in time where entries have many tags, and counts them") {
  for (const unsigned names : {1U, 1000U}) {
    for (const bool soft : {false, true}) {
      INFO(names << (soft ? " tags, soft" : " tags"));
      TaggedRig rig;
      rig.put_all(0, 300);
      for (int i = 0; i < 5; ++i) REQUIRE(rig.purge_many(TaggedRig::others(names, "z" + std::to_string(i)), soft));
      rig.work();
      // All of them in one hold would take more than that.
      CHECK(rig.most_bytes("sweep-purges") > most_bytes_of_hold / 5);
      CHECK(rig.most_bytes("sweep-purges") <= most_bytes_of_hold);
      CHECK(rig.keyspace.audit().consistent);
    }
  }
}

TEST_CASE("eviction and SCAN stop in time while purges of other tags wait") {
  TaggedRig rig(4 << 20);
  for (unsigned i = 0; i < 1000; ++i) {
    if (i % 100 == 99) REQUIRE(rig.purge_many(TaggedRig::others(1000, "z" + std::to_string(i)), false));
    REQUIRE(rig.keyspace.make_room(8192));
    rig.put_all(i, 1);
  }
  CHECK(rig.most_bytes("evict") > most_bytes_of_hold / 4);
  CHECK(rig.most_bytes("evict") <= most_bytes_of_hold);
  std::uint64_t cursor = 0;
  do {
    std::uint64_t left = 1000;
    Names names;
    Keyspace::Locks none(rig.keyspace);
    const HoldCause cause("scan");
    cursor = rig.keyspace.scan(0, cursor, left, rig.now, none, names);
  } while (cursor != 0);
  CHECK(rig.most_bytes("scan") > most_bytes_of_hold / 4);
  // Entries whose places in the index have the same tag are seen together.
  CHECK(rig.most_bytes("scan") <= 2 * most_bytes_of_hold);
}

TEST_CASE("a look-up of an entry with many tags stays within what a hold may look at, however many purges wait") {
  TaggedRig rig;
  rig.put_all(0, 2);
  for (int i = 0; i < 40; ++i) REQUIRE(rig.purge_many(rig.own(), true));
  for (int i = 0; i < 3; ++i) REQUIRE(rig.purge_many(TaggedRig::others(1000, "z"), false));
  const std::uint64_t bytes = rig.bytes_to_read("k0");
  CHECK(bytes > TaggedRig::most_tags);
  CHECK(bytes <= most_bytes_of_hold);
  SECTION("and what was written after all of them is not compared at all") {
    rig.put_all(2, 1);
    CHECK(rig.bytes_to_read("k2") <= 2);  // its name
  }
}

TEST_CASE("prefixes that begin alike are compared once") {
  TaggedRig rig;
  const std::string begin(1500, 'a');
  rig.put(begin + "key", "v", {});
  for (int i = 0; i < 64; ++i) REQUIRE(rig.purge(begin + "x" + std::to_string(i), true));
  CHECK(rig.bytes_to_read(begin + "key") < 8192);
  CHECK(rig.bytes_to_read(begin + "key") >= begin.size());
  rig.put(begin + "x7key", "v", {});
  REQUIRE(rig.purge(begin + "x7", true));
  rig.bytes_to_read(begin + "x7key");
  CHECK(rig.keyspace.entries(0, *std::make_unique<Keyspace::Locks>(rig.keyspace)) == 1);
}
