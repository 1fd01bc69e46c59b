#include "pinfold/cache/tracking_table.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/seed.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"
#include "pinfold/store/database.hpp"

using namespace pinfold::cache;
using pinfold::store::Database;
using pinfold::store::Key;
using pinfold::store::Keyspace;
using pinfold::store::Use;

namespace {

// A table over two shards, with an outbox as an I/O thread has one.
struct Rig {
  explicit Rig(std::uint64_t max_memory = 0) : keyspace({.shards = 2, .max_memory = max_memory}) {}
  ~Rig() { table.free(outbox.pending.first); }

  Ticket client() {
    Keyspace::Locks none(keyspace);
    table.begin(0, none);
    owners.push_back(owners.size());
    return table.tickets.issue(0, &owners.back());
  }
  void leave(Ticket ticket) {
    table.tickets.retire(ticket);
    table.note_dead();
    table.end(0);
  }
  template <class Action>
  auto locked(std::string_view name, Action&& action) {
    const Key key = keyspace.key(name);
    Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    return action(key);
  }
  bool note(Ticket ticket, std::string_view name, unsigned db = 0) {
    return locked(name, [&](const Key& key) { return table.of(key).note(ticket, key, db); });
  }
  void set(std::string_view name, pinfold::UnixMs expires_at = 0, unsigned db = 0) {
    locked(name,
           [&](const Key& key) { return static_cast<bool>(Database(keyspace, db, now).put(key, "value", {.expires_at = expires_at})); });
  }
  void remove(std::string_view name, unsigned db = 0) {
    locked(name, [&](const Key& key) { return Database(keyspace, db, now).remove(key); });
  }
  // What is to be told: names, with the tickets of those that are alive.
  std::map<std::string, std::set<Ticket>> take() {
    std::map<std::string, std::set<Ticket>> told;
    for (const TrackedKey* key = outbox.pending.first; key != nullptr; key = key->next) {
      std::set<Ticket>& tickets = told[std::string(key->name())];
      for (std::uint32_t i = 0; i < key->count; ++i) {
        if (table.tickets.alive(key->tickets()[i])) tickets.insert(key->tickets()[i]);
      }
    }
    all = outbox.pending.all;
    all_broadcast = outbox.pending.all_broadcast;
    table.free(outbox.pending.first);
    outbox.pending = {};
    return told;
  }
  std::uint64_t memory() { return keyspace.memory().used(Use::tracking); }

  pinfold::UnixMs now = pinfold::unix_ms();
  Keyspace keyspace;
  TrackingTable table{keyspace};
  Outbox outbox;
  const Outbox::Current current{outbox};
  std::deque<std::size_t> owners;
  bool all = false;
  bool all_broadcast = false;
};

using Told = std::map<std::string, std::set<Ticket>>;

}  // namespace

TEST_CASE("tracking table: a change is told once to each client that has read the key") {
  Rig rig;
  const Ticket a = rig.client();
  const Ticket b = rig.client();
  CHECK(rig.note(a, "key"));
  CHECK(rig.note(a, "key"));
  CHECK(rig.note(b, "key"));
  CHECK(rig.note(b, "other"));
  CHECK(rig.table.figures().keys == 2);
  CHECK(rig.table.figures().items == 3);
  rig.set("key");
  CHECK(rig.take() == Told{{"key", {a, b}}});
  rig.set("key");
  CHECK(rig.take().empty());
  rig.set("other", 0, 7);  // names are compared without the database
  CHECK(rig.take() == Told{{"other", {b}}});
  CHECK(rig.table.figures().keys == 0);
  CHECK(rig.table.figures().items == 0);
}

TEST_CASE("tracking table: every kind of change is told") {
  Rig rig;
  const Ticket a = rig.client();
  const auto expect = [&](const char* what, auto&& change) {
    INFO(what);
    rig.set("key");
    rig.take();
    REQUIRE(rig.note(a, "key"));
    rig.locked("key", [&](const Key& key) {
      Database db(rig.keyspace, 0, rig.now);
      change(db, key);
      return 0;
    });
    CHECK(rig.take() == Told{{"key", {a}}});
  };
  expect("written", [](Database& db, const Key& key) { CHECK(db.put(key, "another")); });
  expect("grown", [](Database& db, const Key& key) { CHECK(db.resize(key, 100)); });
  expect("deadline", [&](Database& db, const Key& key) { CHECK(db.set_expiry(key, rig.now + 1000)); });
  expect("staled", [](Database& db, const Key& key) { db.make_stale(key, 1000); });
  expect("deleted", [](Database& db, const Key& key) { db.remove(key); });
}

TEST_CASE("tracking table: what changes no entry is not told") {
  Rig rig;
  const Ticket a = rig.client();
  REQUIRE(rig.note(a, "missing"));
  rig.remove("missing");
  CHECK(rig.take().empty());
  rig.set("missing");
  CHECK(rig.take() == Told{{"missing", {a}}});
}

