// What the store reports of its work is what it does: a test of the budget is worth what these counts are.

#include "pinfold/base/work.hpp"

#include <memory>
#include <string>

#include <catch2/catch.hpp>

#include "pinfold/base/clock.hpp"
#include "pinfold/store/database.hpp"
#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/purges.hpp"
#include "pinfold/store/walk.hpp"

using namespace pinfold;
using store::Access;
using store::Database;
using store::Keyspace;

namespace {

struct Store {
  Keyspace keyspace{{.shards = 1}};
  Keyspace::Locks locks{keyspace};
  const UnixMs now = unix_ms();

  Database db() { return {keyspace, 0, now}; }
  void put(const std::string& key, const std::string& value) {
    const auto hashed = keyspace.key(key);
    locks.acquire(hashed);
    Database database = db();
    REQUIRE(database.put(hashed, value));
    locks.release();
  }
  void put_many(unsigned count) {
    for (unsigned i = 0; i < count; ++i) put("key:" + std::to_string(i), "value");
  }
};

}  // namespace

TEST_CASE("a look-up is one entry, and the bytes of its name") {
  Store store;
  store.put("some key", "value");
  const auto key = store.keyspace.key("some key");
  store.locks.acquire(key);
  const work::Counting counting;
  CHECK(store.db().find(key, Access::none()));
  CHECK(counting.counts() == work::Counts{.entries = 1, .bytes = key.text.size()});
}

TEST_CASE("a value that is written counts with its bytes") {
  Store store;
  store.put("what makes the table", "value");
  for (const std::size_t size : {100, 15'000, 100'000}) {
    const work::Counting counting;
    store.put("key", std::string(size, 'v'));
    CHECK(counting.counts().bytes >= size);
    CHECK(counting.counts().bytes < size + 2000);
  }
}

TEST_CASE("a large value that is mapped takes system calls, and its pages are given back with nothing locked") {
  Store store;
  store.put("what maps the regions", std::string(20'000, 'v'));
  {
    const work::Counting counting;
    store.put("large", std::string(2 << 20, 'v'));
    CHECK(counting.counts().system_calls > 0);
    CHECK(counting.counts().allocations > 0);
  }
  const work::Counting counting;
  store.put("large", "small");
  CHECK(counting.counts().system_calls == 0);
}

TEST_CASE("a scan counts every entry that it visits") {
  Store store;
  constexpr unsigned many = 5000;
  store.put_many(many);
  const work::Counting counting;
  std::uint64_t seen = 0;
  std::uint64_t cursor = 0;
  store::Names names;
  do {
    std::uint64_t left = many;
    cursor = store.keyspace.scan(0, cursor, left, store.now, store.locks, names);
    seen += names.size();
  } while (cursor != 0);
  CHECK(seen == many);
  CHECK(counting.counts().entries >= many);
}

TEST_CASE("the index that grows counts the entries that it moves") {
  Store store;
  const work::Counting counting;
  constexpr unsigned many = 5000;
  store.put_many(many);
  CHECK(counting.counts().entries > 2 * many);
}

TEST_CASE("nobody looks at watched keys when databases are emptied, exchanged or purged") {
  Store store;
  constexpr unsigned many = 3000;
  store.put_many(many);
  store.locks.acquire_all();
  for (unsigned i = 0; i < many; ++i) {
    for (unsigned watches = 0; watches < 3; ++watches) store.keyspace.watch(0, store.keyspace.key("key:" + std::to_string(i)), store.now);
  }
  const work::Counting counting;
  const auto all = std::make_shared<store::Purge>();
  all->by_prefix = true;
  all->names = {""};
  all->at = store.now;
  REQUIRE(store.keyspace.purge(0, all, store.locks));
  store.keyspace.swap(0, 1, store.now, store.locks);
  store.keyspace.flush(0, store.locks);
  store.keyspace.flush(1, store.locks);
  CHECK(counting.counts().nodes < 100);
  CHECK(counting.counts().entries < 100);
  store.locks.release();
}

TEST_CASE("expiry counts the entries of the segments that it reads") {
  Store store;
  constexpr unsigned many = 1000;
  for (unsigned i = 0; i < many; ++i) {
    const std::string name = "key:" + std::to_string(i);
    const auto key = store.keyspace.key(name);
    store.locks.acquire(key);
    Database database = store.db();
    REQUIRE(database.put(key, "value", {.expires_at = store.now + 1}));
    store.locks.release();
  }
  const work::Counting counting;
  while (store.keyspace.background_step(store.now + 10'000, 1'000'000)) {
  }
  CHECK(store.keyspace.stats().expired == many);
  CHECK(counting.counts().entries >= many);
}
