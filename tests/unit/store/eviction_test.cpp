#include <string>

#include <catch2/catch.hpp>

#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/shard.hpp"

using namespace pinfold;
using namespace pinfold::store;
using eviction::Kind;

namespace {

constexpr std::uint64_t limit = 4 << 20;
const std::string value(100, 'v');

// A keyspace at its limit and the commands that a client would send.
struct Cache {
  explicit Cache(Kind kind) : keyspace({.shards = 2, .max_memory = limit, .policy = kind}) {}

  template <class Action>
  auto with(const std::string& name, Action&& action) {
    const Key key = keyspace.key(name);
    Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    Database db(keyspace, 0, now);
    return action(db, key);
  }
  /// False: no room.
  bool set(const std::string& name, UnixMs expires_at = 0, std::string_view text = value) {
    if (!keyspace.make_room(text.size() + name.size())) return false;
    const bool done{with(name, [&](Database& db, const Key& key) { return db.put(key, text, {.expires_at = expires_at}); })};
    CHECK(keyspace.memory().used() <= limit);
    return done;
  }
  bool get(const std::string& name) {
    return with(name, [](Database& db, const Key& key) { return db.read(key).has_value(); });
  }
  int present(const std::string& prefix, int count) {
    int found = 0;
    for (int i = 0; i < count; ++i) {
      const std::string name = prefix + std::to_string(i);
      found += with(name, [](Database& db, const Key& key) { return db.find(key, Access::none()).has_value(); });
    }
    return found;
  }
  Keyspace keyspace;
  UnixMs now = unix_ms();
};

}  // namespace

TEST_CASE("under a volatile policy only keys with a deadline go, and writes are refused when there are none", "[one-thread]") {
  for (const Kind kind : {Kind::volatile_lfu, Kind::volatile_lru, Kind::volatile_random, Kind::volatile_ttl}) {
    CAPTURE(eviction::name_of(kind));
    Cache cache(kind);
    for (int i = 0; i < 5000; ++i) REQUIRE(cache.set("keep:" + std::to_string(i)));
    for (int i = 0; i < 100000; ++i) REQUIRE(cache.set("go:" + std::to_string(i), cache.now + 1000000 + i));
    CHECK(cache.present("keep:", 5000) == 5000);
    CHECK(cache.keyspace.stats().evicted > 50000);
    bool refused = false;
    int kept = 5000;
    while (!refused && kept < 100000) {
      refused = !cache.set("keep:" + std::to_string(kept));
      if (!refused) ++kept;
    }
    CHECK(refused);
    CHECK(cache.present("keep:", kept) == kept);
    CHECK(cache.present("go:", 100000) < 1000);
  }
}

TEST_CASE("while negative entries have more than their share they alone go, also from the smaller of two databases") {
  Cache cache(Kind::allkeys_lfu);
  constexpr unsigned other = 1;
  for (int i = 0; i < 20000; ++i) {
    const std::string name = "none:" + std::to_string(i);
    const Key key = cache.keyspace.key(name);
    Keyspace::Locks locks(cache.keyspace);
    locks.acquire(key);
    REQUIRE(Database(cache.keyspace, other, cache.now).put(key, "", {.expires_at = cache.now + 1000000, .absent = true}));
  }
  cache.keyspace.set_negative_quota(limit / 20);
  int kept = 0;
  const auto too_many = [&] { return cache.keyspace.memory().used_by_negatives() > limit / 20; };
  constexpr int most = limit / 100;  // more than there is room for
  while (too_many() && kept < most) REQUIRE(cache.set("keep:" + std::to_string(kept++)));
  CHECK_FALSE(too_many());
  CHECK(kept > 1000);
  CHECK(cache.present("keep:", kept) == kept);
}

TEST_CASE("an entry is volatile from the moment that it gets a deadline, and no longer when it loses it") {
  Cache cache(Kind::volatile_lru);
  for (int i = 0; i < 2000; ++i) {
    REQUIRE(cache.set("gets:" + std::to_string(i)));
    REQUIRE(cache.set("loses:" + std::to_string(i), cache.now + 1000000));
  }
  for (int i = 0; i < 2000; ++i) {
    const auto expire = [](UnixMs at) { return [at](Database& db, const Key& key) { return db.set_expiry(key, at); }; };
    REQUIRE(cache.with("gets:" + std::to_string(i), expire(cache.now + 1000000)));
    REQUIRE(cache.with("loses:" + std::to_string(i), expire(0)));
  }
  for (int i = 0; i < 100000; ++i) REQUIRE(cache.set("new:" + std::to_string(i), cache.now + 1000000));
  CHECK(cache.present("loses:", 2000) == 2000);
  CHECK(cache.present("gets:", 2000) == 0);
}

