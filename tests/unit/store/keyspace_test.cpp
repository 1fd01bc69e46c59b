#include "pinfold/store/keyspace.hpp"

#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>

#include <catch2/catch.hpp>

#include "pinfold/store/purges.hpp"
#include "pinfold/store/shard.hpp"
#include "pinfold/store/walk.hpp"

using namespace pinfold;
using namespace pinfold::store;

namespace {

// Runs `action` on a database with the shard of `name` locked, as dispatch does.
template <class Action>
auto with(Keyspace& keyspace, const std::string& name, UnixMs now, Action&& action) {
  const Key key = keyspace.key(name);
  Keyspace::Locks locks(keyspace);
  locks.acquire(key);
  Database db(keyspace, 0, now);
  return action(db, key);
}

bool put(Keyspace& keyspace, const std::string& name, const std::string& text, PutOptions options = {}, UnixMs now = 1) {
  return static_cast<bool>(with(keyspace, name, now, [&](Database& db, const Key& key) { return db.put(key, text, options); }));
}

std::optional<std::string> get(Keyspace& keyspace, const std::string& name, UnixMs now = 1) {
  return with(keyspace, name, now, [&](Database& db, const Key& key) -> std::optional<std::string> {
    const auto value = db.read(key);
    if (!value) return std::nullopt;
    return std::string(value->text);
  });
}

std::string text_of(std::mt19937_64& random, std::size_t size) {
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

// Visits about `count` keys, as one call of SCAN does.
template <class Visit>
std::uint64_t scan(Keyspace& keyspace, std::uint64_t cursor, std::uint64_t count, UnixMs now, Visit&& visit) {
  Keyspace::Locks none(keyspace);
  Names names;
  do {
    cursor = keyspace.scan(0, cursor, count, now, none, names);
    for (std::size_t i = 0; i < names.size(); ++i) visit(names[i]);
  } while (cursor != 0 && count > 0);
  return cursor;
}

}  // namespace

TEST_CASE("a value comes back as it was put, whatever its size") {
  Keyspace keyspace({.shards = 4});
  std::mt19937_64 random(7);
  for (const std::size_t size : {0, 1, 3, 44, 45, 254, 255, 8000, 8192, 8193, 20000, 1 << 20}) {
    const std::string name = "k" + std::to_string(size);
    const std::string text = text_of(random, size);
    REQUIRE(put(keyspace, name, text));
    CHECK(get(keyspace, name) == text);
  }
}

TEST_CASE("a key may have any length") {
  Keyspace keyspace({.shards = 4});
  for (const std::size_t size : {0, 1, 254, 255, 256, 2047, 2048, 2049, 70000}) {
    const std::string name(size, 'k');
    REQUIRE(put(keyspace, name, "v" + std::to_string(size)));
    CHECK(get(keyspace, name) == "v" + std::to_string(size));
    REQUIRE(put(keyspace, name, "again", {.expires_at = 100}));
    CHECK(get(keyspace, name) == "again");
    CHECK_FALSE(get(keyspace, name, 100));
  }
}

TEST_CASE("a random history of writes, deletes, deadlines and compactions equals a plain map, and the accounts add up") {
  const auto seed = static_cast<unsigned>(std::random_device{}());
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  Keyspace keyspace({.shards = 2});
  struct Model {
    std::string text;
    UnixMs expires_at;
  };
  std::map<std::string, Model> model;
  UnixMs now = 1000;
  const auto below = [&](std::uint64_t n) { return random() % n; };
  const auto some_size = [&]() -> std::size_t {
    switch (below(10)) {
      case 0:
        return below(20000);
      case 1:
        return 4000 + below(5000);
      default:
        return below(200);
    }
  };
  for (int i = 0; i < 60000; ++i) {
    const std::string name = "key:" + std::string(below(50) == 0 ? 3000 : 0, 'x') + std::to_string(below(3000));
    const auto found = model.find(name);
    if (found != model.end() && found->second.expires_at != 0 && found->second.expires_at <= now) model.erase(found);
    const bool present = model.count(name) > 0;
    switch (below(8)) {
      case 0:
      case 1:
      case 2: {
        const std::string text = text_of(random, some_size());
        const UnixMs at = below(3) == 0 ? now + static_cast<UnixMs>(below(3000)) + 1 : 0;
        const bool keep = below(4) == 0;
        REQUIRE(put(keyspace, name, text, {.expires_at = at, .keep_expiry = keep}, now));
        model[name] = {text, keep && present ? model[name].expires_at : at};
        break;
      }
      case 3: {
        const bool removed = with(keyspace, name, now, [](Database& db, const Key& key) { return db.remove(key); });
        REQUIRE(removed == present);
        model.erase(name);
        break;
      }
      case 4: {
        const UnixMs at = below(2) == 0 ? 0 : now + 1 + static_cast<UnixMs>(below(5000));
        const bool set = with(keyspace, name, now, [&](Database& db, const Key& key) { return db.peek(key) && db.set_expiry(key, at); });
        REQUIRE(set == present);
        if (present) model[name].expires_at = at;
        break;
      }
      case 5: {
        std::string& text = model[name].text;
        const std::size_t size = text.size() + some_size();
        with(keyspace, name, now, [&](Database& db, const Key& key) {
          db.peek(key);
          const Writing writing = db.resize(key, size);
          char* const bytes = writing.data();
          REQUIRE((bytes != nullptr));
          const std::size_t before = text.size();
          text.resize(size, '\0');
          REQUIRE(std::string_view(bytes, size) == text);
          if (size > before) {
            bytes[before] = 'a';
            text[before] = 'a';
          }
        });
        break;
      }
      default: {
        const auto value = get(keyspace, name, now);
        REQUIRE(value.has_value() == present);
        if (present) REQUIRE(*value == model[name].text);
      }
    }
    if (below(100) == 0) now += static_cast<UnixMs>(below(200));
    if (below(500) == 0) keyspace.background_step(now, 1000);
  }
  now += 501;  // the sweep takes debts of half a second
  while (keyspace.background_step(now, 100000)) {
  }
  std::erase_if(model, [&](const auto& item) { return item.second.expires_at != 0 && item.second.expires_at <= now; });
  Keyspace::Locks none(keyspace);
  for (const auto& [name, value] : model) REQUIRE(get(keyspace, name, now) == value.text);

  std::set<std::string> seen;
  for (std::uint64_t cursor = 0;;) {
    cursor = scan(keyspace, cursor, 10, now, [&](std::string_view key) { seen.emplace(key); });
    if (cursor == 0) break;
    REQUIRE(cursor < (1ULL << 53));
  }
  REQUIRE(seen.size() == model.size());
  keyspace.flush(0, none);
  CHECK(keyspace.size(0, none) == 0);
  while (keyspace.background_step(now, 100000)) {
  }
  CHECK(keyspace.memory().used() == 0);
}

TEST_CASE("memory of log and index comes back after a drop in load, and what is left is found, by scans under way too") {
  Keyspace keyspace({.shards = 2});
  Keyspace::Locks none(keyspace);
  constexpr int most = 200000;
  constexpr int kept_of = 20;
  const auto name = [](int i) { return "key:" + std::to_string(i); };
  const auto tidy = [&] {
    while (keyspace.background_step(1, 100000)) {
    }
  };
  for (int i = 0; i < most; ++i) REQUIRE(put(keyspace, name(i), "value"));
  const std::uint64_t full = keyspace.memory().used();
  const std::uint64_t full_index = keyspace.memory().used(Use::index);
  std::set<std::string> seen;
  const auto note = [&](std::string_view key) { seen.emplace(key); };
  std::uint64_t cursor = 0;
  while (seen.size() < most / 2) cursor = scan(keyspace, cursor, 100, 1, note);
  for (int i = 0; i < most; ++i) {
    if (i % kept_of == 0) continue;
    REQUIRE(with(keyspace, name(i), 1, [](Database& db, const Key& key) { return db.remove(key); }));
  }
  tidy();
  CHECK(keyspace.memory().used() < full / kept_of * 3);
  // A twentieth of the keys is left; groups that shrank in place leave holes in the pages they share. How many depends on the hash key:
  // what is left is a fifth, some pages more or less.
  CHECK(keyspace.memory().used(Use::index) < full_index / 4);
  const KeyspaceAudit recount = keyspace.audit();
  CHECK(recount.consistent);
  CHECK(recount.segments + recount.index == keyspace.memory().used());
  while (cursor != 0) cursor = scan(keyspace, cursor, 100, 1, note);
  for (int i = 0; i < most; i += kept_of) {
    REQUIRE(get(keyspace, name(i)) == "value");
    REQUIRE(seen.count(name(i)) == 1);
  }
  for (int i = 0; i < most; ++i) REQUIRE(put(keyspace, name(i), "again"));
  for (int i = 0; i < most; ++i) REQUIRE(get(keyspace, name(i)) == "again");
  for (int i = 0; i < most; ++i) with(keyspace, name(i), 1, [](Database& db, const Key& key) { return db.remove(key); });
  tidy();
  CHECK(keyspace.memory().used() == 0);
}

TEST_CASE("a scan sees every key that stays, while others come and go and the index grows") {
  Keyspace keyspace({.shards = 2});
  Keyspace::Locks none(keyspace);
  constexpr int lasting = 3000;
  for (int i = 0; i < lasting; ++i) put(keyspace, "stay:" + std::to_string(i), "v");
  std::set<std::string> seen;
  int extra = 0;
  for (std::uint64_t cursor = 0;;) {
    cursor = scan(keyspace, cursor, 25, 1, [&](std::string_view key) { seen.emplace(key); });
    if (cursor == 0) break;
    for (int i = 0; i < 20; ++i) put(keyspace, "new:" + std::to_string(extra++), "v");
    with(keyspace, "new:" + std::to_string(extra - 10), 1, [](Database& db, const Key& key) { return db.remove(key); });
  }
  for (int i = 0; i < lasting; ++i) REQUIRE(seen.count("stay:" + std::to_string(i)) == 1);
}

TEST_CASE("memory stays under the limit and the server keeps what it can", "[one-thread]") {
  constexpr std::uint64_t limit = 16 << 20;
  Keyspace keyspace({.shards = 4, .max_memory = limit});
  std::mt19937_64 random(3);
  for (int i = 0; i < 200000; ++i) {
    const std::string text(random() % 16 == 0 ? random() % 60000 : random() % 300, 'v');
    REQUIRE(keyspace.make_room(text.size() + 100));
    REQUIRE(put(keyspace, "k" + std::to_string(i), text));
    REQUIRE(keyspace.memory().used() <= limit);
  }
  CHECK(keyspace.stats().evicted > 0);
  CHECK(keyspace.memory().used() > limit / 2);
}

TEST_CASE("without eviction a full keyspace has no room") {
  Keyspace keyspace({.shards = 2, .max_memory = 1 << 20, .policy = eviction::Kind::noeviction});
  bool refused = false;
  for (int i = 0; i < 100000 && !refused; ++i) {
    refused = !keyspace.make_room(200);
    if (!refused) put(keyspace, "k" + std::to_string(i), std::string(100, 'v'));
  }
  CHECK(refused);
  CHECK(keyspace.stats().evicted == 0);
}

TEST_CASE("a frequently read key survives a scan of keys that are read once", "[one-thread]") {
  Keyspace keyspace({.shards = 1, .max_memory = 4 << 20});
  for (int i = 0; i < 1000; ++i) put(keyspace, "hot:" + std::to_string(i), std::string(100, 'h'));
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 1000; ++i) get(keyspace, "hot:" + std::to_string(i));
  }
  for (int i = 0; i < 200000; ++i) {
    REQUIRE(keyspace.make_room(200));
    put(keyspace, "cold:" + std::to_string(i), std::string(100, 'c'));
    get(keyspace, "hot:" + std::to_string(i % 1000));
  }
  int left = 0;
  for (int i = 0; i < 1000; ++i) left += get(keyspace, "hot:" + std::to_string(i)).has_value();
  CHECK(left == 1000);
}

