// What the store promises to types of values other than strings, with a type that only tests have (support/toy_type.hpp).
// history_test.cpp has them in random histories, with failing allocations.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/purge_owner.hpp"
#include "support/toy_type.hpp"
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/leftovers.hpp"
#include "pinfold/store/purges.hpp"
#include "pinfold/store/walk.hpp"
#include "pinfold/store/write_rules.hpp"
#include "pinfold/store/wrong_type.hpp"

using namespace pinfold;
using namespace pinfold::store;

namespace {

using Texts = std::vector<std::string>;

class Store {
 public:
  explicit Store(const KeyspaceOptions& options = {.shards = 1}) : keyspace(options) {}
  ~Store() {
    Keyspace::Locks none(keyspace);
    for (unsigned db = 0; db < database_count; ++db) keyspace.flush(db, none);
    work();
    // Whatever a test did: all that there was has been given up, once.
    CHECK(keyspace.memory().used() == 0);
    CHECK(keyspace.memory().heap().loose() == 0);
    CHECK(toy::figures.blocks == 0);
  }

  template <class Action>
  auto with(const std::string& name, Action&& action, unsigned db = 0) {
    const Key key = keyspace.key(name);
    Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    Database database(keyspace, db, now);
    return action(database, key);
  }
  bool put_chain(const std::string& name, const Texts& texts, const PutOptions& how = {}) {
    OwnedHandle made = toy::make(keyspace.memory().heap(), texts);
    return with(name, [&](Database& db, const Key& key) {
      return static_cast<bool>(db.put(key, TypedValue{toy::chained, {}, std::move(made)}, how));
    });
  }
  bool put_packed(const std::string& name, std::string_view bytes, const PutOptions& how = {}) {
    return with(name, [&](Database& db, const Key& key) {
      return static_cast<bool>(db.put(key, TypedValue{toy::packed, bytes, {}}, how));
    });
  }
  bool put_string(const std::string& name, std::string_view text) {
    return with(name, [&](Database& db, const Key& key) { return static_cast<bool>(db.put(key, text)); });
  }
  bool remove(const std::string& name) {
    return with(name, [](Database& db, const Key& key) { return db.remove(key); });
  }
  /// "toy chain: ...", "toy pack: ...", "string: ..." or "none".
  std::string seen(const std::string& name, unsigned db = 0) {
    return with(
        name,
        [](Database& database, const Key& key) -> std::string {
          const auto value = database.find(key, Access::none());
          if (!value) return "none";
          if (value->is_string()) return "string: " + std::string(value->text);
          const ValueType& type = value_type(value->kind.type());
          const std::string text = value->handle() ? toy::text_of(value->handle()) : std::string(value->text);
          return std::string(type.name) + " " + std::string(type.encodings[value->kind.form()]) + ": " + text;
        },
        db);
  }
  void work() {
    while (keyspace.background_step(now, 100'000)) {
    }
  }
  void purge(bool soft) {
    auto purge = std::make_shared<Purge>();
    purge->by_prefix = true;
    purge->names = {"p:"};
    purge->soft = soft;
    purge->at = now;
    purge->owner = purge_owner<60'000>();
    Keyspace::Locks none(keyspace);
    REQUIRE(keyspace.purge(0, purge, none));
  }
  /// The most work in one hold for `cause`, since account() was called.
  work::Counts most(std::string_view cause) {
    for (const auto& [name, account] : keyspace.lock_watch().account.causes()) {
      if (name == cause) return account.most;
    }
    return {};
  }
  void account() { keyspace.lock_watch().set_accounting(true); }
  /// Recounts everything, and compares it with the account.
  bool consistent() {
    while (keyspace.memory().heap().give_back(SIZE_MAX)) {
    }
    const KeyspaceAudit audit = keyspace.audit();
    CHECK(audit.readers == 0);
    CHECK(audit.blobs == keyspace.memory().used(Use::blobs));
    return audit.consistent && audit.segments + audit.index + audit.blobs + audit.ghosts == keyspace.memory().used();
  }

  const toy::Registered registered;
  Keyspace keyspace;
  UnixMs now = unix_ms() + 1'000'000'000;
};

std::string name_of(int n) { return "key:" + std::to_string(n); }

// What value `n` of a test with many holds.
Texts texts_of(int n) { return {"first of " + std::to_string(n), std::string(static_cast<std::size_t>(n % 7) * 200, 'x')}; }
std::string packed_of(int n) { return "packed " + std::to_string(n) + std::string(static_cast<std::size_t>(n % 90), 'p'); }
std::string seen_of(int n) { return n % 2 == 0 ? "toy chain: " + texts_of(n)[0] + texts_of(n)[1] : "toy pack: " + packed_of(n); }

bool put_nth(Store& store, int n, const PutOptions& how = {}) {
  return n % 2 == 0 ? store.put_chain(name_of(n), texts_of(n), how) : store.put_packed(name_of(n), packed_of(n), how);
}

}  // namespace

TEST_CASE("typed: a value of another type is found by whoever asks for any, and by nobody else") {
  Store store;
  REQUIRE(store.put_chain("chain", {"one", "two"}));
  REQUIRE(store.put_packed("pack", "three"));
  REQUIRE(store.put_packed("empty", ""));
  CHECK(store.seen("chain") == "toy chain: onetwo");
  CHECK(store.seen("pack") == "toy pack: three");
  CHECK(store.seen("empty") == "toy pack: ");
  for (const char* name : {"chain", "pack", "empty"}) {
    INFO(name);
    store.with(name, [](Database& db, const Key& key) {
      CHECK_THROWS_AS(db.read(key), WrongType);
      CHECK_THROWS_AS(db.peek(key), WrongType);
      CHECK_THROWS_AS(db.find_any(key, Access::read()), WrongType);
      CHECK_THROWS_AS(db.resize(key, 100), WrongType);
      CHECK(db.has(key));
    });
  }
  CHECK(store.seen("chain") == "toy chain: onetwo");
  CHECK(store.consistent());
}

TEST_CASE("typed: a string that holds the same bytes as a packed value is a string") {
  Store store;
  const std::string bytes(
      "\x3f\x00"
      "abc",
      5);
  REQUIRE(store.put_string("s", bytes));
  CHECK(store.seen("s") == "string: " + bytes);
  CHECK(store.with("s", [](Database& db, const Key& key) { return db.read(key)->text.size(); }) == 5);
}

TEST_CASE("typed: packed bytes that are too many are refused, and the old value stays") {
  Store store;
  REQUIRE(store.put_string("k", "old"));
  CHECK_FALSE(store.put_packed("k", std::string(TypedValue::most_packed + 1, 'p')));
  CHECK(store.seen("k") == "string: old");
  const std::string most(TypedValue::most_packed, 'p');
  CHECK(store.put_packed("k", most));
  CHECK(store.seen("k") == "toy pack: " + most);
}

TEST_CASE("typed: a key keeps the value written last, whatever types it had before") {
  Store store;
  for (const std::string& name : {std::string("k"), std::string(300, 'k'), std::string(5000, 'k')}) {
    for (int i = 0; i < 200; ++i) {
      const std::string text = std::to_string(i) + std::string(static_cast<std::size_t>(i * 37 % 120), 't');
      const PutOptions how{.expires_at = i % 3 == 0 ? store.now + 100'000 : 0, .keep_expiry = i % 5 == 0};
      std::string expected;
      switch (i * 7 % 4) {
        case 0:
          REQUIRE(store.put_chain(name, {text, "end"}, how));
          expected = "toy chain: " + text + "end";
          break;
        case 1:
          REQUIRE(store.put_packed(name, text, how));
          expected = "toy pack: " + text;
          break;
        case 2:
          REQUIRE(store.put_string(name, text));
          expected = "string: " + text;
          break;
        default:
          REQUIRE(store.put_string(name, std::string(20'000, 'b')));
          expected = "string: " + std::string(20'000, 'b');
      }
      REQUIRE(store.seen(name) == expected);
    }
    CHECK(store.consistent());
  }
}

TEST_CASE("typed: a deadline that is set, cleared and reached leaves the value alone until then") {
  Store store;
  REQUIRE(store.put_chain("chain", {"one"}));
  REQUIRE(store.put_packed("pack", "two"));
  for (const char* name : {"chain", "pack"}) {
    for (const UnixMs at : {store.now + 1000, UnixMs{0}, UnixMs{1} << 50, store.now + 5000}) {
      REQUIRE(store.with(name, [&](Database& db, const Key& key) { return db.set_expiry(key, at); }));
    }
  }
  CHECK(store.seen("chain") == "toy chain: one");
  CHECK(store.seen("pack") == "toy pack: two");
  CHECK(store.consistent());
  store.now += 10'000;
  store.work();
  CHECK(store.keyspace.stats().expired == 2);
  CHECK(toy::figures.blocks == 0);
}

TEST_CASE("typed: compaction moves values, and tells those outside of the log") {
  Store store;
  constexpr int count = 8000;
  for (int n = 0; n < count; ++n) REQUIRE(put_nth(store, n));
  for (int n = 0; n < count; ++n) {
    if (n % 5 != 0) REQUIRE(store.remove(name_of(n)));
  }
  const std::uint64_t before = store.keyspace.memory().used(Use::segments);
  store.work();
  CHECK(store.keyspace.memory().used(Use::segments) < before);
  CHECK(toy::figures.moved > 0);
  for (int n = 0; n < count; n += 5) REQUIRE(store.seen(name_of(n)) == seen_of(n));
  CHECK(store.consistent());
}

TEST_CASE("typed: no more values move in one hold than the budget allows") {
  Store store;
  constexpr int count = 16'000;
  // Between blocks of all sizes, so that a new block has to be searched for.
  for (int n = 0; n < count; ++n) REQUIRE(store.put_chain(name_of(n), texts_of(n)));
  for (int n = 0; n < count; ++n) {
    if (n % 4 != 0) REQUIRE(store.remove(name_of(n)));
  }
  for (int n = 0; n < count; n += 2) REQUIRE(store.put_packed("small:" + std::to_string(n), "x"));
  for (int n = 0; n < count; n += 2) REQUIRE(store.remove("small:" + std::to_string(n)));
  store.account();
  store.work();
  CHECK(toy::figures.moved > 500);
  CHECK(store.most("compact").nodes > 0);
  CHECK(store.most("compact").nodes <= 512);
}

TEST_CASE("typed: eviction takes values or carries them to another queue whole") {
  Store store({.shards = 1, .max_memory = 4 << 20});
  constexpr int count = 12'000;
  for (int n = 0; n < count; ++n) {
    REQUIRE(store.keyspace.make_room(4096));
    REQUIRE(put_nth(store, n));
    store.with(name_of(n / 2), [](Database& db, const Key& key) { db.find(key, Access::read().of_any_type()); });
  }
  CHECK(store.keyspace.stats().evicted > 1000);
  CHECK(toy::figures.moved > 0);
  int left = 0;
  for (int n = 0; n < count; ++n) {
    const std::string seen = store.seen(name_of(n));
    if (seen == "none") continue;
    REQUIRE(seen == seen_of(n));
    ++left;
  }
  CHECK(left > 100);
  CHECK(store.consistent());
}

TEST_CASE("typed: a copy shares what lies outside of the log, and outlives what it was copied from") {
  Store store({.shards = 4});
  REQUIRE(store.put_chain("chain", {"one", "two"}));
  REQUIRE(store.put_packed("pack", "three"));
  const int blocks = toy::figures.blocks;
  Keyspace::Locks locks(store.keyspace);
  locks.acquire_all();
  Database from(store.keyspace, 0, store.now);
  Database to(store.keyspace, 1, store.now);
  for (const char* name : {"chain", "pack"}) {
    const Key key = store.keyspace.key(name);
    const std::string copy = std::string(name) + "2";
    const Key other = store.keyspace.key(copy);
    const auto value = from.find(key, Access::none());
    REQUIRE(value);
    REQUIRE(to.put(other, *value, {.expires_at = store.now + 1000}));
    CHECK(from.has(key));
  }
  locks.release();
  CHECK(toy::figures.blocks == blocks);
  CHECK(store.consistent());
  CHECK(store.remove("chain"));
  CHECK(store.remove("pack"));
  CHECK(store.seen("chain2", 1) == "toy chain: onetwo");
  CHECK(store.seen("pack2", 1) == "toy pack: three");
  CHECK(toy::figures.blocks == blocks);
  CHECK(store.consistent());
}

TEST_CASE("typed: a value that is changed where it is keeps the account exact") {
  Store store;
  REQUIRE(store.put_chain("k", {"one"}));
  REQUIRE(store.put_string("s", "text"));
  REQUIRE(store.put_packed("p", "bytes"));
  const auto add = [&](const std::string& name, std::string_view text) {
    return store.with(name, [&](Database& db, const Key& key) {
      return db.change(key, toy::type, [&](OwnedHandle& handle) { return toy::add(toy::chain_of(handle.get().raw()), text); });
    });
  };
  for (int i = 0; i < 50; ++i) REQUIRE(add("k", "more"));
  CHECK(store.consistent());
  store.with("k", [](Database& db, const Key& key) { CHECK(db.find(key, Access::none())->handle().count() == 51); });
  CHECK_THROWS_AS(add("s", "more"), WrongType);
  CHECK_FALSE(add("p", "more"));
  CHECK_FALSE(add("missing", "more"));
}

TEST_CASE("typed: memory of an entry counts what its value keeps outside of the log") {
  Store store;
  REQUIRE(store.put_chain("k", {std::string(50'000, 'x')}));
  const Key key = store.keyspace.key("k");
  Keyspace::Locks locks(store.keyspace);
  locks.acquire(key);
  const auto bytes = store.keyspace.memory_usage(0, key, store.now);
  REQUIRE(bytes);
  CHECK(*bytes > 50'000);
  CHECK(*bytes < 60'000);
}

TEST_CASE("typed: a purge takes values away, or makes them stale") {
  Store store;
  for (int n = 0; n < 1000; ++n) {
    REQUIRE(store.put_chain("p:c" + std::to_string(n), texts_of(n)));
    REQUIRE(store.put_packed("p:p" + std::to_string(n), packed_of(n)));
  }
  REQUIRE(store.put_chain("other", {"stays"}));
  SECTION("gone at once, and their memory after the sweep") {
    store.purge(false);
    CHECK(store.seen("p:c1") == "none");
    CHECK(store.seen("p:p1") == "none");
    store.work();
    CHECK(toy::figures.blocks == 2);
  }
  SECTION("stale, with their values") {
    store.purge(true);
    store.work();
    for (const char* name : {"p:c1", "p:p1"}) {
      CHECK(store.seen(name) == "none");
      store.with(name, [](Database& db, const Key& key) {
        const auto value = db.find_any(key, Access::none());
        REQUIRE(value);
        CHECK_FALSE(value->is_string());
        const std::string text = value->handle() ? toy::text_of(value->handle()) : std::string(value->text);
        CHECK(text == (value->handle() ? texts_of(1)[0] + texts_of(1)[1] : packed_of(1)));
      });
    }
  }
  CHECK(store.seen("other") == "toy chain: stays");
  CHECK(store.consistent());
}

TEST_CASE("typed: a scan for a type finds its keys, and no others") {
  Store store;
  REQUIRE(store.put_chain("chain", {"one"}));
  REQUIRE(store.put_packed("pack", "two"));
  REQUIRE(store.put_string("string", "three"));
  const auto scan = [&](std::optional<Type> only) {
    std::vector<std::string> found;
    Names names;
    std::uint64_t cursor = 0;
    do {
      std::uint64_t left = 100;
      Keyspace::Locks none(store.keyspace);
      cursor = store.keyspace.scan(0, cursor, left, store.now, none, names, only);
      for (std::size_t i = 0; i < names.size(); ++i) found.emplace_back(names[i]);
    } while (cursor != 0);
    std::sort(found.begin(), found.end());
    return found;
  };
  CHECK(scan({}) == std::vector<std::string>{"chain", "pack", "string"});
  CHECK(scan(toy::type) == std::vector<std::string>{"chain", "pack"});
  CHECK(scan(find_value_type("STRING")) == std::vector<std::string>{"string"});
}

TEST_CASE("typed: a large value is freed in steps, and is in the account until the last") {
  Store store;
  const Texts many(5000, "element");
  REQUIRE(store.put_chain("k", many));
  const std::uint64_t used = store.keyspace.memory().used(Use::blobs);
  SECTION("after its key was removed") { REQUIRE(store.remove("k")); }
  SECTION("after it was overwritten") { REQUIRE(store.put_string("k", "text")); }
  SECTION("after it has expired") {
    REQUIRE(store.with("k", [&](Database& db, const Key& key) { return db.set_expiry(key, store.now + 1); }));
    store.now += 1000;
    CHECK(store.seen("k") == "none");
  }
  SECTION("after its database was emptied") {
    Keyspace::Locks none(store.keyspace);
    store.keyspace.flush(0, none);
    store.keyspace.background_step(store.now, 0);
  }
  CHECK(toy::figures.blocks > 4000);
  CHECK(store.keyspace.memory().used(Use::blobs) + (1 << 20) > used);
  CHECK(store.consistent());
  store.work();
  CHECK(toy::figures.unfinished >= 5000 / static_cast<int>(Budget::most_entries));
  CHECK(toy::figures.blocks == 0);
}

TEST_CASE("typed: what a hold of the store's own frees of the values that it gives up is in its budget") {
  Store store;
  constexpr int count = 1500;
  // Each of them is freed at once if the budget allows.
  for (int n = 0; n < count; ++n) {
    REQUIRE(store.put_chain("p:" + std::to_string(n), Texts(12, "element"), {.expires_at = store.now + 1000}));
  }
  store.account();
  std::string_view cause = "expire";
  SECTION("when they expire") { store.now += 10'000; }
  SECTION("when they are purged") {
    store.purge(false);
    cause = "sweep-purges";
  }
  SECTION("when they are evicted") {
    store.keyspace.set_max_memory(store.keyspace.memory().data() / 2);
    cause = "lower-memory";
  }
  store.work();
  CHECK(store.most(cause).entries > 256);
  CHECK(store.most(cause).entries <= Budget::most_entries);
}

TEST_CASE("leftovers: what is freed at once is as much as the budget of the hold allows, and is in it") {
  const toy::Registered registered;
  Memory memory(0);
  Leftovers& leftovers = memory.leftovers();
  Budget budget;
  const auto give_up = [&] {
    const std::uint64_t left = budget.entries_left();
    leftovers.give_up(toy::make(memory.heap(), Texts(10, "element")).detach(), budget);
    return left - budget.entries_left();
  };
  CHECK(give_up() == 10);
  CHECK(leftovers.empty());
  budget.take(budget.entries_left() - 4, 0);
  CHECK(give_up() == 4);
  CHECK(give_up() == 0);
  CHECK(leftovers.last() == 2);
  CHECK(toy::figures.blocks == 1 + 6 + 1 + 10);
  while (!leftovers.empty()) {
    Budget next;
    leftovers.free_some(next);
  }
  CHECK(toy::figures.blocks == 0);
}

TEST_CASE("typed: a large value that is refused, or replaced where it lies, is freed in steps") {
  struct Refusing final : WriteRules {
    bool on_write(const Key&, std::size_t, UnixMs, UnixMs&, Extra&) const override { return false; }
    Deadline on_expiry(const Key&, UnixMs, UnixMs at) const override { return {at}; }
  };
  const Refusing rules;
  Store store;
  REQUIRE(store.put_chain("k", {"one", "two"}));
  const int before = toy::figures.blocks;
  OwnedHandle made = toy::make(store.keyspace.memory().heap(), Texts(5000, "element"));
  const Key key = store.keyspace.key("k");
  {
    Keyspace::Locks locks(store.keyspace);
    locks.acquire(key);
    const work::Counting counting;
    SECTION("refused by rules") {
      Database db(store.keyspace, 0, store.now, true, {.rules = &rules});
      CHECK((db.put(key, TypedValue{toy::chained, {}, std::move(made)}) == Stored::too_large));
    }
    SECTION("replaced") {
      Database db(store.keyspace, 0, store.now);
      REQUIRE(db.put(key, TypedValue{toy::chained, {}, std::move(made)}));
      const auto replace = [&](OwnedHandle& handle) {
        handle = toy::make(store.keyspace.memory().heap(), {"one", "two"});
        return true;
      };
      REQUIRE(db.change(key, toy::type, replace));
    }
    CHECK(counting.counts().entries < 50);
  }
  CHECK(toy::figures.blocks > 4000);
  CHECK(store.seen("k") == "toy chain: onetwo");
  CHECK(store.consistent());
  store.work();
  CHECK(toy::figures.blocks == before);
}

TEST_CASE("typed: making room frees what was given up before it evicts") {
  Store store({.shards = 1, .max_memory = 8 << 20});
  REQUIRE(store.keyspace.make_room(6 << 20));
  REQUIRE(store.put_chain("large", Texts(9000, "element")));
  REQUIRE(store.put_string("small", "stays"));
  REQUIRE(store.remove("large"));
  CHECK(store.keyspace.make_room(5 << 20));
  CHECK(store.keyspace.stats().evicted == 0);
  CHECK(store.seen("small") == "string: stays");
}

TEST_CASE("leftovers: values are freed in the order in which they came, one piece at a time") {
  const toy::Registered registered;
  Memory memory(0);
  Leftovers& leftovers = memory.leftovers();
  const Texts many(1200, "element");
  CHECK(leftovers.empty());
  leftovers.give_up(toy::make(memory.heap(), many).detach());
  const std::uint64_t first = leftovers.last();
  leftovers.give_up(toy::make(memory.heap(), many).detach());
  leftovers.give_up(toy::make(memory.heap(), {"small"}).detach());  // gone at once
  const std::uint64_t second = leftovers.last();
  CHECK(second == first + 1);
  int handles = 0;
  leftovers.for_each([&](Handle) { ++handles; });
  CHECK(handles == 2);
  const auto steps_until = [&](std::uint64_t number) {
    int steps = 0;
    for (; !leftovers.freed(number); ++steps) {
      Budget budget;
      REQUIRE(leftovers.free_some(budget));
    }
    return steps;
  };
  CHECK(steps_until(first) == 3);
  CHECK_FALSE(leftovers.freed(second));
  CHECK(steps_until(second) == 3);
  Budget budget;
  CHECK_FALSE(leftovers.free_some(budget));
  CHECK(leftovers.empty());
  CHECK(toy::figures.blocks == 0);
}

namespace {

// The sanitizers' own mappings are terabytes, and their allocators keep what was freed: there the process's memory is not searched.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool can_search = false;
#else
constexpr bool can_search = true;
#endif

// Looks for bytes in all memory of the process. It keeps them as their complement, so that it does not find its own.
class Search {
 public:
  static constexpr std::size_t size = 24;
  explicit Search(int seed) {
    for (std::size_t i = 0; i < size; ++i) inverted_[i] = static_cast<char>(~((seed * 31 + static_cast<int>(i) * 17 + 5) % 90 + 33));
  }
  /// Writes them where they are to be.
  void write(char* to) const {
    for (std::size_t i = 0; i < size; ++i) to[i] = byte(i);
  }
  bool found_in(const char* bytes, std::size_t length) const {
    const char* const end = bytes + length;
    for (const char* at = bytes; at < end; ++at) {
      at = static_cast<const char*>(std::memchr(at, byte(0), static_cast<std::size_t>(end - at)));
      if (at == nullptr || static_cast<std::size_t>(end - at) < size) return false;
      std::size_t same = 1;
      while (same < size && at[same] == byte(same)) ++same;
      if (same == size) return true;
    }
    return false;
  }
  /// In the mappings that are nobody's file: heaps, segments, blocks.
  bool found_anywhere() const {
    struct Mapping {
      unsigned long from;
      unsigned long to;
    };
    std::vector<Mapping> mappings;
    std::FILE* const maps = std::fopen("/proc/self/maps", "r");
    REQUIRE(maps != nullptr);
    char line[512];
    while (std::fgets(line, sizeof line, maps) != nullptr) {
      Mapping mapping{};
      char access[8] = {};
      unsigned long inode = 0;
      char name[256] = {};
      if (std::sscanf(line, "%lx-%lx %7s %*s %*s %lu %255s", &mapping.from, &mapping.to, access, &inode, name) < 4) continue;
      if (std::strncmp(access, "rw", 2) == 0 && inode == 0 && std::strcmp(name, "[stack]") != 0) mappings.push_back(mapping);
    }
    std::fclose(maps);
    const int memory = ::open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    REQUIRE(memory >= 0);
    bool found = false;
    for (const Mapping& mapping : mappings) found |= found_in_mapping(memory, mapping.from, mapping.to);
    ::close(memory);
    return found;
  }

 private:
  char byte(std::size_t i) const { return static_cast<char>(~inverted_[i]); }
  // Pages that were never written to read as zeros, and are not made by it.
  bool found_in_mapping(int memory, unsigned long from, unsigned long to) const {
    static char piece[1 << 16];
    bool found = false;
    for (unsigned long at = from; at < to && !found; at += sizeof piece - size) {
      const ssize_t got = ::pread(memory, piece, std::min<unsigned long>(sizeof piece, to - at), static_cast<off_t>(at));
      if (got <= 0) break;
      found = found_in(piece, static_cast<std::size_t>(got));
    }
    std::memset(piece, 0, sizeof piece);
    return found;
  }

  char inverted_[size];
};

}  // namespace

TEST_CASE("typed: after an erasure the bytes of values that are gone are nowhere in memory") {
  if (!can_search) return;
  Store store;
  const Search chain(1);
  const Search pack(2);
  const Search kept(3);
  const auto secret = [](const Search& search) {
    std::string text(Search::size, '\0');
    search.write(text.data());
    return text;
  };
  const auto wipe = [](std::string& text) { std::memset(text.data(), 0, text.size()); };
  {
    std::string text = secret(chain);
    // Beside others: segments and pages stay.
    for (int n = 0; n < 50; ++n) REQUIRE(put_nth(store, n));
    const std::size_t before = 3000;  // more than one step of an erasure frees
    Texts many(before, text);
    REQUIRE(store.put_chain("chain", many));
    REQUIRE(store.put_chain("overwritten", {text, text}));
    for (std::string& one : many) wipe(one);
    wipe(text);
    text = secret(pack);
    REQUIRE(store.put_packed("pack", text));
    REQUIRE(store.put_packed("overwritten too", text));
    wipe(text);
    text = secret(kept);
    REQUIRE(store.put_chain("kept", {text}));
    wipe(text);
  }
  REQUIRE(chain.found_anywhere());
  REQUIRE(pack.found_anywhere());
  REQUIRE(store.remove("chain"));
  REQUIRE(store.remove("pack"));
  REQUIRE(store.put_packed("overwritten", "1"));
  REQUIRE(store.put_string("overwritten too", "2"));
  const std::uint64_t erasure = store.keyspace.erase();
  store.work();
  REQUIRE(store.keyspace.erased(erasure));
  CHECK_FALSE(chain.found_anywhere());
  CHECK_FALSE(pack.found_anywhere());
  CHECK(kept.found_anywhere());
  CHECK(store.consistent());
}

TEST_CASE("typed: an erasure waits for what flushed tables leave to be freed later") {
  if (!can_search) return;
  Store store;
  const Search search(5);
  {
    std::string text(Search::size, '\0');
    search.write(text.data());
    Texts many(3000, text);  // more than one step frees
    REQUIRE(store.put_chain("k", many));
    for (std::string& one : many) std::memset(one.data(), 0, one.size());
    std::memset(text.data(), 0, text.size());
  }
  REQUIRE(search.found_anywhere());
  {
    Keyspace::Locks locks(store.keyspace);
    store.keyspace.flush(0, locks);
  }
  const std::uint64_t erasure = store.keyspace.erase();
  constexpr std::int64_t slice_us = 200;  // a few steps at a time
  while (!store.keyspace.erased(erasure)) store.keyspace.background_step(store.now, slice_us);
  CHECK_FALSE(search.found_anywhere());
}

TEST_CASE("typed: a change that throws leaves the value in its entry, and the account as it was") {
  Store store;
  REQUIRE(store.put_chain("k", {"one", "two"}));
  CHECK_THROWS_AS(
      store.with("k", [](Database& db,
                         const Key& key) { return db.change(key, toy::type, [](OwnedHandle&) -> bool { throw std::bad_alloc(); }); }),
      std::bad_alloc);
  CHECK(store.seen("k") == "toy chain: onetwo");
  CHECK(store.consistent());
}

namespace {

// A value of which much is to be overwritten: as if older, longer elements had lain where its own lie.
void put_over_older(Store& store, const std::string& name, int elements, const Search& older) {
  REQUIRE(store.put_chain(name, Texts(static_cast<std::size_t>(elements), "element")));
  store.with(name, [&](Database& db, const Key& key) {
    toy::Chain& chain = toy::chain_of(db.find(key, Access::none())->handle().raw());
    for (toy::Node* node = chain.first; node != nullptr; node = node->next) older.write(node->bytes() + 100);
  });
}

}  // namespace

TEST_CASE("typed: a hold that moves large values during an erasure overwrites no more than its budget allows") {
  Store store;
  const Search older(6);
  constexpr int large = 20;
  constexpr int beside = 200;  // small entries between each two large values, which are removed
  for (int n = 0; n < large; ++n) {
    put_over_older(store, "large:" + std::to_string(n), 700, older);
    REQUIRE(store.put_string("roomy:" + std::to_string(n), std::string(400'000, 'r')));
    // Grows within a larger block.
    store.with("roomy:" + std::to_string(n), [](Database& db, const Key& key) { REQUIRE(db.resize(key, 500'000)); });
    for (int i = 0; i < beside; ++i) REQUIRE(store.put_string("small:" + std::to_string(n * beside + i), std::string(100, 's')));
  }
  store.work();
  for (int i = 0; i < large * beside; ++i) REQUIRE(store.remove("small:" + std::to_string(i)));
  toy::figures.moved = 0;
  store.account();
  store.keyspace.memory().set_erasing(1);
  store.work();
  store.keyspace.memory().set_erasing(0);
  CHECK(toy::figures.moved > large / 4);
  CHECK(store.most("compact").entries > 256);
  CHECK(store.most("compact").entries <= 512);
  CHECK(store.most("compact").bytes <= 256 * 1024);
  CHECK(store.consistent());
}

TEST_CASE(
    "typed: a request that stores a large value during an erasure overwrites a piece of it, and the erasure comes back for the rest") {
  Store store;
  const Search older(7);
  for (int n = 0; n < 3000; ++n) REQUIRE(put_nth(store, n));
  put_over_older(store, "k", 5000, older);
  if (can_search) REQUIRE(older.found_anywhere());
  const std::uint64_t erasure = store.keyspace.erase();
  unsigned db = 0;
  int steps = 0;
  std::function<void()> store_it;
  SECTION("written anew for its deadline") {
    store_it = [&] {
      const UnixMs at = steps % 2 == 0 ? store.now + 1'000'000 : 0;
      REQUIRE(store.with("k", [&](Database& in, const Key& key) { return in.set_expiry(key, at); }));
    };
  }
  SECTION("moved to another database, which may be new") {
    store_it = [&] {
      const auto move = [&](Database& from, const Key& key) {
        Database to(store.keyspace, 1 - db, store.now);
        REQUIRE(to.put(key, *from.find(key, Access::none()), {}));
        REQUIRE(from.remove(key));
      };
      store.with("k", move, db);
      db = 1 - db;
    };
  }
  SECTION("changed where it lies") {
    store_it = [&] {
      store.with("k", [](Database& in, const Key& key) { REQUIRE(in.change(key, toy::type, [](OwnedHandle&) { return true; })); });
    };
  }
  std::uint64_t most = 0;
  for (; !store.keyspace.erased(erasure); ++steps) {
    REQUIRE(steps < 10'000);
    store.keyspace.background_step(store.now, 200);
    const work::Counting counting;
    store_it();
    most = std::max(most, counting.counts().entries);
  }
  CHECK(steps > 5);
  CHECK(most <= Budget::most_entries + 20);
  if (can_search) CHECK_FALSE(older.found_anywhere());
  CHECK(store.seen("k", db).size() == std::string("toy chain: ").size() + 5000 * std::string("element").size());
  CHECK(store.consistent());
}

TEST_CASE("typed: an erasure overwrites what is left within a large value in steps") {
  if (!can_search) return;
  Store store;
  const Search search(4);
  REQUIRE(store.put_chain("k", Texts(2000, "element")));
  // As if an older, longer element had lain there.
  store.with("k", [&](Database& db, const Key& key) {
    toy::Chain& chain = toy::chain_of(db.find(key, Access::none())->handle().raw());
    for (toy::Node* node = chain.first; node != nullptr; node = node->next) search.write(node->bytes() + 100);
  });
  REQUIRE(search.found_anywhere());
  const std::uint64_t erasure = store.keyspace.erase();
  store.work();
  REQUIRE(store.keyspace.erased(erasure));
  CHECK_FALSE(search.found_anywhere());
  std::string expected = "toy chain: ";
  for (int i = 0; i < 2000; ++i) expected += "element";
  CHECK(store.seen("k") == expected);
}