TEST_CASE("tracking table: a key that was missing is told when it is created, and one that expires when it has") {
  Rig rig;
  const Ticket a = rig.client();
  REQUIRE(rig.note(a, "missing"));
  rig.set("missing", rig.now + 1000);
  CHECK(rig.take() == Told{{"missing", {a}}});
  REQUIRE(rig.note(a, "missing"));
  rig.now += 2000;
  rig.locked("missing", [&](const Key& key) { return Database(rig.keyspace, 0, rig.now).has(key); });
  CHECK(rig.take() == Told{{"missing", {a}}});
}

TEST_CASE("tracking table: a key is told when its deadline has passed, although nobody looks") {
  Rig rig;
  const Ticket a = rig.client();
  rig.set("soon", rig.now + 1000);
  rig.set("later", rig.now + 100'000);
  rig.set("never");
  rig.set("in 2", rig.now + 1000, 2);
  rig.set("in 2");
  rig.take();
  for (const char* name : {"soon", "later", "never", "in 2"}) REQUIRE(rig.note(a, name));
  rig.table.tend(rig.now + 500);
  CHECK(rig.take().empty());
  REQUIRE(rig.note(a, "in 2", 2));
  rig.table.tend(rig.now + 1200);
  CHECK(rig.take() == Told{{"soon", {a}}, {"in 2", {a}}});
  CHECK(rig.table.figures().aged == 2);
  rig.table.tend(rig.now + 100'200);
  CHECK(rig.take() == Told{{"later", {a}}});
  CHECK(rig.table.figures().keys == 1);
}

TEST_CASE("tracking table: a flush tells all to forget, and takes no work for each key under a lock") {
  Rig rig;
  const Ticket a = rig.client();
  for (int i = 0; i < 10'000; ++i) REQUIRE(rig.note(a, "key " + std::to_string(i)));
  const std::uint64_t before = rig.memory();
  CHECK(before > 0);
  {
    Keyspace::Locks locks(rig.keyspace);
    const pinfold::work::Counting counting;
    rig.keyspace.flush(0, locks);
    locks.release();
    CHECK(counting.counts().entries + counting.counts().nodes < 64);
  }
  CHECK(rig.take().empty());
  CHECK(rig.all);
  CHECK(rig.table.figures().keys == 0);
  for (int i = 0; i < 1000 && rig.memory() > 0; ++i) rig.table.tend(rig.now);
  CHECK(rig.memory() == 0);
  REQUIRE(rig.note(a, "key 1"));
  rig.set("key 1");
  CHECK(rig.take() == Told{{"key 1", {a}}});
}

TEST_CASE("tracking table: tickets of clients that have gone are removed, and are nobody's") {
  Rig rig;
  std::vector<Ticket> clients;
  for (int i = 0; i < 1000; ++i) clients.push_back(rig.client());
  for (const Ticket ticket : clients) REQUIRE(rig.note(ticket, "wide"));
  for (int i = 0; i < 500; ++i) REQUIRE(rig.note(clients[static_cast<std::size_t>(i)], "of one " + std::to_string(i)));
  CHECK(rig.table.figures().items == 1500);
  for (int i = 0; i < 999; ++i) rig.leave(clients[static_cast<std::size_t>(i)]);
  const Ticket next = rig.client();  // in the place of one of them
  rig.set("of one 0");
  CHECK(rig.take() == Told{{"of one 0", {}}});
  for (int i = 0; i < 100; ++i) rig.table.tend(rig.now);
  CHECK(rig.table.figures().items == 1);
  CHECK(rig.table.figures().keys == 1);
  rig.set("wide");
  CHECK(rig.take() == Told{{"wide", {clients.back()}}});
  CHECK(!rig.table.tickets.alive(clients[0]));
  CHECK(rig.table.tickets.alive(next));
  CHECK(rig.table.tickets.owner(next, 1) == nullptr);
}

TEST_CASE("tracking table: a key that leaves the table is told as changed") {
  Rig rig;
  rig.table.max_keys = 100;
  const Ticket a = rig.client();
  std::set<std::string> cached;
  for (int i = 0; i < 5000; ++i) {
    const std::string name = "key " + std::to_string(i);
    REQUIRE(rig.note(a, name));
    cached.insert(name);
    for (const auto& [told, tickets] : rig.take()) {
      CHECK(tickets == std::set<Ticket>{a});
      CHECK(cached.erase(told) == 1);
    }
    REQUIRE(rig.table.figures().keys <= 102);
    REQUIRE(cached.size() == rig.table.figures().keys);
  }
  rig.table.max_keys = 10;
  for (int i = 0; i < 20; ++i) rig.table.tend(rig.now);
  for (const auto& [told, tickets] : rig.take()) CHECK(cached.erase(told) == 1);
  CHECK(cached.size() == 10);
  CHECK(rig.table.figures().keys == 10);
}

TEST_CASE("tracking table: memory is in the account, and more than the share is refused") {
  Rig rig(8 << 20);
  const Ticket a = rig.client();
  CHECK(rig.table.share() == 1 << 20);
  std::uint64_t refused = 0;
  for (int i = 0; i < 50'000; ++i) refused += rig.note(a, "key " + std::to_string(i)) ? 0 : 1;
  CHECK(refused > 0);
  CHECK(rig.table.figures().refused == refused);
  CHECK(rig.memory() <= rig.table.share() + 64 * 1024);
  rig.leave(a);
  rig.take();
  for (int i = 0; i < 1000 && rig.memory() > 0; ++i) rig.table.tend(rig.now);
  CHECK(rig.memory() == 0);
}

TEST_CASE("tracking table: a key and client cost at most 24 bytes") {
  Rig rig;
  std::vector<Ticket> clients;
  for (int i = 0; i < 100; ++i) clients.push_back(rig.client());
  for (int i = 0; i < 10'000; ++i) {
    for (const Ticket ticket : clients) rig.note(ticket, "user:profile:" + std::to_string(100'000 + i));
  }
  REQUIRE(rig.table.figures().items == 1'000'000);
  const double each = static_cast<double>(rig.memory()) / 1'000'000;
  CHECK(each <= 24);
  WARN("bytes for each of 10 000 keys of 100 clients: " << each);
}

TEST_CASE("tracking table: it holds what a simple map holds, whatever happens") {
  Rig rig;
  rig.table.max_keys = 0;
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  std::mt19937_64 random(seed);
  std::vector<Ticket> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(rig.client());
  std::map<std::string, std::set<Ticket>> expected;
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (int step = 0; step < 30'000; ++step) {
    const std::size_t range = step < 15'000 ? 3000 : 50;  // grows, then shrinks
    const std::string name = "k" + std::to_string(below(range + 20));
    const std::size_t kind = below(100);
    if (kind < 60) {
      const Ticket ticket = clients[below(clients.size())];
      REQUIRE(rig.note(ticket, name));
      expected[name].insert(ticket);
    } else if (kind < 97) {
      const std::string changed = step < 15'000 ? name : "k" + std::to_string(below(3020));
      rig.set(changed);
      if (below(2) == 0) rig.remove(changed);
      Told told = rig.take();
      std::set<Ticket> wanted = expected.contains(changed) ? expected[changed] : std::set<Ticket>();
      std::erase_if(wanted, [&](Ticket ticket) { return !rig.table.tickets.alive(ticket); });
      CHECK(told[changed] == wanted);
      CHECK(told.size() == 1);
      expected.erase(changed);
    } else if (kind == 97) {
      const std::size_t at = below(clients.size());
      rig.leave(clients[at]);
      clients[at] = rig.client();
    } else if (kind == 98) {
      rig.table.tend(rig.now);
    } else if (below(20) == 0) {
      Keyspace::Locks locks(rig.keyspace);
      rig.keyspace.flush(static_cast<unsigned>(below(16)), locks);
      locks.release();
      rig.take();
      CHECK(rig.all);
      expected.clear();
    }
  }
  for (int i = 0; i < 50; ++i) rig.table.tend(rig.now);
  for (auto& [name, tickets] : expected) std::erase_if(tickets, [&](Ticket ticket) { return !rig.table.tickets.alive(ticket); });
  std::erase_if(expected, [](const auto& item) { return item.second.empty(); });
  CHECK(rig.table.figures().keys == expected.size());
  for (const auto& [name, tickets] : expected) {
    rig.set(name);
    CHECK(rig.take() == Told{{name, tickets}});
  }
  CHECK(rig.table.figures().keys == 0);
}

TEST_CASE("tracking table: what a client writes with NOLOOP is marked, and what expires meanwhile is not") {
  Rig rig;
  const Ticket a = rig.client();
  rig.set("old", rig.now + 100);
  rig.take();
  REQUIRE(rig.note(a, "mine"));
  REQUIRE(rig.note(a, "old"));
  rig.now += 1000;
  {
    const Writer writer(a);
    rig.set("mine");
    rig.locked("old", [&](const Key& key) { return Database(rig.keyspace, 0, rig.now).has(key); });
  }
  std::map<std::string, Ticket> writers;
  for (const TrackedKey* key = rig.outbox.pending.first; key != nullptr; key = key->next) writers[std::string(key->name())] = key->writer;
  CHECK(writers == std::map<std::string, Ticket>{{"mine", a}, {"old", 0}});
}

TEST_CASE("tracking table: what threads without an outbox change is kept for the background worker") {
  Rig rig;
  const Ticket a = rig.client();
  REQUIRE(rig.note(a, "key"));
  std::thread other([&] { rig.set("key"); });
  other.join();
  CHECK(rig.take().empty());
  REQUIRE(rig.table.has_orphans());
  Invalidations orphans = rig.table.take_orphans();
  REQUIRE(orphans.first != nullptr);
  CHECK(orphans.first->name() == "key");
  CHECK(!rig.table.has_orphans());
  rig.table.free(orphans.first);
}