TEST_CASE("expired entries give their memory back without being asked for") {
  Keyspace keyspace({.shards = 2});
  for (int i = 0; i < 50000; ++i) put(keyspace, "k" + std::to_string(i), std::string(100, 'v'), {.expires_at = 1000});
  const auto before = keyspace.memory().used(Use::segments);
  while (keyspace.background_step(2000, 100000)) {
  }
  Keyspace::Locks none(keyspace);
  CHECK(keyspace.size(0, none) == 0);
  CHECK(keyspace.memory().used(Use::segments) < before / 10);
  CHECK(keyspace.stats().expired == 50000);
}

namespace {

// Whether `change` is one to whoever watches the key "w".
template <class Change>
bool is_noticed(Keyspace& keyspace, UnixMs now, UnixMs later, Change&& change) {
  const Watch watch = with(keyspace, "w", now, [&](Database&, const Key& key) { return keyspace.watch(0, key, now); });
  change();
  return with(keyspace, "w", later, [&](Database&, const Key& key) {
    const bool changed = keyspace.has_changed(0, key, watch, later);
    keyspace.unwatch(0, key);
    return changed;
  });
}

void swap(Keyspace& keyspace, unsigned a, unsigned b, UnixMs now) {
  Keyspace::Locks locks(keyspace);
  locks.acquire_all();
  keyspace.swap(a, b, now, locks);
}

}  // namespace