TEST_CASE("volatile-ttl evicts what expires soon, however few entries lie behind those that are read at once") {
  // Segments of 520 and of 258 entries of these sizes are read 256 entries at a time: the last ones are often all late.
  for (const std::size_t size : {100, 229}) {
    CAPTURE(size);
    Cache cache(Kind::volatile_ttl);
    const std::string text(size, 'v');
    const int each = static_cast<int>(12'000 * 126 / (size + 26));
    for (int i = 0; i < each; ++i) {
      REQUIRE(cache.set("late:" + std::to_string(i), cache.now + 100000000, text));
      REQUIRE(cache.set("soon:" + std::to_string(i), cache.now + 100000, text));
    }
    for (int i = 0; i < each * 5 / 4; ++i) REQUIRE(cache.set("later:" + std::to_string(i), cache.now + 200000000, text));
    CHECK(cache.present("soon:", each) < each);
    CHECK(cache.present("late:", each) == each);
  }
}

TEST_CASE("allkeys-lru keeps what is used, however long ago it was written") {
  Cache cache(Kind::allkeys_lru);
  for (int i = 0; i < 500; ++i) REQUIRE(cache.set("used:" + std::to_string(i)));
  for (int i = 0; i < 100000; ++i) {
    REQUIRE(cache.set("new:" + std::to_string(i)));
    if (i % 10 == 0) cache.get("used:" + std::to_string(i / 10 % 500));
  }
  CHECK(cache.present("used:", 500) == 500);
  CHECK(cache.present("new:", 50000) == 0);
}

TEST_CASE("allkeys-random evicts anything") {
  Cache cache(Kind::allkeys_random);
  for (int i = 0; i < 60000; ++i) REQUIRE(cache.set("k:" + std::to_string(i)));
  const int first = cache.present("k:", 20000);
  CHECK(first > 0);
  CHECK(first < 20000);
}

TEST_CASE("the policy can be changed while the cache is full, in any order", "[one-thread]") {
  Cache cache(Kind::allkeys_lfu);
  int written = 0;
  const auto write = [&](int count) {
    int done = 0;
    for (int i = 0; i < count; ++i, ++written)
      done += cache.set("k:" + std::to_string(written), written % 2 == 0 ? 0 : cache.now + 1000000);
    return done;
  };
  CHECK(write(50000) == 50000);
  for (const Kind kind : {Kind::volatile_lru, Kind::allkeys_lru, Kind::volatile_ttl, Kind::allkeys_random, Kind::volatile_random,
                          Kind::allkeys_lfu, Kind::volatile_lfu, Kind::noeviction, Kind::allkeys_lfu}) {
    CAPTURE(eviction::name_of(kind));
    cache.keyspace.set_policy(kind);
    const std::uint64_t before = cache.keyspace.stats().evicted;
    const int done = write(20000);
    if (kind == Kind::noeviction) CHECK(cache.keyspace.stats().evicted == before);
    if (!eviction::is_volatile(kind) && kind != Kind::noeviction) CHECK(done == 20000);
  }
}

TEST_CASE("the time of the last access is kept under policies that show it, and read with the value") {
  Cache cache(Kind::allkeys_lru);
  REQUIRE(cache.set("k"));
  const auto accessed = [&] {
    return cache.with("k", [](Database& db, const Key& key) { return db.find(key, Access::none())->accessed; });
  };
  const std::uint32_t written = accessed();
  CHECK(written >= static_cast<std::uint32_t>(cache.now / 1000));
  cache.now += 100000;
  CHECK(accessed() == written);
  CHECK(cache.get("k"));
  CHECK(accessed() == static_cast<std::uint32_t>(cache.now / 1000));
  REQUIRE(cache.with("k", [&](Database& db, const Key& key) { return db.set_expiry(key, cache.now + 1000000); }));
  CHECK(accessed() == static_cast<std::uint32_t>(cache.now / 1000));
  cache.keyspace.set_policy(Kind::allkeys_lfu);
  REQUIRE(cache.set("k"));
  CHECK(accessed() == 0);
}

TEST_CASE("a limit lowered under load comes down in steps, and is reached") {
  Cache cache(Kind::allkeys_lfu);
  cache.keyspace.set_max_memory(0);
  for (int i = 0; i < 100000; ++i) {
    REQUIRE(cache.with("k:" + std::to_string(i), [](Database& db, const Key& key) { return db.put(key, value); }));
  }
  const std::uint64_t before = cache.keyspace.memory().used();
  REQUIRE(before > 2 * limit);
  cache.keyspace.set_max_memory(limit);
  // A request makes room for itself, not for all that is too much.
  const std::uint64_t evicted = cache.keyspace.stats().evicted;
  REQUIRE(cache.keyspace.make_room(200));
  CHECK(cache.keyspace.stats().evicted - evicted < 100000 / 8);  // the ghosts need room too
  CHECK(cache.keyspace.memory().used() > limit);
  while (cache.keyspace.background_step(cache.now, 1000)) {
    CHECK(cache.keyspace.memory().used() <= before + segment_size);
  }
  CHECK(cache.keyspace.memory().used() <= limit);
  CHECK(cache.set("one more"));
}
