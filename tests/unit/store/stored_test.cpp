// What functions that store return: why a write was refused, and that nothing has changed then.

#include "pinfold/store/stored.hpp"

#include <optional>
#include <string>

#include <catch2/catch.hpp>

#include "pinfold/store/database.hpp"
#include "pinfold/store/growth.hpp"
#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/write_rules.hpp"
#ifdef PINFOLD_FAULTS
#include "faults.hpp"
#endif

using namespace pinfold;
using namespace pinfold::store;

namespace {

constexpr std::uint64_t MB = 1 << 20;

// Values of so many bytes at most.
struct Shortest : WriteRules {
  bool on_write(const Key&, std::size_t bytes, UnixMs, UnixMs&, Extra&) const override { return bytes <= longest; }
  Deadline on_expiry(const Key&, UnixMs, UnixMs at) const override { return {at}; }

  std::size_t longest = 10;
};

// A keyspace with one key, locked.
struct Locked {
  explicit Locked(std::uint64_t limit = 0) : keyspace({.shards = 1, .max_memory = limit, .policy = eviction::Kind::noeviction}) {
    locks.acquire(key);
    REQUIRE(db().put(key, "before"));
  }
  Database db(const WriteLimits& limits = {}) { return {keyspace, 0, 1, true, limits}; }
  std::optional<std::string> value(const Key& of) {
    const auto found = db().find(of, Access::none());
    return found ? std::optional<std::string>(found->text) : std::nullopt;
  }

  Keyspace keyspace;
  Keyspace::Locks locks{keyspace};
  const Key key = keyspace.key("key");
  const Key other = keyspace.key("other");
};

}  // namespace

TEST_CASE("stored: a value that must grow by more than there is room for is refused with the bytes that it needs") {
  Locked store(16 * MB);
  Database db = store.db({.bounded = true});
  const Stored created = db.resize(store.other, 20 * MB).stored();
  CHECK_FALSE(created);
  CHECK(created.needs_room());
  CHECK(created.bytes() >= 20 * MB);
  CHECK_FALSE(store.value(store.other));
  const Stored grown = db.resize(store.key, 20 * MB).stored();
  CHECK(grown.needs_room());
  CHECK(grown.bytes() >= 20 * MB);
  CHECK(store.value(store.key) == "before");
  const Stored room = db.has_room(20 * MB);
  CHECK((room == Stored::needs_room(20 * MB)));
}

TEST_CASE("stored: a copy of a value is refused with the bytes that it needs, and who may exceed the limit so far is not") {
  Locked store(16 * MB);
  const std::string text(10'000, 'v');
  REQUIRE(store.db().put(store.key, text));
  store.keyspace.set_max_memory(1);
  Database db = store.db({.bounded = true});
  const auto value = db.find(store.key, Access::none());
  const Stored refused = db.put(store.other, *value, {});
  CHECK(refused.needs_room());
  CHECK(refused.bytes() >= text.size());
  CHECK_FALSE(store.value(store.other));
  Database exceeding = store.db({.bounded = true, .beyond = 16 * MB});
  CHECK(exceeding.put(store.other, *exceeding.find(store.key, Access::none()), {}));
  CHECK(store.value(store.other) == text);
}

TEST_CASE("stored: a value larger than the rules allow is refused by every way to write it, and without rules by none") {
  Locked store;
  const Shortest rules;
  const std::string long_text(11, 'v');
  Database db = store.db({.rules = &rules});
  CHECK(db.put(store.key, "ten bytes."));
  CHECK((db.put(store.key, long_text) == Stored::too_large));
  CHECK((db.put(store.key, Blob::copy_of(store.keyspace.memory().heap(), std::string(20'000, 'b'))) == Stored::too_large));
  CHECK((db.resize(store.key, 11).stored() == Stored::too_large));
  CHECK((db.resize(store.other, 11).stored() == Stored::too_large));
  CHECK(store.value(store.key) == "ten bytes.");
  CHECK_FALSE(store.value(store.other));
  CHECK(db.without_rules().put(store.key, long_text));
  CHECK(store.value(store.key) == long_text);
}

TEST_CASE("stored: a value that takes long to make is to be prepared, and who cannot wait is told so") {
  Locked store;
  Growth growth;
  CHECK((store.db().resize(store.key, 5 * MB, true, &growth).stored() == Stored::must_prepare));
  CHECK(growth.size == 5 * MB);
  CHECK(growth.capacity >= growth.size);
  CHECK(store.value(store.key) == "before");
  REQUIRE(store.db().put(store.key, std::string(2 * MB, 'v')));
  REQUIRE(store.db().put(store.other, *store.db().find(store.key, Access::none()), {}));  // which shares the block
  Growth impatient;
  impatient.may_wait = false;
  CHECK((store.db().resize(store.key, 2 * MB, true, &impatient).stored() == Stored::takes_too_long));
  CHECK_FALSE(impatient.source);
}

#ifdef PINFOLD_FAULTS
TEST_CASE("stored: a value for which the system gives no memory is refused, and no room would help") {
  Locked store;
  faults::Schedule schedule{};
  schedule.chance = UINT32_MAX;
  schedule.kinds = faults::mapping;
  faults::follow(&schedule);
  const Stored created = store.db({.bounded = true}).resize(store.other, 5 * MB).stored();
  const Stored grown = store.db({.bounded = true}).resize(store.key, 5 * MB).stored();
  faults::follow(nullptr);
  CHECK(schedule.failed >= 2);
  CHECK((created == Stored::no_memory));
  CHECK((grown == Stored::no_memory));
  CHECK(store.value(store.key) == "before");
  CHECK_FALSE(store.value(store.other));
}
#endif

TEST_CASE("stored: the deadline of a key that is not there is not set") {
  Locked store;
  CHECK((store.db().set_expiry(store.other, 1000) == Stored::no_memory));
  CHECK(store.db().set_expiry(store.key, 1000));
  CHECK_FALSE(store.value(store.other));
}
