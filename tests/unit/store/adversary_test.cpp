// Keys chosen to do harm: by one who knows the code but not the hash key, and, for the index to be right whatever comes,
// by one who knows that too.

#include <charconv>
#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "support/hashes.hpp"
#include "support/seed.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/siphash.hpp"
#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/table.hpp"

using namespace pinfold;
using namespace pinfold::store;

namespace {

constexpr unsigned largest_group = 20 * 12;  // slots

std::string name_of(std::uint64_t n) { return "user:" + std::to_string(n); }

// The first `count` names whose hash under `key` agrees with the bits of `mask` in 0.
std::vector<std::string> colliding(const HashKey& key, std::uint64_t mask, std::size_t count) {
  std::vector<std::string> names;
  char text[32] = "user:";
  for (std::uint64_t n = 0; names.size() < count; ++n) {
    const char* const end = std::to_chars(text + 5, text + sizeof text, n).ptr;
    if ((siphash13(key, {text, end}) & mask) == 0) names.emplace_back(static_cast<const char*>(text), end);
  }
  return names;
}

constexpr std::uint64_t top_bits = std::uint64_t{0x7ff} << 53;
constexpr std::uint64_t tag = std::uint64_t{0xff} << 8;
constexpr std::uint64_t home = std::uint64_t{0x7f} << 25;  // more bits of it than the largest group looks at

}  // namespace

