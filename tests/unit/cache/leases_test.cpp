#include <set>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"
#include "pinfold/cache/cache.hpp"
#include "pinfold/store/purges.hpp"

using namespace pinfold;
using namespace pinfold::cache;
using store::Database;
using store::Key;
using store::Keyspace;

namespace {

struct Delivered {
  std::uint64_t client;
  std::uint64_t ticket;
  Answer answer;
};

// A cache whose answers are kept for the test to look at.
struct Rig final : pinfold::ClientThreads {
  Keyspace keyspace;
  Cache cache{keyspace};
  std::vector<Delivered> answers;
  std::string name = "key";
  bool refusing_memory = false;
  int deliveries = 0;

  explicit Rig(std::uint64_t max_memory = 0) : keyspace({.shards = 2, .max_memory = max_memory}) { cache.client_threads = this; }
  void deliver(const std::shared_ptr<const pinfold::Delivery>& more) override {
    if (refusing_memory) throw std::bad_alloc();
    ++deliveries;
    more->visit(0, [&](std::uint64_t ticket, const pinfold::ClientPlace& waiter) {
      answers.push_back({waiter.client, ticket, dynamic_cast<const Answers&>(*more).answer});
      return true;
    });
  }
  void close(const pinfold::ClientPlace& /*client*/) override {}
  void end_wait(const pinfold::ClientPlace& /*client*/, std::uint64_t /*ticket*/, bool /*with_error*/) override {}
  void wake_task(const pinfold::ClientPlace& /*client*/) override {}
  void end_pause() override {}
  void push(std::vector<pinfold::ClientPlace> /*to*/, std::shared_ptr<const std::string> /*bytes*/,
            pinfold::Audience /*audience*/) override {}
  void send(unsigned /*thread*/, std::shared_ptr<const pinfold::Mail> /*mail*/) override {}
  std::uint64_t mail_number(unsigned /*thread*/) const override { return 1; }
  template <class Action>
  auto locked(Action&& action) {
    const Key key = keyspace.key(name);
    Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    return action(cache.leases(key), key);
  }
  Grant grant(std::int64_t ms = 10'000, std::string_view tags = {}) {
    return locked([&](Leases& leases, const Key& key) {
      return leases.grant(0, key, {cache.policy_of(key.text), ms, 0, tags}, monotonic_ms());
    });
  }
  std::uint64_t wait(std::uint64_t client, std::int64_t lease_ms = 10'000) {
    return locked([&](Leases& leases, const Key& key) { return leases.wait(0, key, {client, 0, lease_ms}); });
  }
  bool fill(std::uint64_t token, const std::string& value) {
    return locked([&](Leases& leases, const Key& key) {
      if (!leases.is_valid(0, key.text, token, monotonic_ms())) return false;
      const Leases::Filling filling(leases, 0, key.text);
      return static_cast<bool>(Database(keyspace, 0, unix_ms()).put(key, value));
    });
  }
  template <class Action>
  void write(Action&& action) {
    locked([&](Leases&, const Key& key) {
      Database db(keyspace, 0, unix_ms());
      action(db, key);
      return 0;
    });
  }
  void flush(unsigned db) {
    Keyspace::Locks locks(keyspace);
    keyspace.flush(db, locks);
  }
  void purge(bool by_prefix, const std::string& what) {
    Keyspace::Locks locks(keyspace);
    REQUIRE(cache.purge(0, by_prefix, {what}, false, false, {}, locks));
  }
  bool release(std::uint64_t token, std::int64_t retry_ms = 0) {
    return locked([&](Leases& leases, const Key& key) { return leases.release(0, key, token, retry_ms, monotonic_ms()); });
  }
};

}  // namespace

TEST_CASE("one lease of a key is alive, and tokens grow") {
  Rig rig;
  const Grant first = rig.grant();
  CHECK(first.outcome == Grant::Outcome::granted);
  CHECK(first.token < (1ULL << 53));
  CHECK(rig.grant().outcome == Grant::Outcome::held);
  CHECK(rig.grant().token == 0);
  REQUIRE(rig.release(first.token));
  const Grant second = rig.grant();
  CHECK(second.token > first.token);
  CHECK_FALSE(rig.release(first.token));
  CHECK(rig.cache.leases_alive() == 1);
  rig.name = "another";
  CHECK(rig.grant().token > second.token);
}

TEST_CASE("a lease is void after any write to its key, also after a removal of nothing, and not after a deadline") {
  const std::vector<std::function<void(Database&, const Key&)>> writes = {
      [](Database& db, const Key& key) { CHECK(db.put(key, "v")); },  [](Database& db, const Key& key) { db.remove(key); },
      [](Database& db, const Key& key) { CHECK(db.resize(key, 3)); }, [](Database& db, const Key& key) { db.make_stale(key, 100); },
      [](Database& db, const Key& key) { db.void_lease(key); },
  };
  for (const auto& write : writes) {
    Rig rig;
    const Grant grant = rig.grant();
    rig.write(write);
    CHECK_FALSE(rig.fill(grant.token, "late"));
    CHECK(rig.cache.leases_alive() == 0);
    CHECK(rig.cache.counters.voided == 1);
  }
  Rig rig;
  rig.write([](Database& db, const Key& key) { CHECK(db.put(key, "v")); });
  const Grant grant = rig.grant();
  rig.write([](Database& db, const Key& key) { CHECK(db.set_expiry(key, unix_ms() + 1000)); });
  CHECK(rig.fill(grant.token, "new"));
}

