// Leases beside other observers of the same changes: each chooses by cause, and none takes anything from another.

#include <string>
#include <utility>
#include <vector>

#include "support/told_clients.hpp"

#include <catch2/catch.hpp>

#include "pinfold/cache/cache.hpp"
#include "pinfold/store/changes.hpp"
#include "pinfold/store/keyspace.hpp"

using namespace pinfold;
using namespace pinfold::cache;
using store::Cause;
using store::Database;
using store::Key;
using store::Keyspace;

namespace {

// Notes the changes of one key.
struct Log final : store::Observer {
  explicit Log(Keyspace& keyspace) : subscription(keyspace.changes(0), *this, store::Causes::all()) { subscription.listen(true); }
  void changed(const store::Change& change) noexcept override {
    if (change.key.text != "key") return;
    causes.push_back(change.cause);
    subscription.want_settle();
  }
  void settle() override { ++settled; }

  std::vector<Cause> causes;
  int settled = 0;
  store::Changes::Subscription subscription;
};

struct Rig {
  Keyspace keyspace{{.shards = 1, .max_memory = 4 << 20}};
  Cache cache{keyspace};
  Log log{keyspace};
  std::vector<std::pair<std::uint64_t, Answer>> answers;
  ToldClients clients;
  UnixMs now = unix_ms();

  Rig() {
    clients.on_answer = [this](const pinfold::Delivery& more) {
      more.visit(0, [&](std::uint64_t /*ticket*/, const pinfold::ClientPlace& waiter) {
        answers.emplace_back(waiter.client, dynamic_cast<const Answers&>(more).answer);
        return true;
      });
    };
    cache.client_threads = &clients;
  }
  template <class Action>
  auto with(Action&& action) {
    const Key key = keyspace.key("key");
    Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    Database db(keyspace, 0, now);
    return action(db, key);
  }
  std::uint64_t grant() {
    return with([&](Database&, const Key& key) { return cache.leases(key).grant(0, key, {.ms = 10'000}, monotonic_ms()).token; });
  }
  bool alive(std::uint64_t token) {
    return with([&](Database&, const Key& key) { return cache.leases(key).is_valid(0, key.text, token, monotonic_ms()); });
  }
  void put(UnixMs expires_at = 0) {
    with([&](Database& db, const Key& key) { REQUIRE(db.put(key, "v", {.expires_at = expires_at})); });
  }
};

}  // namespace

TEST_CASE("what happens to an entry without a command ends no lease, although other observers are told") {
  Rig rig;
  constexpr std::int64_t hour = 3'600'000;
  rig.put(rig.now + hour);
  const std::uint64_t token = rig.grant();
  SECTION("it expires when it is looked up") {
    rig.now += 2 * hour;
    rig.with([](Database& db, const Key& key) { CHECK_FALSE(db.read(key)); });
    CHECK(rig.log.causes == std::vector{Cause::written, Cause::expired});
  }
  SECTION("the background finds that it has expired") {
    while (rig.keyspace.background_step(rig.now + 2 * hour, 10'000)) {
    }
    CHECK(rig.log.causes == std::vector{Cause::written, Cause::expired});
  }
  SECTION("its deadline changes") {
    rig.with([&](Database& db, const Key& key) { REQUIRE(db.set_expiry(key, rig.now + 1000)); });
    CHECK(rig.log.causes == std::vector{Cause::written, Cause::deadline});
  }
  SECTION("it is evicted") {
    // The policy gives a small entry a chance of 7 in 8 to stay each time it comes to it, which is here after about 60 others.
    constexpr std::size_t much = 60'000;
    for (int i = 0; rig.log.causes.size() == 1 && i < 50'000; ++i) {
      REQUIRE(rig.keyspace.make_room(much + 100));
      const std::string name = std::to_string(i);
      Keyspace::Locks locks(rig.keyspace);
      locks.acquire(rig.keyspace.key(name));
      REQUIRE(Database(rig.keyspace, 0, rig.now).put(rig.keyspace.key(name), std::string(much, 'v')));
    }
    CHECK(rig.log.causes == std::vector{Cause::written, Cause::evicted});
  }
  CHECK(rig.alive(token));
  CHECK(rig.log.settled == 2);
}

TEST_CASE("what a command does to a key ends its lease, also where nothing was there") {
  Rig rig;
  const std::uint64_t token = rig.grant();
  Cause cause{};
  SECTION("removed, and nothing was there") {
    rig.with([](Database& db, const Key& key) { CHECK_FALSE(db.remove(key)); });
    cause = Cause::invalidated;
  }
  SECTION("written with a deadline that has passed") {
    rig.with([](Database& db, const Key& key) { CHECK_FALSE(db.write_expired(key)); });
    cause = Cause::written;
  }
  SECTION("grown and not written to") {
    rig.with([](Database& db, const Key& key) { db.resize(key, 3, false).set_cause(Cause::grown); });
    cause = Cause::grown;
  }
  CHECK_FALSE(rig.alive(token));
  CHECK(rig.log.causes == std::vector{cause});
}

TEST_CASE("a client that waits gets the bytes that were written after the value had its size") {
  Rig rig;
  REQUIRE(rig.grant() != 0);
  rig.with([&](Database&, const Key& key) { REQUIRE(rig.cache.leases(key).wait(0, key, {7, 0, 10'000}) != 0); });
  rig.with([&](Database& db, const Key& key) {
    const store::Writing writing = db.resize(key, 3);
    REQUIRE(writing);
    std::string_view("new").copy(writing.data(), 3);
    CHECK(rig.answers.empty());
  });
  REQUIRE(rig.answers.size() == 1);
  CHECK(rig.answers[0].first == 7);
  CHECK(rig.answers[0].second.value->text == "new");
  CHECK(rig.log.settled == 1);
}

TEST_CASE("a cache that goes leaves the other observers") {
  Rig rig;
  {
    Cache other(rig.keyspace);
    rig.put();
  }
  rig.put();
  CHECK(rig.log.causes == std::vector{Cause::written, Cause::written});
}