TEST_CASE("entries whose hashes are all equal are found while a group can hold them; one more is refused, and nothing else") {
  Hashes all;
  while (all.insert(0x1234'5678'9abc'def0) && all.hashes.size() < 10 * largest_group) {
  }
  CHECK(all.hashes.size() >= 16 * 12);
  CHECK(all.hashes.size() <= largest_group);
  CHECK(all.index.memory() < 300'000);  // one group, an empty neighbour for each split in vain, the directory
  CHECK(all.all_found());
  CHECK(all.index.audit().consistent);
  CHECK_FALSE(all.insert(0x1234'5678'9abc'def0));
  CHECK(all.insert(0xf234'5678'9abc'def0));
  CHECK(all.erase(5));
  CHECK(all.insert(0x1234'5678'9abc'def0));
  CHECK_FALSE(all.find(5));
  CHECK(all.consistent());
}

TEST_CASE("entries of one bucket and tag are found whatever their number, and take a bounded amount of memory") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  std::mt19937_64 random(seed);
  Hashes all;
  for (int i = 0; i < 20'000; ++i) REQUIRE(all.insert((random() & ~0xffff'ff00ULL) | 0x4243'4400ULL));
  CHECK(all.all_found());
  CHECK(all.index.audit().consistent);
  CHECK(all.bytes_per_key() < 40);
  // Ordinary ones among them.
  for (int i = 0; i < 50'000; ++i) REQUIRE(all.insert(random()));
  CHECK(all.all_found());
  CHECK(all.index.audit().consistent);
  while (all.shrink_some()) {
  }
  CHECK(all.all_found());
  CHECK(all.index.audit().consistent);
}

TEST_CASE("entries of one part of the directory are found, and it grows by no more than they have in common") {
  std::mt19937_64 random(3);
  Hashes all;
  constexpr unsigned common = 12;
  for (int i = 0; i < 50'000; ++i) REQUIRE(all.insert(random() >> common));
  CHECK(all.all_found());
  CHECK(all.index.audit().consistent);
  CHECK(all.index.memory() < 50'000 * 8 + (sizeof(std::uint64_t) << (common + 8)));
}

TEST_CASE("a table takes keys that collide under its own hash key: one bucket and tag, or one part of the directory", "[one-thread]") {
  const HashKey hash_key = random_hash_key();
  for (const std::uint64_t mask : {tag | home, top_bits}) {
    const std::vector<std::string> names = colliding(hash_key, mask, mask == (tag | home) ? 100 : 2000);
    Memory memory(0);
    SegmentPool pool(memory);
    std::atomic<std::uint64_t> occupied{0};
    const PolicySettings policy{eviction::Kind::allkeys_lfu};
    std::uint64_t expired = 0;
    std::uint64_t evicted = 0;
    Departures departures;
    Changes changes;
    Table table(pool, memory, hash_key, policy, occupied, changes, 0);
    const auto key = [&](const std::string& name) { return Key{name, siphash13(hash_key, name)}; };
    for (const std::string& name : names) REQUIRE(table.put(key(name), name, {}, {}));
    for (int i = 0; i < 5000; ++i) REQUIRE(table.put(key(std::to_string(i)), "ordinary", {}, {}));
    CHECK(table.audit().consistent);
    for (const std::string& name : names) REQUIRE(table.find(key(name))->value_text() == name);
    for (std::size_t i = 0; i < names.size(); i += 2) REQUIRE(table.remove(key(names[i])));
    for (std::size_t i = 0; i < names.size(); ++i) REQUIRE(table.find(key(names[i])).has_value() == (i % 2 == 1));
    const auto evict = [&] {
      Budget budget;
      return table.evict({1, expired, evicted, departures, 1}, 1, 3, false, budget) != Reclaimed::impossible;
    };
    while (table.size() > 1000 && evict()) {
    }
    CHECK(table.audit().consistent);
  }
}

TEST_CASE("keys that collide under another hash key are like any others", "[one-thread]") {
  const std::vector<std::string> chosen = colliding(random_hash_key(), tag, 20'000);
  Keyspace attacked({.shards = 1});
  Keyspace ordinary({.shards = 1});
  const auto put = [](Keyspace& keyspace, const std::string& name) {
    const Key key = keyspace.key(name);
    Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    return Database(keyspace, 0, 1).put(key, "v");
  };
  for (std::size_t i = 0; i < chosen.size(); ++i) REQUIRE((put(attacked, chosen[i]) && put(ordinary, name_of(i))));
  const auto used = [](Keyspace& keyspace) { return static_cast<double>(keyspace.memory().used(Use::index)); };
  CHECK(used(attacked) < used(ordinary) * 1.2);
  CHECK(attacked.audit().consistent);
}

namespace {

// The share of hits of a skewed load that fills what it misses, while another client does `attack` as often.
double others_hits(eviction::Kind kind, const std::function<void(const std::function<bool(const std::string&)>&)>& attack) {
  constexpr std::uint64_t limit = 1 << 20;
  constexpr int keys = 10'000;
  constexpr int requests = 60'000;
  Keyspace keyspace({.shards = 1, .max_memory = limit, .policy = kind});
  const std::string value(200, 'v');
  const std::function<bool(const std::string&)> read_through = [&](const std::string& name) {
    const Key key = keyspace.key(name);
    keyspace.make_room(value.size() + name.size());
    Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    Database db(keyspace, 0, 1);
    if (db.read(key)) return true;
    std::ignore = db.put(key, value);
    return false;
  };
  std::mt19937_64 random(1);
  int hits = 0;
  for (int i = 0; i < requests; ++i) {
    const double u = static_cast<double>(random() >> 11) * 0x1p-53;
    const bool hit = read_through("k" + std::to_string(static_cast<int>(std::pow(keys, u))));  // 1/n
    hits += hit && i >= requests / 2;
    attack(read_through);
  }
  return hits / (requests / 2.0);
}

}  // namespace

TEST_CASE("admission is not held hostage by a client that asks for keys of its own, however often it comes back", "[one-thread]") {
  const auto nothing = [](const auto&) {};
  std::uint64_t n = 0;
  const auto scan = [&n](const auto& read) { read("scan:" + std::to_string(n++)); };
  const double alone = others_hits(eviction::Kind::allkeys_lfu, nothing);
  const double scanned = others_hits(eviction::Kind::allkeys_lfu, scan);
  const double scanned_lru = others_hits(eviction::Kind::allkeys_lru, scan);
  CAPTURE(alone, scanned, scanned_lru);
  CHECK(scanned > alone - 0.1);
  CHECK(scanned > scanned_lru + 0.03);
  for (const std::uint64_t distance : {2, 500, 3000}) {
    // Each key is asked for twice, the second time so many of its requests later.
    std::uint64_t m = 0;
    const auto twice = [&](const auto& read) {
      read("twice:" + std::to_string(m % 2 == 0 ? m : m - std::min(m, distance + 1)));
      ++m;
    };
    const double left = others_hits(eviction::Kind::allkeys_lfu, twice);
    CAPTURE(distance, left);
    CHECK(left > scanned_lru - 0.03);
    CHECK(left > alone * 0.75);
  }
}