TEST_CASE("a watched key changes with a write, a removal, an expiry and a flush, not with a read") {
  Keyspace keyspace({.shards = 2});
  Keyspace::Locks none(keyspace);
  const UnixMs deadline = unix_ms() + 1'000'000;
  const auto watched = [&](auto&& change, UnixMs later = 1) {
    put(keyspace, "w", "1", {.expires_at = deadline});
    return is_noticed(keyspace, 1, later, change);
  };
  CHECK_FALSE(watched([&] { get(keyspace, "w"); }));
  CHECK_FALSE(watched([&] { put(keyspace, "other", "1"); }));
  CHECK(watched([&] { put(keyspace, "w", "2"); }));
  CHECK(watched([&] { with(keyspace, "w", 1, [](Database& db, const Key& key) { return db.remove(key); }); }));
  CHECK(watched([&] { get(keyspace, "w", deadline); }));
  CHECK(watched([] {}, deadline));
  CHECK(watched([&] { keyspace.flush(0, none); }));
  CHECK(watched([&] {
    keyspace.flush(0, none);
    put(keyspace, "w", "1", {.expires_at = deadline});
  }));
  CHECK_FALSE(watched([&] { keyspace.flush(1, none); }));
}

TEST_CASE("a watched key that does not exist changes with SWAPDB if it exists in the other database") {
  Keyspace keyspace({.shards = 2});
  Keyspace::Locks none(keyspace);
  const UnixMs now = unix_ms();
  const auto expire = [&](UnixMs at) {
    while (keyspace.background_step(at, 100'000)) {
    }
  };
  const auto put_there = [&](UnixMs deadline) {
    REQUIRE(with(keyspace, "w", 1, [&](Database&, const Key& key) {
      Database other(keyspace, 1, 1);
      return other.put(key, "1", {.expires_at = deadline});
    }));
  };
  const auto watched = [&](UnixMs later, auto&& change) {
    const bool noticed = is_noticed(keyspace, now, later, change);
    keyspace.flush(0, none);
    keyspace.flush(1, none);
    return noticed;
  };
  const auto exchange = [&] { swap(keyspace, 0, 1, now + 1000); };
  CHECK_FALSE(watched(now, exchange));
  CHECK_FALSE(watched(now, [&] { keyspace.flush(0, none); }));
  for (const bool met : {false, true}) {
    for (const auto& [deadline, there] : {std::pair(UnixMs{0}, true), std::pair(now + 5000, true), std::pair(now + 500, false)}) {
      INFO("met " << met << " deadline " << deadline - now);
      put_there(deadline);
      CHECK(watched(now + 9000, [&] {
              exchange();
              if (met) expire(now + 9000);
            }) == there);
    }
  }
  SECTION("after more than one exchange nobody knows") {
    CHECK(watched(now, [&] {
      exchange();
      exchange();
    }));
    CHECK(watched(now, [&] {
      exchange();
      keyspace.flush(0, none);
    }));
  }
  SECTION("one that was exchanged before is of no account") {
    exchange();
    CHECK_FALSE(watched(now, [&] { keyspace.flush(0, none); }));
    CHECK_FALSE(watched(now, exchange));
  }
}

TEST_CASE("a key that was over when the watch began, and was kept meanwhile, has not changed when it goes") {
  Keyspace keyspace({.shards = 1});
  const UnixMs now = unix_ms();
  put(keyspace, "w", "1", {.expires_at = now - 1000}, now - 2000);
  keyspace.keep_expired(monotonic_ms() + 1'000'000);
  CHECK_FALSE(is_noticed(keyspace, now, now, [&] {
    keyspace.keep_expired({});
    CHECK_FALSE(get(keyspace, "w", now));
  }));
  CHECK(keyspace.stats().expired == 1);
}

TEST_CASE("whoever watches a key is not told when a negative entry or a stale one goes") {
  Keyspace keyspace({.shards = 1});
  Keyspace::Locks none(keyspace);
  const UnixMs now = unix_ms();
  Extra stale;
  stale.stale_ms = 1000;
  const auto watched = [&](const PutOptions& options, auto&& change) {
    put(keyspace, "w", "1", options, now);
    const bool noticed = is_noticed(keyspace, now, now + 2000, change);
    CHECK_FALSE(get(keyspace, "w", now + 2000));
    return noticed;
  };
  const auto expire = [&] {
    while (keyspace.background_step(now + 5000, 100'000)) {
    }
  };
  const auto purge = [&] {
    auto all = std::make_shared<Purge>();
    all->by_prefix = true;
    all->names = {""};
    all->at = now;
    keyspace.purge(0, all, none);
  };
  for (const bool absent : {false, true}) {
    const PutOptions options{.expires_at = absent ? now + 1000 : now - 10, .absent = absent, .extra = absent ? nullptr : &stale};
    CHECK_FALSE(watched(options, [&] { get(keyspace, "w", now + 2000); }));
    CHECK_FALSE(watched(options, expire));
    CHECK_FALSE(watched(options, [&] { keyspace.flush(0, none); }));
    CHECK_FALSE(watched(options, purge));
  }
  CHECK(watched({.expires_at = now + 1000}, expire));
  CHECK(watched({.expires_at = now + 1000}, purge));
}

TEST_CASE("the mean of lifetimes does not overflow") {
  Keyspace keyspace({.shards = 1});
  Keyspace::Locks none(keyspace);
  constexpr UnixMs far = std::numeric_limits<UnixMs>::max();
  for (int i = 0; i < 100; ++i) put(keyspace, std::to_string(i), "1", {.expires_at = far});
  CHECK(keyspace.database_stats(0, 1, none).average_ttl == far - 1);
}

TEST_CASE("counters of a table equal a recount of its log") {
  const HashKey hash_key = random_hash_key();
  Memory memory(0);
  SegmentPool pool(memory);
  std::atomic<std::uint64_t> occupied{0};
  std::uint64_t expired = 0;
  std::uint64_t evicted = 0;
  Departures departures;
  Changes changes;
  std::mt19937_64 random(11);
  {
    const PolicySettings policy{eviction::Kind::allkeys_lfu};
    Table table(pool, memory, hash_key, policy, occupied, changes, 0);
    for (int i = 0; i < 100000; ++i) {
      const std::string name = std::to_string(random() % 5000);
      const Key key{name, siphash13(hash_key, name)};
      const UnixMs at = random() % 2 == 0 ? 0 : static_cast<UnixMs>(i + random() % 1000 + 1);
      if (random() % 4 == 0) {
        table.remove(key);
      } else {
        REQUIRE(table.put(key, std::string(random() % 400, 'v'), {}, {.expires_at = at}));
      }
      const Housekeeping keeping{i, expired, evicted, departures, i};
      Budget budget;
      if (random() % 50 == 0) table.compact(keeping, budget);
      if (random() % 100 == 0) table.expire_some(keeping, budget);
      if (random() % 1000 == 0) table.evict(keeping, 1000, 0, false, budget);
      if (i % 1000 == 0) REQUIRE(table.audit().consistent);
    }
    CHECK(table.audit().entries_in_use == table.size());
    CHECK(occupied.load() == table.occupied());
    CHECK(expired > 0);
    CHECK(evicted > 0);
  }
  CHECK(memory.used() == 0);
}

TEST_CASE("a database that requests fill and empty again and again keeps its table, and gives it back when it stays empty") {
  Keyspace keyspace({.shards = 1});
  const auto fill_and_empty = [&] {
    put(keyspace, "lock", "token");
    with(keyspace, "lock", 1, [](Database& db, const Key& key) { return db.remove(key); });
  };
  fill_and_empty();
  const std::uint64_t one_table = keyspace.memory().used();
  CHECK(one_table > 0);
  for (int i = 0; i < 100; ++i) {
    keyspace.background_step(1, 0);  // no time for more than one look: what it removes here, it cannot free
    fill_and_empty();
    REQUIRE(keyspace.memory().used() == one_table);
  }
  for (int i = 0; i < 3; ++i) {
    while (keyspace.background_step(1, 100'000)) {
    }
  }
  CHECK(keyspace.memory().used() == 0);
}

TEST_CASE("keyspace: a background worker that was taken away is woken no more") {
  struct Worker final : Sleeper {
    int wakes = 0;
    void wake_now() override { ++wakes; }
  };
  Worker worker;
  Keyspace keyspace({});
  keyspace.set_background(&worker);
  keyspace.set_serve_stale(false);
  CHECK(worker.wakes == 1);
  keyspace.set_background(nullptr);
  keyspace.set_serve_stale(false);
  put(keyspace, "large", std::string(1 << 20, 'v'));
  with(keyspace, "large", 1, [](Database& db, const Key& key) { return db.remove(key); });
  CHECK(worker.wakes == 1);
}
