// Hashes in the store: what HSET, HDEL and the like do to bytes and trees, compared with a std::map.

#include "pinfold/types/hash.hpp"

#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "support/seed.hpp"
#include "typed_store.hpp"

#include <catch2/catch.hpp>

#include "pinfold/store/wrong_type.hpp"

using namespace pinfold;
using namespace pinfold::types;
using store::Form;

namespace {

using Fields = std::map<std::string, std::string>;

struct Hashes : TypedStore {
  Thresholds limits;

  // The number of new fields, or nothing if the write was refused.
  std::optional<std::uint64_t> set(const std::string& name, const std::vector<std::string>& pairs) {
    const std::vector<std::string_view> views(pairs.begin(), pairs.end());
    return with(name, [&](store::Database& db, const store::Key& key) -> std::optional<std::uint64_t> {
      HashEdit hash(db, key, heap(), limits);
      std::uint64_t added = 0;
      if (!hash.set(Texts(views), added)) return std::nullopt;
      return added;
    });
  }
  std::optional<std::uint64_t> remove(const std::string& name, const std::vector<std::string>& fields) {
    const std::vector<std::string_view> views(fields.begin(), fields.end());
    return with(name, [&](store::Database& db, const store::Key& key) -> std::optional<std::uint64_t> {
      HashEdit hash(db, key, heap(), limits);
      std::uint64_t removed = 0;
      if (!hash.remove(Texts(views), removed)) return std::nullopt;
      return removed;
    });
  }
  std::optional<std::string> get(const std::string& name, const std::string& field) {
    return with(name, [&](store::Database& db, const store::Key& key) -> std::optional<std::string> {
      const auto value = find_collection(db, key, store::Type::hash);
      if (!value) return std::nullopt;
      const char* const item = Hash(*value).find(store::PackedElement(field));
      if (item == nullptr) return std::nullopt;
      store::Element::Digits digits;
      return std::string(value_of(item).text(digits));
    });
  }
  Fields all(const std::string& name) {
    return with(name, [&](store::Database& db, const store::Key& key) {
      Fields fields;
      const auto value = find_collection(db, key, store::Type::hash);
      if (!value) return fields;
      const Hash hash(*value);
      const auto add = [&](const char* item) {
        store::Element::Digits field;
        store::Element::Digits text;
        CHECK(fields.emplace(field_of(item).text(field), value_of(item).text(text)).second);
        return true;
      };
      if (hash.packed()) {
        const Run run = hash.run();
        for (const char* item = run.begin(); item != run.end(); item = run.next(item)) add(item);
      } else {
        store::Tree::Path path = hash.tree().at(0);
        hash.tree().visit(path, hash.size(), add);
      }
      CHECK(fields.size() == hash.size());
      return fields;
    });
  }
  std::optional<Form> form(const std::string& name) {
    return with(name, [](store::Database& db, const store::Key& key) -> std::optional<Form> {
      const auto value = db.find(key, store::Access::none());
      if (!value) return std::nullopt;
      return store::form_of(value->kind);
    });
  }
};

std::vector<std::string> pairs_of(int from, int to, const std::string& value = "v") {
  std::vector<std::string> pairs;
  for (int i = from; i < to; ++i) {
    pairs.push_back("field" + std::to_string(i));
    pairs.push_back(value);
  }
  return pairs;
}

std::vector<std::string> fields_of(int from, int to) {
  std::vector<std::string> fields;
  for (int i = from; i < to; ++i) fields.push_back("field" + std::to_string(i));
  return fields;
}

}  // namespace

TEST_CASE("hashes: a field is set, replaced and removed, and the last one takes the key with it") {
  Hashes hashes;
  CHECK(hashes.set("h", {"a", "1", "b", "text"}) == 2);
  CHECK(hashes.set("h", {"a", "a longer value", "c", "", "c", "x"}) == 1);
  CHECK(hashes.all("h") == Fields{{"a", "a longer value"}, {"b", "text"}, {"c", "x"}});
  CHECK(hashes.get("h", "b") == "text");
  CHECK_FALSE(hashes.get("h", "d"));
  CHECK(hashes.remove("h", {"a", "a", "none"}) == 1);
  CHECK(hashes.remove("h", {"none"}) == 0);
  CHECK(hashes.remove("h", {"b", "c"}) == 2);
  CHECK_FALSE(hashes.form("h"));
  CHECK(hashes.remove("h", {"b"}) == 0);
}

