// When a purge is told to be over: by the background, which has to be woken for it.

#include "pinfold/store/purges.hpp"

#include <memory>
#include <string>
#include <utility>

#include <catch2/catch.hpp>

#include "pinfold/base/sleeper.hpp"
#include "pinfold/cache/cache.hpp"
#include "pinfold/store/keyspace.hpp"

using namespace pinfold;

namespace {

constexpr std::uint64_t MB = 1 << 20;

// Works off all that there is as soon as it is woken, and never otherwise.
class Eager final : public Sleeper {
 public:
  Eager(store::Keyspace& keyspace, cache::Cache& cache) : keyspace_(keyspace), cache_(cache) { keyspace.set_background(this); }
  int wakes = 0;
  bool asleep = false;  // is woken, and does not work
  std::shared_ptr<store::Purge> purge;
  int wakes_when_swept = 0;  // after the last table of `purge` was swept or freed

 private:
  void wake_now() override {
    ++wakes;
    if (purge != nullptr && purge->unswept == 0) ++wakes_when_swept;
    again_ = true;
    if (asleep || std::exchange(working_, true)) return;
    while (std::exchange(again_, false)) {
      while (keyspace_.background_step(unix_ms(), 100'000)) {
      }
      cache_.tell_finished();
    }
    working_ = false;
  }

  store::Keyspace& keyspace_;
  cache::Cache& cache_;
  bool working_ = false;
  bool again_ = false;
};

struct Rig {
  explicit Rig(unsigned shards, std::uint64_t limit = 0) : keyspace({.shards = shards, .max_memory = limit}) {}
  void put(const std::string& name, std::size_t size) {
    const store::Key key = keyspace.key(name);
    store::Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    REQUIRE(store::Database(keyspace, 0, unix_ms()).put(key, std::string(size, 'v')));
  }
  std::shared_ptr<store::Purge> purge(bool wipe) {
    store::Keyspace::Locks none(keyspace);
    return cache.purge(
        0, true, {"p:"}, false, wipe, [this](const store::Purge&) { ++told; }, none);
  }

  store::Keyspace keyspace;
  cache::Cache cache{keyspace};
  Eager background{keyspace, cache};
  int told = 0;
};

}  // namespace

TEST_CASE("purges: the background is woken for the end of a purge whose tables it has swept before all of them were told") {
  Rig rig(2);
  bool wipe = false;
  SECTION("of entries") { rig.put("p:1", 100); }
  SECTION("of entries, whose bytes are overwritten") {
    rig.put("p:1", 100);
    wipe = true;
  }
  SECTION("of nothing") {}
  SECTION("of nothing, and what is free is overwritten") { wipe = true; }
  REQUIRE(rig.purge(wipe) != nullptr);
  CHECK(rig.told == 1);
  CHECK(rig.cache.purges_pending() == 0);
  CHECK(rig.background.wakes >= (wipe ? 3 : 2));  // to sweep, to tell, and to erase
}

TEST_CASE("purges: the background is woken for the end of a purge whose tables a request has freed") {
  Rig rig(1, 16 * MB);
  for (int i = 0; i < 100; ++i) rig.put("p:" + std::to_string(i), 140'000);
  rig.background.asleep = true;
  const auto purge = rig.purge(false);
  REQUIRE(purge != nullptr);
  store::Keyspace::Locks none(rig.keyspace);
  rig.keyspace.flush(0, none);
  CHECK(purge->unswept == 1);
  rig.background.purge = purge;
  REQUIRE(rig.keyspace.make_room(10 * MB));
  REQUIRE(purge->unswept == 0);
  CHECK(rig.background.wakes_when_swept == 1);
  CHECK(rig.told == 0);
  rig.background.asleep = false;
  rig.background.wake();
  CHECK(rig.told == 1);
}
