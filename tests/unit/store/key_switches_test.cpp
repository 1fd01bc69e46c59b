// What switches make of each function of Database, and what observers are told of it.

#include "pinfold/store/key_switches.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "pinfold/store/changes.hpp"
#include "pinfold/store/database.hpp"
#include "pinfold/store/keyspace.hpp"

using namespace pinfold;
using namespace pinfold::store;

namespace {

// For all keys, and counted.
struct Fixed final : KeySwitches {
  bool bypass = false;
  bool admit = true;
  mutable std::map<Event, int> counts;

  bool bypasses(const Key&) const override { return bypass; }
  bool admits(const Key&) const override { return admit; }
  void count(const Key&, Event event) const override { ++counts[event]; }
};

// What observers were told of one change.
struct Told {
  Cause cause;
  std::string unstored;
  bool removed;
};

struct Watching final : Observer {
  explicit Watching(Changes& changes) : subscription(changes, *this, Causes::all()) { subscription.listen(true); }
  void changed(const Change& change) noexcept override {
    told.push_back({change.cause, change.unstored != nullptr ? std::string(change.unstored->text) : "none", change.before != nullptr});
  }

  Changes::Subscription subscription;
  std::vector<Told> told;
};

struct Switched {
  Switched() { locks.acquire_all(); }
  ~Switched() { keyspace.set_key_switches(nullptr); }
  void set(bool bypass, bool admit) {
    switches.bypass = bypass;
    switches.admit = admit;
    keyspace.set_key_switches(&switches);
  }
  std::optional<std::string> stored() {
    keyspace.set_key_switches(nullptr);
    const auto value = db.find(key, Access::none());
    keyspace.set_key_switches(&switches);
    return value ? std::optional<std::string>(value->text) : std::nullopt;
  }

  Keyspace keyspace{{.shards = 1}};
  Watching watching{keyspace.changes(0)};
  Keyspace::Locks locks{keyspace};
  const Key key = keyspace.key("key");
  Database db{keyspace, 0, 1000};
  Fixed switches;
};

using Event = KeySwitches::Event;

}  // namespace

TEST_CASE("key switches: a key that is bypassed is not found, whatever looks for it") {
  Switched store;
  REQUIRE(store.db.put(store.key, "old"));
  store.set(true, true);
  CHECK_FALSE(store.db.find(store.key, Access::read()));
  CHECK_FALSE(store.db.find(store.key, Access::none()));
  CHECK_FALSE(store.db.find_any(store.key, Access::look()));
  CHECK_FALSE(store.db.has(store.key));
  CHECK_FALSE(store.keyspace.memory_usage(0, store.key, 1000));
  CHECK(store.db.set_expiry(store.key, 5000) == Stored::no_memory);
  CHECK(store.switches.counts[Event::read_bypassed] == 2);
  CHECK(store.keyspace.stats(store.locks).misses == 2);
  CHECK(store.stored() == "old");
}

TEST_CASE("key switches: each write of a key that is bypassed removes what is stored, and observers are told") {
  const std::vector<std::function<void(Switched&)>> writes = {
      [](Switched& store) { CHECK(store.db.put(store.key, "new")); },
      [](Switched& store) { CHECK(store.db.put(store.key, "new", {.keep_expiry = true})); },
      [](Switched& store) { CHECK(store.db.put(store.key, std::string_view(), {.expires_at = 2000, .absent = true})); },
      [](Switched& store) { CHECK(store.db.put(store.key, Blob::zeroed(store.keyspace.memory().heap(), 100'000))); },
      [](Switched& store) { CHECK(store.db.put(store.key, Value{.text = "copy"}, {})); },
      [](Switched& store) {
        const Writing writing = store.db.resize(store.key, 5);
        REQUIRE(writing);
        std::copy_n("bytes", 5, writing.data());
      },
      [](Switched& store) { CHECK(store.db.resize(store.key, 50'000, false)); },
      [](Switched& store) { CHECK_FALSE(store.db.remove(store.key)); },
      [](Switched& store) { CHECK_FALSE(store.db.make_stale(store.key, 1000)); },
      [](Switched& store) { store.db.write_expired(store.key); },
  };
  for (const auto& write : writes) {
    for (const bool there : {true, false}) {
      Switched store;
      if (there) REQUIRE(store.db.put(store.key, "old", {.expires_at = 9000}));
      store.set(true, true);
      store.watching.told.clear();
      write(store);
      CHECK_FALSE(store.stored());
      REQUIRE(store.watching.told.size() == 1);
      CHECK(store.watching.told[0].unstored == "none");
      if (there) CHECK(store.watching.told[0].cause == Cause::deleted);
      store.locks.release();
      CHECK(store.keyspace.audit().consistent);
    }
  }
}

TEST_CASE("key switches: a write of a key that is neither stored nor admitted stores nothing, and observers get the value") {
  Switched store;
  store.set(false, false);
  CHECK(store.db.put(store.key, "new"));
  REQUIRE(store.watching.told.size() == 1);
  CHECK(store.watching.told[0].cause == Cause::written);
  CHECK(store.watching.told[0].unstored == "new");
  CHECK_FALSE(store.stored());
  { CHECK(store.db.resize(store.key, 5)); }
  REQUIRE(store.watching.told.size() == 2);
  CHECK(store.watching.told[1].cause == Cause::written);
  CHECK(store.watching.told[1].removed);
  CHECK_FALSE(store.stored());
  CHECK(store.switches.counts[Event::write_not_admitted] == 2);
  CHECK(store.keyspace.size(0, store.locks) == 0);
}

TEST_CASE("key switches: a key with an entry of any kind is written to although it is not admitted") {
  for (const bool absent : {false, true}) {
    Switched store;
    // Either is no value to plain commands: one is negative, the other stale.
    Extra extra;
    extra.stale_ms = 10'000;
    REQUIRE(store.db.put(store.key, std::string_view(), {.expires_at = absent ? 2000 : 500, .absent = absent, .extra = &extra}));
    REQUIRE_FALSE(store.db.has(store.key));
    store.set(false, false);
    CHECK(store.db.put(store.key, "new"));
    CHECK(store.stored() == "new");
  }
  Switched store;
  REQUIRE(store.db.put(store.key, "old", {.expires_at = 500}));  // over, and not stale
  store.set(false, false);
  CHECK(store.db.put(store.key, "new"));
  CHECK_FALSE(store.stored());
}

TEST_CASE("key switches: watched keys count as changed when the switches are set") {
  Switched store;
  REQUIRE(store.db.put(store.key, "old"));
  const Watch watch = store.keyspace.watch(0, store.key, 1000);
  CHECK_FALSE(store.keyspace.has_changed(0, store.key, watch, 1000));
  store.set(true, true);
  CHECK(store.keyspace.has_changed(0, store.key, watch, 1000));
  const Watch later = store.keyspace.watch(0, store.key, 1000);
  CHECK_FALSE(later.live);
  CHECK_FALSE(store.keyspace.has_changed(0, store.key, later, 1000));
  CHECK(store.db.put(store.key, "new"));
  CHECK(store.keyspace.has_changed(0, store.key, later, 1000));
  store.keyspace.unwatch(0, store.key);
  store.keyspace.unwatch(0, store.key);
}