TEST_CASE("hashes: numbers are the texts that they were") {
  Hashes hashes;
  for (const std::string text :
       {"0", "127", "128", "-1", "01", "+1", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "1.0", " 1"}) {
    hashes.set("h", {text, text});
    CHECK(hashes.get("h", text) == text);
  }
  CHECK(hashes.all("h").size() == 11);
}

TEST_CASE("hashes: a field or value that is too long for a run makes a tree, and a large name") {
  Hashes hashes;
  const std::string inline_text(store::most_inline_element, 'x');
  const std::string block(store::most_inline_element + 1, 'y');
  hashes.set("h", {"a", std::string(64, 'z')});
  CHECK(hashes.form("h") == Form::packed_small);
  hashes.set("h", {"a", inline_text});
  CHECK(hashes.form("h") == Form::packed_large);
  hashes.set("h", {"a", "short"});
  CHECK(hashes.form("h") == Form::packed_large);  // for ever
  hashes.set("h", {block, block, "a", block});
  CHECK(hashes.form("h") == Form::tree_large);
  CHECK(hashes.all("h") == Fields{{"a", block}, {block, block}});
  hashes.set("h", {block, "short", "a", "short"});
  CHECK(hashes.all("h") == Fields{{"a", "short"}, {block, "short"}});
  CHECK(hashes.consistent());
  CHECK(hashes.remove("h", {block}) == 1);
  CHECK(hashes.form("h") == Form::packed_large);  // nothing needs a tree any more
  CHECK(hashes.all("h") == Fields{{"a", "short"}});
  hashes.work();
  CHECK(hashes.consistent());
}

TEST_CASE("hashes: the names follow the thresholds, and the layout follows the size") {
  Hashes hashes;
  hashes.limits.hash_entries = 128;
  hashes.set("h", pairs_of(0, 128));
  CHECK(hashes.form("h") == Form::packed_small);
  hashes.set("h", pairs_of(128, 129));
  CHECK(hashes.form("h") == Form::tree_large);
  hashes.remove("h", fields_of(40, 129));
  CHECK(hashes.form("h") == Form::tree_large);
  hashes.remove("h", fields_of(30, 40));
  CHECK(hashes.form("h") == Form::packed_large);
  hashes.set("h", pairs_of(30, 31));
  CHECK(hashes.form("h") == Form::packed_large);

  // 128 fields of 64 bytes are a listpack for Redis, and too large for an entry.
  hashes.set("wide", pairs_of(0, 100, std::string(64, 'x')));
  CHECK(hashes.form("wide") == Form::tree_small);
  hashes.remove("wide", fields_of(5, 100));
  CHECK(hashes.form("wide") == Form::packed_small);
  hashes.set("wide", pairs_of(0, 128, std::string(64, 'x')));
  CHECK(hashes.form("wide") == Form::tree_small);
  hashes.set("wide", pairs_of(128, 129));
  CHECK(hashes.form("wide") == Form::tree_large);

  hashes.limits.hash_entries = 2;
  hashes.set("few", pairs_of(0, 2));
  CHECK(hashes.form("few") == Form::packed_small);
  hashes.set("few", pairs_of(2, 3));
  CHECK(hashes.form("few") == Form::packed_large);
  hashes.set("at once", {"a", "1", "a", "2", "a", "3"});
  CHECK(hashes.form("at once") == Form::packed_large);  // so many fields may come
  hashes.limits.hash_entries = 1000;
  hashes.set("many", pairs_of(0, 1000));
  CHECK(hashes.form("many") == Form::tree_small);
  hashes.set("many", {"field1", std::string(65, 'x')});
  CHECK(hashes.form("many") == Form::tree_large);
  CHECK(hashes.consistent());
}

TEST_CASE("hashes: another type is refused") {
  Hashes hashes;
  hashes.with("s", [](store::Database& db, const store::Key& key) { return static_cast<bool>(db.put(key, "text")); });
  CHECK_THROWS_AS(hashes.set("s", {"a", "b"}), store::WrongType);
  CHECK_THROWS_AS(hashes.get("s", "a"), store::WrongType);
}