TEST_CASE("flushing and swapping databases voids their leases") {
  Rig rig;
  const Grant flushed = rig.grant();
  rig.flush(1);
  CHECK(rig.cache.leases_alive() == 1);
  rig.flush(0);
  CHECK_FALSE(rig.fill(flushed.token, "late"));
  const Grant swapped = rig.grant();
  Keyspace::Locks all(rig.keyspace);
  all.acquire_all();
  rig.keyspace.swap(0, 3, unix_ms(), all);
  all.release();
  CHECK_FALSE(rig.fill(swapped.token, "late"));
}

TEST_CASE("the time to back off that a release has set ends with a purge of what was to be replaced") {
  const std::string tags = "\x01t";
  for (const bool by_prefix : {false, true}) {
    INFO("by prefix " << by_prefix);
    Rig rig;
    REQUIRE(rig.release(rig.grant(10'000, tags).token, 60'000));
    rig.purge(by_prefix, "other");
    CHECK(rig.grant().outcome == Grant::Outcome::backing_off);
    rig.purge(by_prefix, by_prefix ? "ke" : "t");
    // More of them, and leases of others, so that nothing is remembered but for who needs it.
    const std::string name = std::exchange(rig.name, "another");
    for (int i = 0; i < 3; ++i) {
      rig.purge(!by_prefix, "something");
      REQUIRE(rig.release(rig.grant().token));
    }
    rig.name = name;
    CHECK(rig.grant(10'000, tags).outcome == Grant::Outcome::granted);
  }
}

TEST_CASE("what a release remembers is forgotten when its time to back off is over") {
  Rig rig;
  const std::int64_t before = static_cast<std::int64_t>(rig.keyspace.memory().used(store::Use::coalescing));
  REQUIRE(rig.release(rig.grant(10'000, "\x01t").token, 1));
  while (rig.grant(10'000, "\x01t").outcome == Grant::Outcome::backing_off) {
  }
  rig.flush(0);
  rig.cache.tend(monotonic_ms() + 10'000);
  CHECK(static_cast<std::int64_t>(rig.keyspace.memory().used(store::Use::coalescing)) == before);
}

TEST_CASE("a fill answers everybody who waits, in the order of their coming") {
  Rig rig;
  const Grant grant = rig.grant();
  std::vector<std::uint64_t> tickets;
  for (std::uint64_t client = 10; client < 15; ++client) tickets.push_back(rig.wait(client));
  CHECK(rig.cache.waiters() == 5);
  REQUIRE(rig.fill(grant.token, "value"));
  REQUIRE(rig.answers.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(rig.answers[i].client == 10 + i);
    CHECK(rig.answers[i].ticket == tickets[i]);
    CHECK(rig.answers[i].answer.status == Status::hit);
    CHECK(rig.answers[i].answer.value->text == "value");
    CHECK(rig.answers[i].answer.value == rig.answers[0].answer.value);
  }
  CHECK(rig.cache.waiters() == 0);
  CHECK(rig.keyspace.memory().used(store::Use::coalescing) == 0);
}

TEST_CASE("when a lease ends without a value the longest waiter gets the next, and the others go on waiting") {
  Rig rig;
  Grant grant = rig.grant();
  for (std::uint64_t client = 1; client <= 3; ++client) rig.wait(client);
  REQUIRE(rig.release(grant.token));
  REQUIRE(rig.answers.size() == 1);
  CHECK(rig.answers[0].client == 1);
  CHECK(rig.answers[0].answer.status == Status::miss);
  CHECK(rig.answers[0].answer.token > grant.token);
  CHECK(rig.cache.waiters() == 2);
  rig.write([](Database& db, const Key& key) { db.remove(key); });
  REQUIRE(rig.answers.size() == 2);
  CHECK(rig.answers[1].client == 2);
  CHECK(rig.answers[1].answer.token > rig.answers[0].answer.token);
  CHECK_FALSE(rig.fill(rig.answers[0].answer.token, "late"));
  REQUIRE(rig.fill(rig.answers[1].answer.token, "value"));
  REQUIRE(rig.answers.size() == 3);
  CHECK(rig.answers[2].answer.status == Status::hit);
}

TEST_CASE("a waiter that wants no lease is not given one and goes on waiting") {
  Rig rig;
  const Grant grant = rig.grant();
  rig.wait(1, 0);
  rig.wait(2);
  REQUIRE(rig.release(grant.token));
  REQUIRE(rig.answers.size() == 1);
  CHECK(rig.answers[0].client == 2);
  CHECK(rig.answers[0].answer.token != 0);
  CHECK(rig.cache.waiters() == 1);
  REQUIRE(rig.fill(rig.answers[0].answer.token, "value"));
  REQUIRE(rig.answers.size() == 2);
  CHECK(rig.answers[1].answer.status == Status::hit);
}

TEST_CASE("after a release with a time to retry nobody gets a lease until then, and who waits is told") {
  Rig rig;
  const Grant grant = rig.grant();
  rig.wait(1);
  REQUIRE(rig.release(grant.token, 500));
  REQUIRE(rig.answers.size() == 1);
  CHECK(rig.answers[0].answer.token == 0);
  CHECK(rig.answers[0].answer.ms > 0);
  CHECK(rig.grant().outcome == Grant::Outcome::backing_off);
  advance_clock_for_test(501);
  CHECK(rig.grant().outcome == Grant::Outcome::granted);
}

TEST_CASE("a lease that runs out goes to whoever waits, when the alarm says so") {
  Rig rig;
  rig.grant(1000);
  rig.wait(1, 2000);
  const MonoMs due = rig.cache.next_alarm();
  CHECK(due <= monotonic_ms() + 1000);
  rig.cache.run_alarms(monotonic_ms());
  CHECK(rig.answers.empty());
  advance_clock_for_test(1001);
  rig.cache.run_alarms(monotonic_ms());
  REQUIRE(rig.answers.size() == 1);
  CHECK(rig.answers[0].answer.token != 0);
  CHECK(rig.cache.counters.expired == 1);
  CHECK(rig.cache.next_alarm() == MonoMs::never());
}

TEST_CASE("a wait that is given up leaves nothing behind") {
  Rig rig;
  const Grant grant = rig.grant();
  const std::uint64_t ticket = rig.wait(1);
  rig.cache.give_up(0, rig.name, ticket);
  CHECK(rig.cache.waiters() == 0);
  REQUIRE(rig.release(grant.token));
  CHECK(rig.answers.empty());
  CHECK(rig.keyspace.memory().used(store::Use::coalescing) == 0);
}

TEST_CASE("no more leases are out than are allowed, in all and under a policy") {
  Rig rig;
  Policy policy;
  policy.name = "p";
  policy.match = "p:*";
  policy.max_leases = 2;
  rig.cache.set_policies({policy});
  rig.cache.max_leases = 3;
  const auto granted = [&](const std::string& name) {
    rig.name = name;
    return rig.grant().outcome == Grant::Outcome::granted;
  };
  CHECK(granted("p:1"));
  CHECK(granted("p:2"));
  CHECK_FALSE(granted("p:3"));
  CHECK(granted("q:1"));
  CHECK_FALSE(granted("q:2"));
  rig.cache.max_leases = 100;
  rig.name = "p:1";
  rig.write([](Database& db, const Key& key) { CHECK(db.put(key, "v")); });
  CHECK(granted("p:3"));
}

TEST_CASE("what a lease's holder has read may be older than a purge that came after it") {
  Rig rig;
  const auto outdated = [&](std::string_view tags) {
    return rig.locked([&](Leases& leases, const Key& key) { return leases.outdated(0, key.text, tags); });
  };
  rig.purge(false, "old");
  const Grant grant = rig.grant();
  CHECK_FALSE(outdated("\3old"));
  rig.purge(false, "tag");
  CHECK(outdated("\3tag"));
  CHECK(outdated("\1x\3tag"));
  CHECK_FALSE(outdated("\1x"));
  CHECK_FALSE(outdated(""));
  REQUIRE(rig.release(grant.token));
  rig.grant();
  CHECK_FALSE(outdated("\3tag"));
}

TEST_CASE("a purge that is refused, or of another database, does not refuse fills") {
  Rig rig;
  store::Extra extra;
  extra.tags = "\3tag";
  for (int i = 0; i < 64; ++i) {  // in both shards
    rig.name = std::to_string(i);
    rig.write([&](Database& db, const Key& key) { CHECK(db.put(key, "v", {.extra = &extra})); });
  }
  const auto purge = [&](unsigned db) {
    Keyspace::Locks locks(rig.keyspace);
    return rig.cache.purge(db, false, {"tag"}, true, false, {}, locks) != nullptr;
  };
  const auto outdated = [&](unsigned db) {
    return rig.locked([&](Leases& leases, const Key& key) { return leases.outdated(db, key.text, "\3tag"); });
  };
  while (purge(0)) {
  }
  rig.name = "key";
  rig.grant();
  REQUIRE_FALSE(purge(0));
  CHECK_FALSE(outdated(0));
  REQUIRE(purge(1));
  CHECK_FALSE(outdated(0));
}

TEST_CASE("purges that wait are bounded, in number and in bytes, and leases do not take their place") {
  const auto purge = [](Rig& rig, const std::vector<std::string>& tags) {
    Keyspace::Locks locks(rig.keyspace);
    return rig.cache.purge(0, false, tags, false, false, {}, locks) != nullptr;
  };
  const auto until_refused = [&](Rig& rig, std::size_t tag_bytes, bool same) {
    rig.write([&](Database& db, const Key& key) { CHECK(db.put(key, "v")); });
    std::uint64_t count = 0;
    while (count < 100'000 && purge(rig, {(same ? "" : std::to_string(count)) + std::string(tag_bytes, 't')})) ++count;
    CHECK(rig.cache.purges_pending() == count);
    // There is room again when they were swept.
    while (rig.keyspace.background_step(unix_ms(), 100'000)) {
    }
    rig.cache.tell_finished();
    CHECK(rig.cache.purges_pending() == 0);
    CHECK(rig.keyspace.memory().used(store::Use::coalescing) == 0);
    CHECK(purge(rig, {"t"}));
    return count;
  };
  Rig roomy;
  CHECK(until_refused(roomy, 10, true) == Cache::most_purges);
  constexpr std::uint64_t share = 1024 * 1024;
  Rig narrow(8 * share);
  const std::uint64_t count = until_refused(narrow, 200, false);
  CHECK(count > 100);
  CHECK(count * 200 * 2 < share);
  Rig full(8 * share);
  full.keyspace.memory().add(store::Use::coalescing, share);
  CHECK(full.grant().outcome == Grant::Outcome::used_up);
  CHECK(purge(full, {"t"}));
}

TEST_CASE("a purge of a prefix voids the leases of its keys, one of a tag those of entries that carry it") {
  Rig rig;
  rig.name = "a:1";
  const Grant a = rig.grant();
  rig.name = "b:1";
  const std::string tags = "\3tag";
  rig.write([&](Database& db, const Key& key) {
    store::Extra extra;
    extra.tags = tags;
    CHECK(db.put(key, "v", {.extra = &extra}));
  });
  const Grant b = rig.grant(10'000, tags);
  rig.purge(true, "a:");
  rig.name = "a:1";
  CHECK_FALSE(rig.fill(a.token, "late"));
  rig.purge(false, "tag");
  rig.name = "b:1";
  CHECK_FALSE(rig.fill(b.token, "late"));
}

TEST_CASE("a purge visits no lease, and voids those that it is for") {
  constexpr int count = 3000;
  const bool by_prefix = GENERATE(true, false);
  Rig rig;
  std::vector<std::uint64_t> tokens;
  for (int i = 0; i < count; ++i) {
    rig.name = (i % 2 == 0 ? "a:" : "b:") + std::to_string(i);
    tokens.push_back(rig.grant(10'000, i % 2 == 0 ? "\3old" : "\5other").token);
  }
  {
    const work::Counting counting;
    if (by_prefix) {
      rig.purge(true, "a:");
    } else {
      rig.purge(false, "old");
    }
    CHECK(counting.counts().entries <= 1);  // the tag
  }
  CHECK(rig.cache.counters.voided == 0);
  for (int i = 0; i < count; ++i) {
    rig.name = (i % 2 == 0 ? "a:" : "b:") + std::to_string(i);
    REQUIRE(rig.fill(tokens[static_cast<std::size_t>(i)], "late") == (i % 2 == 1));
  }
  CHECK(rig.cache.counters.voided == count / 2);
  CHECK(rig.cache.leases_alive() == 0);
}

TEST_CASE("a lease that a purge has voided does not keep the next reader from one") {
  Rig rig;
  const Grant first = rig.grant(10'000, "\3tag");
  CHECK(rig.grant().outcome == Grant::Outcome::held);
  SECTION("by a tag") { rig.purge(false, "tag"); }
  SECTION("by a prefix") { rig.purge(true, "ke"); }
  const Grant second = rig.grant();
  REQUIRE(second.outcome == Grant::Outcome::granted);
  CHECK_FALSE(rig.fill(first.token, "old"));
  CHECK(rig.fill(second.token, "new"));
}

TEST_CASE("a lease outlasts purges of other tags, prefixes and databases, however many") {
  Rig rig;
  const Grant grant = rig.grant(10'000, "\3tag");
  const auto purge = [&](unsigned db, bool by_prefix, const std::string& name) {
    Keyspace::Locks locks(rig.keyspace);
    REQUIRE(rig.cache.purge(db, by_prefix, {name}, false, false, {}, locks));
  };
  purge(1, false, "tag");
  purge(1, true, "ke");
  for (int i = 0; i < 200; ++i) {
    purge(0, false, "other" + std::to_string(i));
    purge(0, true, "kex" + std::to_string(i));
    rig.locked([](Leases& leases, const Key& key) { return leases.look(0, key.text, monotonic_ms()).waiters; });
  }
  CHECK(rig.fill(grant.token, "value"));
}

TEST_CASE("a lease that more prefixes were purged after than are remembered is void") {
  Rig rig;
  const Grant grant = rig.grant();
  for (std::size_t i = 0; i <= PurgedPrefixes::most_remembered; ++i) rig.purge(true, "other");
  CHECK_FALSE(rig.fill(grant.token, "value"));
  const Grant next = rig.grant();
  CHECK(rig.fill(next.token, "value"));
}

TEST_CASE("whoever waits for a purged key is told in bounded pieces") {
  Rig rig;
  constexpr std::size_t count = 2000;
  for (std::size_t i = 0; i < count; ++i) {
    rig.name = "key:" + std::to_string(i);
    REQUIRE(rig.grant().token != 0);
    REQUIRE(rig.wait(i) != 0);
  }
  for (std::size_t i = 0; i < count; ++i) {  // nobody waits for these
    rig.name = "key:alone:" + std::to_string(i);
    REQUIRE(rig.grant().token != 0);
  }
  rig.purge(true, "key:");
  CHECK(rig.answers.empty());
  constexpr std::size_t at_once = 10;
  const work::Counting counting;
  CHECK(rig.locked([](Leases& leases, const Key&) { return leases.tell_waiting(at_once, monotonic_ms()); }));
  CHECK(counting.counts().entries <= 2 * at_once);  // and each is settled
  CHECK(rig.answers.size() == at_once);
  rig.cache.tell_waiting();
  CHECK(rig.answers.size() == count);
  CHECK(rig.cache.counters.voided == count);
}

TEST_CASE("whoever waits is answered with values of another database in bounded pieces") {
  Rig rig;
  constexpr std::size_t count = 200;
  const std::string value(15'000, 'v');
  for (std::size_t i = 0; i < count; ++i) {
    rig.name = "key:" + std::to_string(i);
    REQUIRE(rig.grant().token != 0);
    REQUIRE(rig.wait(i) != 0);
    CHECK(rig.locked([&](Leases&, const Key& key) { return Database(rig.keyspace, 1, unix_ms()).put(key, value); }));
  }
  {
    Keyspace::Locks locks(rig.keyspace);
    rig.keyspace.swap(0, 1, unix_ms(), locks);
  }
  std::size_t holds = 0;
  for (bool more = true; more; ++holds) {
    more = false;
    for (unsigned shard = 0; shard < rig.keyspace.shard_count(); ++shard) {
      for (int i = 0; rig.keyspace.shard_of(rig.keyspace.key(rig.name)) != shard; ++i) rig.name = "key:" + std::to_string(i);
      const work::Counting hold;
      more |= rig.locked([](Leases& leases, const Key&) { return leases.tell_waiting(count, monotonic_ms()); });
      CHECK(hold.counts().bytes <= 256 * 1024);
    }
  }
  CHECK(holds > 1);
  CHECK(rig.answers.size() == count);
  for (const Delivered& delivered : rig.answers) CHECK(delivered.answer.status == Status::hit);
}

TEST_CASE("leases that have run out are forgotten in bounded pieces") {
  Rig rig;
  constexpr std::size_t count = 20'000;
  for (std::size_t i = 0; i < count; ++i) {
    rig.name = std::to_string(i);
    REQUIRE(rig.grant(10).token != 0);
  }
  advance_clock_for_test(11);
  const std::uint64_t alive = rig.cache.leases_alive();
  {
    const work::Counting counting;
    rig.locked([](Leases& leases, const Key&) { return leases.tend(256, monotonic_ms()), 0; });
    CHECK(counting.counts().entries <= 512);
  }
  CHECK(alive - rig.cache.leases_alive() == 256);
  for (int i = 0; i < 100; ++i) rig.cache.tend(monotonic_ms());
  CHECK(rig.cache.leases_alive() == 0);
  CHECK(rig.keyspace.memory().used(store::Use::coalescing) == 0);
}

TEST_CASE("the tags that a lease carries are in the account") {
  Rig rig;
  const std::string tags = "\3tag" + std::string(1, '\x64') + std::string(100, 'x');
  const Grant plain = rig.grant();
  const std::uint64_t without = rig.keyspace.memory().used(store::Use::coalescing);
  REQUIRE(rig.release(plain.token));
  const Grant grant = rig.grant(10'000, tags);
  CHECK(rig.keyspace.memory().used(store::Use::coalescing) == without + tags.size());
  REQUIRE(rig.release(grant.token));
  CHECK(rig.keyspace.memory().used(store::Use::coalescing) == 0);
}

TEST_CASE("versions are refused for as long as they are remembered") {
  Rig rig;
  const MonoMs now = monotonic_ms();
  rig.locked([&](Leases& leases, const Key& key) {
    leases.refuse_versions(0, key.text, 7, now + 1000, now);
    leases.refuse_versions(0, key.text, 5, now + 500, now);
    CHECK(leases.refused_version(0, key.text, now) == 7);
    CHECK(leases.refused_version(0, key.text, now + 999) == 7);
    CHECK(leases.refused_version(0, key.text, now + 1001) == 0);
    return 0;
  });
  advance_clock_for_test(2000);
  rig.cache.tend(monotonic_ms());
  CHECK(rig.keyspace.memory().used(store::Use::coalescing) == 0);
}

TEST_CASE("a flush voids any number of leases, and takes no longer for many") {
  Rig rig;
  constexpr int count = 2000;
  std::vector<std::uint64_t> tokens;
  for (int i = 0; i < count; ++i) {
    rig.name = "key:" + std::to_string(i);
    tokens.push_back(rig.grant().token);
    REQUIRE(rig.wait(1) != 0);
  }
  rig.flush(0);
  CHECK(rig.answers.empty());
  CHECK(rig.cache.counters.voided == 0);  // nobody has looked at one
  for (int i = 0; i < count; i += 7) {
    rig.name = "key:" + std::to_string(i);
    CHECK_FALSE(rig.fill(tokens[static_cast<std::size_t>(i)], "late"));
  }
  rig.cache.tell_waiting();
  CHECK(rig.answers.size() == count);
  CHECK(rig.cache.counters.voided == count);
  CHECK(rig.cache.waiters() == 0);
  std::set<std::uint64_t> fresh;
  for (const Delivered& delivered : rig.answers) fresh.insert(delivered.answer.token);
  CHECK(fresh.size() == count);
  CHECK(*fresh.begin() > tokens.back());
}

TEST_CASE("whoever could not be answered for want of memory is answered later") {
  Rig rig;
  const Grant grant = rig.grant();
  rig.wait(1);
  rig.wait(2);
  rig.refusing_memory = true;
  REQUIRE(rig.fill(grant.token, "value"));
  CHECK(rig.answers.empty());
  CHECK(rig.cache.waiters() == 2);
  rig.refusing_memory = false;
  rig.cache.tend(monotonic_ms());
  REQUIRE(rig.answers.size() == 2);
  CHECK(rig.answers[0].client == 1);
  CHECK(rig.answers[1].answer.status == Status::hit);
  CHECK(rig.cache.waiters() == 0);
  CHECK(rig.keyspace.memory().used(store::Use::coalescing) == 0);
}

TEST_CASE("a lease that is renewed for a shorter time wakes whoever waits that much sooner") {
  Rig rig;
  const Grant grant = rig.grant(60'000);
  const std::uint64_t ticket = rig.wait(1);
  rig.cache.give_up(0, rig.name, ticket);  // leaves its alarm behind
  rig.locked([&](Leases& leases, const Key& key) { return leases.renew(0, key.text, grant.token, 100, monotonic_ms()); });
  rig.wait(2);
  CHECK(rig.cache.next_alarm() <= monotonic_ms() + 100);
  advance_clock_for_test(101);
  rig.cache.run_alarms(monotonic_ms());
  REQUIRE(rig.answers.size() == 1);
  CHECK(rig.answers[0].client == 2);
}

TEST_CASE("all that leases and waiters take is counted, and comes back") {
  Rig rig;
  rig.name = std::string(4000, 'k');
  const Grant grant = rig.grant();
  for (std::uint64_t client = 1; client <= 10; ++client) rig.wait(client);
  CHECK(rig.keyspace.memory().used(store::Use::coalescing) > 12 * rig.name.size());
  REQUIRE(rig.fill(grant.token, "value"));
  CHECK(rig.answers.size() == 10);
  CHECK(rig.keyspace.memory().used(store::Use::coalescing) == 0);
}

TEST_CASE("where leases are used up, one that has run out makes room, and what was known of the key may have gone with it") {
  Rig rig;
  rig.cache.max_leases = 1;
  const auto shard = [&](const std::string& name) { return rig.keyspace.shard_of(rig.keyspace.key(name)); };
  rig.name = "a";
  REQUIRE(rig.release(rig.grant().token, 10));
  int other = 0;
  do {
    rig.name = "b" + std::to_string(other++);
  } while (shard(rig.name) != shard("a"));
  REQUIRE(rig.grant(50).token != 0);
  advance_clock_for_test(100);
  rig.name = "a";
  const Grant grant = rig.grant();
  REQUIRE(grant.outcome == Grant::Outcome::granted);
  CHECK(rig.cache.leases_alive() == 1);
  CHECK(rig.fill(grant.token, "value"));
  CHECK(rig.cache.leases_alive() == 0);
  CHECK(rig.keyspace.memory().used(store::Use::coalescing) == 0);
}

TEST_CASE("what was made stale is stale also to a reader whose clock was read a little earlier") {
  Rig rig;
  const UnixMs now = unix_ms();
  const auto usable = [&](UnixMs at) {
    return rig.locked([&](Leases&, const Key& key) {
      const auto value = Database(rig.keyspace, 0, at).find_any(key, store::Access::none());
      return value ? std::pair(value->fresh(at), value->gone_at() - now) : std::pair(true, UnixMs{0});
    });
  };
  rig.write([&](Database&, const Key& key) { CHECK(Database(rig.keyspace, 0, now).put(key, "v", {.expires_at = now + 9000})); });
  CHECK(usable(now).first);
  rig.write([&](Database&, const Key& key) { Database(rig.keyspace, 0, now).make_stale(key, 5000); });
  CHECK(usable(now) == std::pair(false, UnixMs{9000}));
  CHECK(usable(now - 2000) == std::pair(false, UnixMs{9000}));
}

TEST_CASE("a hundred thousand who wait for one key set one alarm, cost nothing meanwhile, and are answered at once") {
  Rig rig;
  constexpr std::uint64_t count = 100'000;
  const Grant grant = rig.grant(60'000);
  for (std::uint64_t client = 1; client <= count; ++client) REQUIRE(rig.wait(client) != 0);
  CHECK(rig.cache.waiters() == count);
  CHECK(rig.wait(count + 1) == 0);
  const MonoMs due = rig.cache.next_alarm();
  CHECK(due > monotonic_ms() + 50'000);
  rig.cache.run_alarms(monotonic_ms());
  rig.cache.tend(monotonic_ms());
  CHECK(rig.answers.empty());
  CHECK(rig.cache.next_alarm() == due);
  REQUIRE(rig.fill(grant.token, "value"));
  CHECK(rig.deliveries == 1);
  CHECK(rig.answers.size() == count);
  CHECK(rig.cache.waiters() == 0);
  CHECK(rig.keyspace.memory().used(store::Use::coalescing) == 0);
}

TEST_CASE("a step of the wall clock neither ends a lease nor makes it last longer") {
  const std::int64_t hour_ms = 3'600'000;
  for (const std::int64_t step : {hour_ms, -hour_ms}) {
    INFO("stepped by " << step);
    Rig rig;
    const Grant first = rig.grant(1000);
    REQUIRE(rig.wait(7) != 0);
    step_wall_clock_for_test(step);
    rig.cache.run_alarms(monotonic_ms());
    rig.cache.tend(monotonic_ms());
    CHECK(rig.answers.empty());
    CHECK(rig.cache.leases_alive() == 1);
    advance_clock_for_test(1001);
    rig.cache.run_alarms(rig.cache.next_alarm());
    REQUIRE(rig.answers.size() == 1);
    const std::uint64_t next = rig.answers[0].answer.token;
    CHECK(next > first.token);
    CHECK_FALSE(rig.fill(first.token, "late"));
    CHECK(rig.release(next, 500));
    CHECK(rig.grant().outcome == Grant::Outcome::backing_off);
    step_wall_clock_for_test(-step);
    CHECK(rig.grant().outcome == Grant::Outcome::backing_off);
    advance_clock_for_test(501);
    const Grant last = rig.grant();
    CHECK(last.outcome == Grant::Outcome::granted);
    CHECK(last.token > next);
    CHECK(rig.fill(last.token, "value"));
  }
}

TEST_CASE("versions are refused for as long as was asked, whatever becomes of the wall clock") {
  const std::int64_t hour_ms = 3'600'000;
  Rig rig;
  const auto refused = [&] {
    return rig.locked([&](Leases& leases, const Key& key) { return leases.refused_version(0, key.text, monotonic_ms()); });
  };
  rig.locked([&](Leases& leases, const Key& key) {
    leases.refuse_versions(0, key.text, 5, monotonic_ms() + 1000, monotonic_ms());
    return 0;
  });
  step_wall_clock_for_test(hour_ms);
  rig.cache.tend(monotonic_ms());
  CHECK(refused() == 5);
  step_wall_clock_for_test(-2 * hour_ms);
  CHECK(refused() == 5);
  advance_clock_for_test(1001);
  CHECK(refused() == 0);
  step_wall_clock_for_test(hour_ms);
}

TEST_CASE("leases of a policy that is gone do not count for the next one") {
  Rig rig;
  rig.name = "old:1";
  Policy policy{.name = "old", .match = "old:*"};
  policy.max_leases = 1;
  rig.cache.set_policies({policy});
  const Grant first = rig.grant();
  REQUIRE(first.outcome == Grant::Outcome::granted);
  rig.cache.set_policies({});
  policy.name = "new";
  policy.match = "new:*";
  rig.cache.set_policies({policy});
  const std::uint8_t slot = rig.cache.policies_copy()[0].slot;
  CHECK(rig.cache.counters_of(slot).leases_alive == 0);
  rig.name = "new:1";
  CHECK(rig.grant().outcome == Grant::Outcome::granted);
  rig.name = "old:1";
  CHECK(rig.release(first.token));
  CHECK(rig.cache.counters_of(slot).leases_alive == 1);
}

namespace {

// So many tags, begin0 and on, as store::Extra keeps them.
std::string many_tags(const std::string& begin, unsigned count) {
  std::string tags;
  for (unsigned i = 0; i < count; ++i) {
    const std::string tag = begin + std::to_string(i);
    tags += static_cast<char>(tag.size()) + tag;
  }
  return tags;
}

std::uint64_t most_bytes(Rig& rig, std::string_view cause) {
  for (const auto& [name, account] : rig.keyspace.lock_watch().account.causes()) {
    if (name == cause) return account.most.bytes;
  }
  return 0;
}

constexpr std::uint64_t most_bytes_of_hold = 256 * 1024;

}  // namespace

TEST_CASE("tending leases stops in time where they have many tags or long keys") {
  Rig rig;
  rig.keyspace.lock_watch().set_accounting(true);
  const auto purge = [&](bool by_prefix, std::vector<std::string> names) {
    Keyspace::Locks locks(rig.keyspace);
    REQUIRE(rig.cache.purge(0, by_prefix, std::move(names), false, false, {}, locks));
  };
  const auto lease_all = [&](const std::string& begin, std::string_view tags) {
    for (int i = 0; i < 300; ++i) {
      rig.name = begin + std::to_string(i);
      REQUIRE(rig.grant(600'000, tags).token != 0);
    }
  };
  SECTION("many tags") {
    lease_all("k", many_tags("t", 800));
    std::vector<std::string> others;
    for (int i = 0; i < 1000; ++i) others.push_back("z" + std::to_string(i));
    purge(false, std::move(others));
  }
  SECTION("long keys") {
    const std::string begin(4000, 'a');
    lease_all(begin + "k", {});
    for (int i = 0; i < 500; ++i) purge(true, {begin + "x" + std::to_string(i)});
  }
  for (int i = 0; i < 10; ++i) rig.cache.tend(monotonic_ms());
  CHECK(most_bytes(rig, "tend-leases") > most_bytes_of_hold / 4);
  CHECK(most_bytes(rig, "tend-leases") <= most_bytes_of_hold);
  CHECK(rig.cache.leases_alive() == 300);
  CHECK(rig.cache.counters.voided == 0);
}

TEST_CASE("when there is no lease to be had, all who wait are told so with one message") {
  Rig rig;
  const Grant grant = rig.grant();
  for (std::uint64_t client = 0; client < 1000; ++client) REQUIRE(rig.wait(client, client % 10 == 0 ? 0 : 10'000) != 0);
  const work::Counting counting;
  SECTION("leases are used up") {
    rig.cache.max_leases = 0;
    REQUIRE(rig.release(grant.token));
  }
  SECTION("those of the policy are") {
    Policy policy{.name = "p", .match = "*"};
    policy.max_leases = 1;
    rig.cache.set_policies({policy});
    const std::string key = std::exchange(rig.name, "another");
    REQUIRE(rig.grant().token != 0);
    rig.name = key;
    REQUIRE(rig.release(grant.token));
  }
  CHECK(counting.counts().nodes < 100);
  CHECK(rig.deliveries == 1);
  CHECK(rig.answers.size() == 1000);
  for (const Delivered& answer : rig.answers) CHECK((answer.answer.token == 0 && answer.answer.ms > 0));
  CHECK(rig.cache.waiters() == 0);
}

TEST_CASE("clients that want no lease keep nobody from the next one") {
  Rig rig;
  const Grant grant = rig.grant();
  for (std::uint64_t client = 0; client < 1000; ++client) REQUIRE(rig.wait(client, 0) != 0);
  REQUIRE(rig.wait(5000) != 0);
  REQUIRE(rig.wait(5001) != 0);
  REQUIRE(rig.release(grant.token));
  REQUIRE(rig.answers.size() == 1);
  CHECK(rig.answers[0].client == 5000);
  CHECK(rig.answers[0].ticket < (1ULL << 63));
  REQUIRE(rig.release(rig.answers[0].answer.token));
  REQUIRE(rig.answers.size() == 2);
  CHECK(rig.answers[1].client == 5001);
  REQUIRE(rig.release(rig.answers[1].answer.token));
  CHECK(rig.answers.size() == 1002);  // nobody is left to load
}

TEST_CASE("leases that end together drop none of the tags that were purged") {
  Rig rig;
  rig.keyspace.lock_watch().set_accounting(true);
  for (int i = 0; i < 400; ++i) {
    Keyspace::Locks locks(rig.keyspace);
    std::vector<std::string> names;
    for (int tag = 0; tag < 32; ++tag) names.push_back(std::to_string(i) + ":" + std::to_string(tag));
    REQUIRE(rig.cache.purge(0, false, std::move(names), false, false, {}, locks));
    locks.release();
    rig.name = "k" + std::to_string(i);
    REQUIRE(rig.grant(1000).token != 0);
  }
  advance_clock_for_test(1001);
  for (int i = 0; i < 20; ++i) rig.cache.tend(monotonic_ms());
  CHECK(rig.cache.leases_alive() == 0);
  for (const auto& [name, account] : rig.keyspace.lock_watch().account.causes()) {
    if (name == "tend-leases") CHECK(account.most.nodes <= 512);
  }
  while (rig.keyspace.background_step(unix_ms(), 100'000)) {
  }
  rig.cache.tell_finished();
  CHECK(rig.keyspace.memory().used(store::Use::coalescing) == 0);
}
