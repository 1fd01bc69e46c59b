// A value that is to grow, or is shared, gets a block that was made with nothing locked, unless it has changed meanwhile.

#include "pinfold/store/growth.hpp"

#include <cstring>
#include <string>

#include <catch2/catch.hpp>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/store/database.hpp"
#include "pinfold/store/keyspace.hpp"

using namespace pinfold;
using store::Access;
using store::Database;
using store::Growth;
using store::Keyspace;
using store::Resized;
using store::Stored;

namespace {

constexpr std::size_t mb = 1024 * 1024;

struct Store {
  Keyspace keyspace{{.shards = 1}};
  Keyspace::Locks locks{keyspace};
  const store::Key key = keyspace.key("k");
  const store::Key other = keyspace.key("other");

  Store() {
    locks.acquire(key);
    Database database = db();
    REQUIRE(database.put(other, "what maps the log"));  // elsewhere make_room() has seen to it
  }
  Database db() { return {keyspace, 0, unix_ms()}; }
  void put(const std::string& value) {
    Database database = db();
    REQUIRE(database.put(key, value));
  }
  void share() {
    Database database = db();
    REQUIRE(database.put(other, *database.find(key, Access::none()), {}));
  }
  std::string_view value(const store::Key& of) { return db().find(of, Access::none())->text; }
  pinfold::store::Writing resize(std::size_t size, Growth& growth) {
    const work::Counting counting;
    pinfold::store::Writing writing = db().resize(key, size, true, &growth);
    CHECK(counting.counts().system_calls == 0);
    CHECK(counting.counts().bytes <= Growth::most_locked);
    return writing;
  }
  // What the caller does with nothing locked.
  void prepare(Growth& growth) {
    const std::string_view source = growth.source ? growth.source.view() : std::string_view();
    growth.block = Blob::allocate(keyspace.memory().heap(), source.size(), growth.capacity);
    REQUIRE(growth.block);
    if (!source.empty()) std::memcpy(growth.block.data(), source.data(), source.size());
    if (growth.block.size() < growth.size) REQUIRE(growth.block.resize(growth.size));
  }
  void check() { CHECK(keyspace.audit().consistent); }
};

bool is(std::string_view value, const std::string& expected) { return value == expected; }

}  // namespace

TEST_CASE("a shared value is changed in a block that was copied before, and who shares it keeps theirs") {
  Store store;
  const std::string value(3 * mb, 'v');
  store.put(value);
  store.share();
  Growth growth;
  CHECK((store.resize(value.size(), growth).stored() == Stored::must_prepare));
  CHECK(is(store.value(store.key), value));
  store.prepare(growth);
  {
    const pinfold::store::Writing writing = store.resize(value.size() + 10, growth);
    REQUIRE(writing);
    writing.data()[0] = 'x';
  }
  CHECK(is(store.value(store.key), 'x' + value.substr(1) + std::string(10, '\0')));
  CHECK(is(store.value(store.other), value));
  growth = {};
  store.locks.release();
  store.check();
}

TEST_CASE("what was prepared is not used for a value that has changed meanwhile") {
  const std::size_t size = GENERATE(3 * mb, std::size_t{600'000});
  Store store;
  store.put(std::string(size, 'v'));
  store.share();
  Growth growth;
  CHECK((store.resize(size + 1, growth).stored() == Stored::must_prepare));
  store.prepare(growth);
  SECTION("to another that is shared: that is wanted then") {
    store.put(std::string(size, 'w'));
    store.share();
    CHECK((store.resize(size + 1, growth).stored() == Stored::must_prepare));
    store.prepare(growth);
    REQUIRE(store.resize(size + 1, growth));
    CHECK(is(store.value(store.key), std::string(size, 'w') + '\0'));
  }
  SECTION("to one that can be changed where it is") {
    store.put(std::string(size, 'w'));
    REQUIRE(store.resize(size, growth));
    CHECK(is(store.value(store.key), std::string(size, 'w')));
  }
  SECTION("to a small one") {
    store.put("small");
    REQUIRE(store.resize(10, growth));
    CHECK(is(store.value(store.key), std::string("small\0\0\0\0\0", 10)));
  }
  SECTION("to none") {
    Database db = store.db();
    db.remove(store.key);
    REQUIRE(store.resize(10, growth));
    CHECK(is(store.value(store.key), std::string(10, '\0')));
  }
  growth = {};
  store.locks.release();
  store.check();
}

TEST_CASE("a small or missing value gets the block that it grows into before, with the bytes that it has then") {
  for (const bool exists : {false, true}) {
    for (const std::size_t size : {900'000UL, 5 * mb}) {
      Store store;
      if (exists) store.put("before");
      Growth growth;
      CHECK((store.resize(size, growth).stored() == Stored::must_prepare));
      store.prepare(growth);
      if (exists) store.put("behind, and longer");
      REQUIRE(store.resize(size, growth));
      const std::string head = exists ? "behind, and longer" : "";
      CHECK(is(store.value(store.key), head + std::string(size - head.size(), '\0')));
      growth = {};
      store.locks.release();
      store.check();
    }
  }
}

TEST_CASE("who cannot wait copies a megabyte at most") {
  Store store;
  Growth growth;
  growth.may_wait = false;
  store.put(std::string(900'000, 'v'));
  store.share();
  CHECK(store.db().resize(store.key, 900'001, true, &growth));
  store.put(std::string(2 * mb, 'v'));
  store.share();
  CHECK((store.db().resize(store.key, 2 * mb, true, &growth).stored() == Stored::takes_too_long));
}