TEST_CASE("hashes: a snapshot keeps what it saw, and the hash goes on") {
  Hashes hashes;
  hashes.set("h", pairs_of(0, 1000));
  store::Tree snapshot = hashes.with(
      "h", [](store::Database& db, const store::Key& key) { return Hash(*find_collection(db, key, store::Type::hash)).tree().share(); });
  hashes.set("h", pairs_of(500, 1500, "new"));
  hashes.remove("h", fields_of(0, 100));
  CHECK(snapshot.size() == 1000);
  std::uint64_t old = 0;
  store::Tree::Path path = snapshot.at(0);
  snapshot.visit(path, 1000, [&](const char* item) {
    store::Element::Digits digits;
    if (value_of(item).text(digits) == "v") ++old;
    return true;
  });
  CHECK(old == 1000);
  CHECK(hashes.all("h").size() == 1400);
  hashes.with("h", [](store::Database& db, const store::Key& key) { return db.remove(key); });
  CHECK(snapshot.audit().consistent);
}

namespace {

// A random history on a few keys. With failures, a refused write may have done a part of its work: the model takes over what is there,
// which must be between what was and what was asked for.
void play(double failures, std::uint64_t seed, int steps) {
  INFO(seed_note(seed));
  std::mt19937_64 random(seed);
  const auto below = [&](std::uint64_t bound) { return random() % bound; };
  Hashes hashes;
  hashes.limits.hash_entries = 20 + below(300);
  FailingAllocations failing(failures, seed);
  std::map<std::string, Fields> model;
  const auto text = [&]() -> std::string {
    switch (below(40)) {
      case 0:
        return std::string(below(3000), static_cast<char>('a' + below(3)));
      case 1:
        return std::string(below(600), 'x');
      case 2:
      case 3:
        return std::to_string(static_cast<std::int64_t>(random()) >> below(64));
      default:
        return "field" + std::to_string(below(400));
    }
  };
  for (int step = 0; step < steps; ++step) {
    const std::string name = "h" + std::to_string(below(3));
    Fields& fields = model[name];
    const bool grows = below(1000) < (step / 200 % 2 == 0 ? 700U : 300U);
    std::vector<std::string> words;
    const std::size_t count = below(8) == 0 ? 1 + below(60) : 1 + below(3);
    for (std::size_t i = 0; i < count; ++i) {
      const bool known = !fields.empty() && below(2) == 0;
      words.push_back(known ? std::next(fields.begin(), static_cast<std::ptrdiff_t>(below(fields.size())))->first : text());
      if (grows) words.push_back(text());
    }
    Fields wanted = fields;
    std::uint64_t changed = 0;
    for (std::size_t i = 0; i < words.size(); i += grows ? 2 : 1) {
      if (grows) {
        changed += wanted.insert_or_assign(words[i], words[i + 1]).second ? 1 : 0;
      } else {
        changed += wanted.erase(words[i]);
      }
    }
    const auto done =
        failing.during([&] { return grows ? hashes.set(name, words) : hashes.remove(name, words); }, std::optional<std::uint64_t>());
    if (done) {
      REQUIRE(*done == changed);
      fields = wanted;
    } else {
      REQUIRE(failures > 0);
      const Fields there = hashes.all(name);
      for (const auto& [field, value] : there) {
        const bool before = fields.contains(field) && fields[field] == value;
        bool asked = false;
        for (std::size_t i = 0; grows && i < words.size(); i += 2) asked = asked || (words[i] == field && words[i + 1] == value);
        REQUIRE((before || asked));
      }
      fields = there;
    }
    if (step % 50 == 0) {
      REQUIRE(hashes.all(name) == fields);
      hashes.work();
      REQUIRE(hashes.consistent());
    }
    const std::string some = text();
    const auto found = fields.find(some);
    REQUIRE(hashes.get(name, some) == (found == fields.end() ? std::nullopt : std::optional(found->second)));
    if (fields.empty()) REQUIRE_FALSE(hashes.form(name));
  }
  for (const auto& [name, fields] : model) REQUIRE(hashes.all(name) == fields);
}

}  // namespace

TEST_CASE("hashes: random histories leave what a map has") { play(0, test_seed(), 4000); }

TEST_CASE("hashes: histories with failing allocations leave every field as it was or as it was to be") {
  play(0.02, test_seed(), 2000);
  play(0.3, test_seed(), 2000);
}
