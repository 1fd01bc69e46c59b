// Who owns the blocks of large keys and values: each entry holds one reference to each of its blocks, however it came to it.

#include <initializer_list>
#include <string>

#include <catch2/catch.hpp>

#include "pinfold/store/keyspace.hpp"

using namespace pinfold;
using namespace pinfold::store;

namespace {

class Blocks {
 public:
  Database database(UnixMs now = 1) { return Database(keyspace_, 0, now); }
  Key key(const std::string& name) const { return keyspace_.key(name); }
  template <class Action>
  void with_all_locked(Action&& action) {
    Keyspace::Locks locks(keyspace_);
    locks.acquire_all();
    action();
  }
  void put(const std::string& name, std::size_t size) {
    with_all_locked([&] { REQUIRE(database().put(key(name), std::string(size, 'v'), {})); });
  }
  // As COPY ... REPLACE; RENAME removes the old name then.
  void copy(const std::string& from, const std::string& to, bool keep_expiry = false) {
    with_all_locked([&] {
      Database db = database();
      const auto value = db.find(key(from), Access::none());
      REQUIRE(value);
      REQUIRE(db.put(key(to), *value, {.keep_expiry = keep_expiry}));
    });
  }
  void rename(const std::string& from, const std::string& to) {
    copy(from, to);
    remove(from);
  }
  void remove(const std::string& name) {
    with_all_locked([&] { REQUIRE(database().remove(key(name))); });
  }
  void expect_no_surplus() {
    const KeyspaceAudit audit = keyspace_.audit();
    CHECK(audit.consistent);
    CHECK(audit.readers == 0);
    CHECK(audit.blobs == keyspace_.memory().used(Use::blobs));
  }
  Keyspace& keyspace() { return keyspace_; }

 private:
  Keyspace keyspace_{{.shards = 4}};
};

constexpr std::size_t large = 100'000;

}  // namespace

TEST_CASE("a block that replaces itself is held once by each entry") {
  Blocks blocks;
  const std::string long_name(5000, 'n');  // its bytes are a block, too
  for (const std::string& to : {std::string("b"), long_name}) {
    blocks.put("a", large);
    blocks.copy("a", to);
    blocks.copy("a", to);
    blocks.copy("a", to, true);
    blocks.expect_no_surplus();
    blocks.rename("a", to);
    blocks.expect_no_surplus();
    blocks.remove(to);
    CHECK(blocks.keyspace().memory().used(Use::blobs) == 0);
  }
}

TEST_CASE("whatever rewrites an entry leaves one reference to each of its blocks") {
  Blocks blocks;
  const std::string long_name(5000, 'n');
  for (const std::string& name : {std::string("a"), long_name}) {
    blocks.put(name, large);
    blocks.copy(name, "copy");
    blocks.with_all_locked([&] {
      Database db = blocks.database();
      const Key key = blocks.key(name);
      REQUIRE(db.set_expiry(key, 1'000));
      REQUIRE(db.set_expiry(key, 0));
      REQUIRE(db.make_stale(key, 500));
      REQUIRE(db.put(key, *db.find(blocks.key("copy"), Access::none()), {}));
      REQUIRE(db.resize(key, large + 10));
      REQUIRE(db.resize(key, 10));
      REQUIRE(db.put(key, std::string(20, 'v'), {}));
      REQUIRE(db.resize(key, 30));
      REQUIRE(db.resize(key, 20'000));
    });
    blocks.expect_no_surplus();
    blocks.remove(name);
    blocks.remove("copy");
    CHECK(blocks.keyspace().memory().used(Use::blobs) == 0);
  }
}

TEST_CASE("a block that a reader holds is no longer called stored once its database was flushed") {
  Blocks blocks;
  blocks.put("a", large);
  Blob reader;
  blocks.with_all_locked([&] { reader = blocks.database().find(blocks.key("a"), Access::none())->share(); });
  CHECK(reader.stored());
  CHECK(blocks.keyspace().audit().readers == 1);
  Keyspace::Locks none(blocks.keyspace());
  blocks.keyspace().flush(0, none);
  while (blocks.keyspace().background_step(1, 100'000)) {
  }
  CHECK_FALSE(reader.stored());
  CHECK(reader.unique());
}
