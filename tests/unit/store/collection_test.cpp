// Large collections as values of a keyspace: they are stored, changed, copied, evicted, purged and erased like all others.

#include "pinfold/store/collection.hpp"

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "support/purge_owner.hpp"
#include "support/seed.hpp"

#include <catch2/catch.hpp>

#include "pinfold/store/database.hpp"
#include "pinfold/store/kept_tree.hpp"
#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/leftovers.hpp"
#include "pinfold/store/purges.hpp"

using namespace pinfold;
using namespace pinfold::store;

namespace {

void require(bool holds, const char* what) {
  if (!holds) FAIL(what);
}

constexpr Type collections[] = {Type::list, Type::set, Type::zset, Type::hash};

// Adds an element that `text` makes. Returns false if there is no memory.
bool add(Collection& collection, const std::string& text) {
  PackedElement element(text);
  if (!element.provide_block(collection.heap())) return false;
  const std::uint64_t hash = element.hash();
  const auto score = static_cast<double>(hash % 1000);
  const auto insert = [&](const Tree::Path& path, std::string_view item) {
    if (!collection.items.insert(path, item)) return false;
    element.keep_block();
    return true;
  };
  std::string item(element.packed());
  switch (collection.type()) {
    case Type::set:
      return insert(collection.items.find(element, hash), item);
    case Type::hash:
      return insert(collection.items.find(element, hash), item.append(PackedElement("value of " + text.substr(0, 20)).packed()));
    case Type::zset:
      item.insert(0, reinterpret_cast<const char*>(&score), sizeof score);
      return collection.index.insert_score(hash, score) && insert(collection.items.find(score, text), item);
    default:
      return insert(collection.items.at(collection.size()), item);
  }
}

bool remove(Collection& collection, const std::string& text) {
  const PackedElement element(text);
  const std::uint64_t hash = element.hash();
  const auto score = static_cast<double>(hash % 1000);
  switch (collection.type()) {
    case Type::zset:
      return collection.index.erase_score(hash, score) && collection.items.erase(collection.items.find(score, text));
    case Type::list:
      return collection.items.erase(collection.items.at(0));
    default:
      return collection.items.erase(collection.items.find(element, hash));
  }
}

std::string text_of(int n) {
  return "element " + std::to_string(n) + std::string(n % 9 == 0 ? 600 : static_cast<std::size_t>(n % 40), 'e');
}

OwnedHandle made(BlockHeap& heap, Type type, int count) {
  Collection* const collection = Collection::make(heap, type);
  require(collection != nullptr, "memory");
  OwnedHandle handle = Collection::own(type, collection);
  for (int n = 0; n < count; ++n) require(add(*collection, text_of(n)), "memory");
  return handle;
}

class Store {
 public:
  explicit Store(const KeyspaceOptions& options = {.shards = 1}) : keyspace(options) {}
  ~Store() {
    {
      Keyspace::Locks none(keyspace);
      for (unsigned db = 0; db < database_count; ++db) keyspace.flush(db, none);
    }
    work();
    CHECK(keyspace.memory().used() == 0);
    CHECK(keyspace.memory().heap().loose() == 0);
    CHECK(keyspace.memory().heap().unstored_trees() == 0);
  }
  template <class Action>
  auto with(const std::string& name, Action&& action, unsigned db = 0) {
    const Key key = keyspace.key(name);
    Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    Database database(keyspace, db, now);
    return action(database, key);
  }
  bool put(const std::string& name, Type type, int count) {
    TypedValue value{.kind = kind_of(type, Form::tree_large), .outside = made(keyspace.memory().heap(), type, count)};
    return with(name, [&](Database& db, const Key& key) { return static_cast<bool>(db.put(key, std::move(value))); });
  }
  bool change(const std::string& name, Type type, const std::function<bool(Collection&)>& alter) {
    return with(name, [&](Database& db, const Key& key) {
      return db.change(key, type, [&](OwnedHandle& handle) {
        const Collection& shared = Collection::of(handle.get());
        if (!shared.unique()) {
          Collection* const mine = shared.clone();
          if (shared.stored()) mine->count_beside(shared);
          handle = Collection::own(type, mine);
        }
        return alter(Collection::of(handle.get()));
      });
    });
  }
  OwnedHandle pin(const std::string& name) {
    return with(name, [this](Database& db, const Key& key) {
      return Collection::of(db.find(key, Access::none().of_any_type())->handle()).pin(keyspace.memory().leftovers());
    });
  }
  void copy(const std::string& from, const std::string& to) {
    Keyspace::Locks locks(keyspace);
    locks.acquire_all();
    Database db(keyspace, 0, now);
    const Key source = keyspace.key(from);
    const Key target = keyspace.key(to);
    require(static_cast<bool>(db.put(target, *db.find(source, Access::none().of_any_type()), {})), "a copy");
  }
  std::uint64_t size(const std::string& name) {
    return with(name, [](Database& db, const Key& key) -> std::uint64_t {
      const auto value = db.find(key, Access::none().of_any_type());
      return value ? value->handle().count() : 0;
    });
  }
  void work() {
    while (keyspace.background_step(now, 100'000)) {
    }
  }
  void erase() {
    const std::uint64_t erasure = keyspace.erase();
    work();
    REQUIRE(keyspace.erased(erasure));
  }
  // `pinned`: readers keep what is in no entry, which the recount does not see.
  bool consistent(bool pinned = false) {
    while (keyspace.memory().heap().give_back(SIZE_MAX)) {
    }
    const KeyspaceAudit audit = keyspace.audit();
    const std::uint64_t used = keyspace.memory().used(Use::blobs);
    CHECK((pinned ? audit.blobs <= used : audit.blobs == used));
    return audit.consistent;
  }

  Keyspace keyspace;
  UnixMs now = unix_ms() + 1'000'000'000;
};

}  // namespace

TEST_CASE("collection: types and their forms have the names that clients know") {
  const auto names = [](Type type) {
    std::string all(value_type(type).name);
    for (unsigned form = 0; form < most_forms; ++form) {
      const std::string_view name = value_type(type).encodings[form];
      all += " " + (name.empty() ? "-" : std::string(name));
    }
    return all;
  };
  CHECK(names(Type::list) == "list listpack quicklist - quicklist listpack - - -");
  CHECK(names(Type::set) == "set listpack hashtable intset hashtable listpack intset - -");
  CHECK(names(Type::zset) == "zset listpack skiplist - skiplist listpack - - -");
  CHECK(names(Type::hash) == "hash listpack hashtable - hashtable listpack - - -");
}

TEST_CASE("collection: a value is changed where it lies, and the account stays exact") {
  Store store;
  for (const Type type : collections) {
    const std::string name(value_type(type).name);
    REQUIRE(store.put(name, type, 500));
    CHECK(store.size(name) == 500);
    REQUIRE(store.change(name, type, [](Collection& collection) {
      for (int n = 500; n < 3000; ++n) require(add(collection, text_of(n)), "memory");
      for (int n = 0; n < 700; ++n) require(remove(collection, text_of(n)), "an element");
      return true;
    }));
    CHECK(store.size(name) == 2300);
    CHECK(store.consistent());
  }
}

TEST_CASE("collection: a copy is one more reference, and whoever writes first gets nodes of its own") {
  Store store({.shards = 4});
  for (const Type type : collections) {
    const std::string name(value_type(type).name);
    REQUIRE(store.put(name, type, 3000));
    store.copy(name, name + " 2");
    CHECK(store.consistent());
    const std::uint64_t before = store.keyspace.memory().used(Use::blobs);
    REQUIRE(store.change(name, type, [](Collection& collection) { return remove(collection, text_of(0)); }));
    CHECK(store.keyspace.memory().used(Use::blobs) < before + 24 * 1024);
    CHECK(store.size(name) == 2999);
    CHECK(store.size(name + " 2") == 3000);
    CHECK(store.consistent());
    REQUIRE(store.with(name + " 2", [](Database& db, const Key& key) { return db.remove(key); }));
    store.work();
    CHECK(store.consistent());
    CHECK(store.size(name) == 2999);
  }
}

TEST_CASE("collection: a reader keeps what it has pinned while the value changes, and that is not stored then") {
  Store store;
  BlockHeap& heap = store.keyspace.memory().heap();
  for (const Type type : collections) {
    REQUIRE(store.put("k", type, 2000));
    OwnedHandle pinned = store.pin("k");
    CHECK(heap.unstored_trees() == 0);
    CHECK(loose_memory_of_pin(pinned) == 0);
    CHECK(store.consistent());
    REQUIRE(store.change("k", type, [](Collection& collection) {
      for (int n = 0; n < 1000; ++n) require(remove(collection, text_of(n)), "an element");
      return true;
    }));
    // Of a changed list, or a set in the order of its members, the other half is still shared.
    CHECK(heap.unstored_trees() > 0);
    CHECK(heap.unstored_trees() <= static_cast<std::int64_t>(memory_of_pin(pinned)));
    CHECK(loose_memory_of_pin(pinned) == pinned.get().memory());
    CHECK(store.consistent(true));
    CHECK(Collection::of(pinned.get()).items.audit().items == 2000);
    REQUIRE(store.with("k", [](Database& db, const Key& key) { return db.remove(key); }));
    store.work();
    const Collection& collection = Collection::of(pinned.get());
    CHECK(collection.items.audit().consistent);
    CHECK(heap.unstored_trees() ==
          static_cast<std::int64_t>(collection.items.memory() + collection.index.memory() + collection.debt.memory()));
    pinned = {};
    store.work();
    CHECK(heap.unstored_trees() == 0);
  }
}

TEST_CASE("collection: copies that share their nodes do not hide what only a reader keeps") {
  Store store;
  BlockHeap& heap = store.keyspace.memory().heap();
  for (const Type type : collections) {
    REQUIRE(store.put("k", type, 2000));
    REQUIRE(store.put("other", type, 2000));
    for (int n = 0; n < 10; ++n) {
      const std::string copy = "copy " + std::to_string(n);
      store.copy("other", copy);
      REQUIRE(store.change(copy, type, [n](Collection& collection) { return remove(collection, text_of(n)); }));
    }
    const OwnedHandle pinned = store.pin("k");
    const std::int64_t before = heap.unstored_trees();
    CHECK(before >= 0);
    REQUIRE(store.with("k", [](Database& db, const Key& key) { return db.remove(key); }));
    const Collection& kept = Collection::of(pinned.get());
    CHECK(heap.unstored_trees() - before == static_cast<std::int64_t>(kept.items.memory() + kept.index.memory() + kept.debt.memory()));
    for (int n = 0; n < 10; ++n) {
      REQUIRE(store.with("copy " + std::to_string(n), [](Database& db, const Key& key) { return db.remove(key); }));
    }
    REQUIRE(store.with("other", [](Database& db, const Key& key) { return db.remove(key); }));
    store.work();
  }
}

TEST_CASE("collection: a large one is freed in steps") {
  Store store;
  for (const Type type : collections) {
    REQUIRE(store.put("k", type, 20'000));
    const work::Counting counting;
    REQUIRE(store.with("k", [](Database& db, const Key& key) { return db.remove(key); }));
    CHECK(counting.counts().entries < 300);
    CHECK(store.keyspace.memory().used(Use::blobs) > 500'000);
    Budget budget;
    CHECK(store.keyspace.memory().leftovers().free_some(budget));
    CHECK_FALSE(store.keyspace.memory().leftovers().empty());
    CHECK(store.consistent());
    store.work();
    CHECK(store.keyspace.memory().used(Use::blobs) == 0);
  }
}

TEST_CASE("collection: what a reader had to itself is freed in steps when the reader is gone") {
  Store store;
  Memory& memory = store.keyspace.memory();
  for (const bool of_tree : {false, true}) {
    for (const Type type : collections) {
      REQUIRE(store.put("k", type, 20'000));
      OwnedHandle pinned = store.pin("k");
      std::optional<KeptTree> kept;
      if (of_tree) {
        kept.emplace(memory, Collection::of(pinned.get()).items.share());
        pinned = {};
      }
      REQUIRE(store.with("k", [](Database& db, const Key& key) { return db.remove(key); }));
      store.work();
      const std::uint64_t used = memory.used(Use::blobs);
      const work::Counting counting;
      pinned = {};
      kept.reset();
      CHECK(counting.counts().entries < 300);
      CHECK(counting.counts().nodes < 64);
      CHECK(memory.used(Use::blobs) + 64 * 1024 > used);
      CHECK_FALSE(memory.leftovers().empty());
      store.work();
      CHECK(memory.used(Use::blobs) == 0);
    }
  }
}

TEST_CASE("collection: eviction, FLUSHDB and a purge take whole values") {
  Store store({.shards = 2, .max_memory = 8 << 20});
  for (int n = 0; n < 600; ++n) {
    REQUIRE(store.keyspace.make_room(64 * 1024));
    REQUIRE(store.put((n % 2 == 0 ? "p:" : "q:") + std::to_string(n), collections[n % 4], 300));
  }
  CHECK(store.keyspace.stats().evicted > 100);
  CHECK(store.consistent());
  auto purge = std::make_shared<Purge>();
  purge->by_prefix = true;
  purge->names = {"p:"};
  purge->at = store.now;
  purge->owner = purge_owner<60'000>();
  {
    Keyspace::Locks none(store.keyspace);
    REQUIRE(store.keyspace.purge(0, purge, none));
  }
  store.work();
  CHECK(store.consistent());
}

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool can_search = false;
#else
constexpr bool can_search = true;
#endif

// The start of a heap, where its blocks lie, in use or free.
class Start {
 public:
  explicit Start(BlockHeap& heap) : first_(heap.allocate(BlockHeap::unit)) { heap.free(first_, BlockHeap::unit); }
  bool has(std::string_view bytes) const {
    constexpr std::size_t length = 8 << 20;
    return std::string_view(first_, length).find(bytes) != std::string_view::npos;
  }

 private:
  char* const first_;
};

}  // namespace

TEST_CASE("collection: after an erasure the bytes of removed elements are nowhere in its heap") {
  if (!can_search) return;
  const Type type = GENERATE(Type::list, Type::set, Type::zset, Type::hash);
  Store store;
  const Start start(store.keyspace.memory().heap());
  const std::string secret = "secret of";  // longer than what a key in a node has of it
  const auto name_of = [&](int n) { return "this is a " + secret + std::to_string(n) + std::string(n % 5 == 0 ? 700 : 30, 's'); };
  REQUIRE(store.put("k", type, 2000));
  REQUIRE(store.change("k", type, [&](Collection& collection) {
    for (int n = 0; n < 1000; ++n) require(add(collection, name_of(n)), "memory");
    return true;
  }));
  REQUIRE(start.has(secret));
  const auto remove_secrets = [&](Collection& collection) {
    if (type == Type::list) {
      while (collection.size() > 2000) require(collection.items.erase(collection.items.at(2000)), "an element");
      return true;
    }
    for (int n = 0; n < 1000; ++n) require(remove(collection, name_of(n)), "an element");
    return true;
  };
  SECTION("removed before it") {
    REQUIRE(store.change("k", type, remove_secrets));
    store.erase();
  }
  SECTION("removed while it is under way") {
    const std::uint64_t erasure = store.keyspace.erase();
    store.keyspace.background_step(store.now, 1);
    REQUIRE(store.change("k", type, remove_secrets));
    store.work();
    REQUIRE(store.keyspace.erased(erasure));
  }
  SECTION("removed while a reader keeps the collection as it was") {
    OwnedHandle pinned = store.pin("k");
    REQUIRE(store.change("k", type, remove_secrets));
    CHECK(start.has(secret));
    pinned = {};
    store.erase();
  }
  SECTION("cut out") {
    if (type != Type::list && type != Type::zset) return;
    REQUIRE(store.change("k", type, [&](Collection& collection) {
      std::uint64_t from = 0;
      for (std::uint64_t at = 0; at < collection.size(); at = from) {
        // Runs of secrets, one after the other.
        const auto is_secret = [&](std::uint64_t position) {
          const char* const item = collection.items.at(position).item();
          Element::Digits digits;
          return (type == Type::zset ? ScoredItem(item).member() : Element(item)).text(digits).find(secret) != std::string_view::npos;
        };
        while (from < collection.size() && !is_secret(from)) ++from;
        std::uint64_t to = from;
        while (to < collection.size() && is_secret(to)) ++to;
        require(collection.items.cut(from, to).has_value(), "a cut");
      }
      return true;
    }));
    store.erase();
  }
  CHECK_FALSE(start.has(secret));
  CHECK(store.size("k") == 2000);
  CHECK(store.consistent());
}

TEST_CASE("collection: an erasure that meets changes at every step ends, and overwrites what blocks have left") {
  Store store;
  for (const Type type : collections) REQUIRE(store.put(std::string(value_type(type).name), type, 20'000));
  const std::uint64_t erasure = store.keyspace.erase();
  int steps = 0;
  for (; !store.keyspace.erased(erasure); ++steps) {
    REQUIRE(steps < 10'000);
    store.keyspace.background_step(store.now, 200);
    const work::Counting counting;
    for (const Type type : collections) {
      REQUIRE(store.change(std::string(value_type(type).name), type,
                           [&](Collection& collection) { return add(collection, "new " + text_of(steps * 9)); }));
    }
    CHECK(counting.counts().bytes < 4 * 256 * 1024);
  }
  CHECK(store.consistent());
}
