#include "pinfold/store/walk.hpp"

#include <map>
#include <string>

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"
#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/shard.hpp"

using namespace pinfold;
using namespace pinfold::store;

namespace {

// Besides 512 entries, a group of the index is looked at as a whole.
constexpr std::uint64_t most_entries = 512 + 64 * 12;
constexpr std::uint64_t most_bytes = 256 * 1024;

class WalkedKeyspace {
 public:
  explicit WalkedKeyspace(unsigned shards) : keyspace({.shards = shards}) {}

  void put(const std::string& name, UnixMs expires_at = 0) {
    PutOptions options;
    options.expires_at = expires_at;
    REQUIRE(with(name, [&](Database& db, const Key& key) { return db.put(key, "v", options); }));
  }
  void remove(const std::string& name) {
    with(name, [](Database& db, const Key& key) { return db.remove(key); });
  }
  /// Goes a step further and counts what it finds.
  void step() {
    Keyspace::Locks none(keyspace);
    work::Counting counting;
    keyspace.collect(0, walk, 1, none, names);
    REQUIRE(counting.counts().entries <= most_entries);
    REQUIRE(counting.counts().bytes <= most_bytes);
    for (std::size_t i = 0; i < names.size(); ++i) ++seen[std::string(names[i])];
  }
  bool done() const { return walk.done(keyspace.shard_count()); }
  void tidy() {
    while (keyspace.background_step(1, 100000)) continue;
  }

  Keyspace keyspace;
  Walk walk;
  Names names;
  std::map<std::string, int> seen;

 private:
  template <class Action>
  bool with(const std::string& name, Action&& action) {
    const Key key = keyspace.key(name);
    Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    Database db(keyspace, 0, 1);
    return static_cast<bool>(action(db, key));
  }
};

std::string name(const char* kind, int i) { return kind + std::to_string(i); }

}  // namespace

TEST_CASE("a walk meets each key exactly once, whatever the index does under it") {
  constexpr int steady = 3000;
  constexpr int passing = 60'000;
  WalkedKeyspace w(2);
  for (int i = 0; i < steady; ++i) w.put(name("steady:", i));
  // It grows twentyfold while the walk is in its first half, and shrinks while it is in the second.
  int added = 0;
  for (int round = 0; !w.done(); ++round) {
    w.step();
    for (int n = 0; n < 6000 && added < passing; ++n) w.put(name("passing:", added++));
    if (added < passing || round % 20 != 0) continue;
    for (int i = 0; i < passing; ++i) w.remove(name("passing:", i));
    w.tidy();
    added = 0;
  }
  for (int i = 0; i < steady; ++i) REQUIRE(w.seen[name("steady:", i)] == 1);
  for (const auto& [key, times] : w.seen) REQUIRE(times == 1);
}

TEST_CASE("a walk is not lost when the database is emptied under it") {
  WalkedKeyspace w(1);
  for (int i = 0; i < 5000; ++i) w.put(name("old:", i));
  for (int i = 0; i < 5; ++i) w.step();
  Keyspace::Locks none(w.keyspace);
  w.keyspace.flush(0, none);
  for (int i = 0; i < 50; ++i) w.put(name("new:", i));
  while (!w.done()) w.step();
  for (const auto& [key, times] : w.seen) REQUIRE(times == 1);
}

TEST_CASE("a step of a walk over long keys copies a bounded number of bytes") {
  WalkedKeyspace w(1);
  std::size_t keys = 0;
  for (int i = 0; i < 1500; ++i, ++keys) w.put(std::string(2000, 'k') + std::to_string(i));
  // Such keys are blocks of their own, and shared.
  for (int i = 0; i < 100; ++i, ++keys) w.put(std::string(100'000, 'b') + std::to_string(i));
  while (!w.done()) w.step();
  CHECK(w.seen.size() == keys);
}

TEST_CASE("one call of scan keeps within the budget of a hold, and removes some of what has expired") {
  WalkedKeyspace w(1);
  constexpr std::uint64_t live = 4000;
  constexpr std::uint64_t expired = 4000;
  for (std::uint64_t i = 0; i < live; ++i) w.put("live:" + std::to_string(i));
  for (std::uint64_t i = 0; i < expired; ++i) w.put("expired:" + std::to_string(i), 50);
  Keyspace::Locks none(w.keyspace);
  constexpr UnixMs later = 100;
  std::map<std::string, int> seen;
  for (std::uint64_t cursor = 0;;) {
    std::uint64_t left = 1'000'000'000;
    work::Counting counting;
    cursor = w.keyspace.scan(0, cursor, left, later, none, w.names);
    REQUIRE(counting.counts().entries <= most_entries);
    REQUIRE(counting.counts().bytes <= most_bytes);
    for (std::size_t i = 0; i < w.names.size(); ++i) ++seen[std::string(w.names[i])];
    if (cursor == 0) break;
  }
  CHECK(seen.size() == live);
  CHECK(w.keyspace.size(0, none) < live + expired / 2);
}

TEST_CASE("a random key removes what has expired when it meets it") {
  WalkedKeyspace w(1);
  for (int i = 0; i < 200; ++i) w.put("expired:" + std::to_string(i), 50);
  w.put("live");
  Keyspace::Locks none(w.keyspace);
  for (int i = 0; i < 100; ++i) {
    if (w.keyspace.random_key(0, 100, none, w.names)) REQUIRE(w.names[0] == "live");
  }
  CHECK(w.keyspace.size(0, none) == 1);
}

TEST_CASE("a random key that is a block is shared, and a short one's bytes are counted") {
  WalkedKeyspace w(1);
  Keyspace::Locks none(w.keyspace);
  const std::string longer(4'000'000, 'k');
  w.put(longer);
  {
    work::Counting counting;
    REQUIRE(w.keyspace.random_key(0, 1, none, w.names));
    CHECK(counting.counts().bytes < 1000);
  }
  CHECK(w.names[0] == longer);
  w.remove(longer);
  CHECK(w.names[0] == longer);  // still held
  const std::string shorter(1500, 'k');
  w.put(shorter);
  work::Counting counting;
  REQUIRE(w.keyspace.random_key(0, 1, none, w.names));
  CHECK(w.names[0] == shorter);
  CHECK(counting.counts().bytes >= shorter.size());
}
