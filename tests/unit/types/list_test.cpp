// Lists against a std::deque: random histories with every operation, packed and as trees, with allocations that fail.

#include "pinfold/types/list.hpp"

#include <algorithm>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "support/seed.hpp"
#include "typed_store.hpp"

#include <catch2/catch.hpp>

namespace pinfold::types {
namespace {

using store::Element;
using store::Form;
using store::Stored;

using Model = std::deque<std::string>;

std::string text_of(const Element& element) {
  Element::Digits digits;
  return std::string(element.text(digits));
}

class ListStore : public TypedStore {
 public:
  template <class Action>
  auto edit(Action&& action) {
    return with("k", [&](store::Database& db, const store::Key& key) {
      ListEdit list(db, key, keyspace.memory(), thresholds);
      return action(list);
    });
  }
  template <class Action>
  auto view(Action&& action) {
    return with("k", [&](store::Database& db, const store::Key& key) { return action(List::find(db, key)); });
  }
  std::vector<std::string> all() {
    return view([](const std::optional<List>& list) {
      std::vector<std::string> texts;
      if (list) {
        for (std::uint64_t i = 0; i < list->size(); ++i) texts.push_back(text_of(list->at(i)));
      }
      return texts;
    });
  }
  std::optional<Form> form() {
    return with("k", [&](store::Database& db, const store::Key& key) {
      const auto value = find_collection(db, key, store::Type::list);
      return value ? std::optional(store::form_of(value->kind)) : std::nullopt;
    });
  }
  bool push(End end, std::vector<std::string_view> texts) {
    return static_cast<bool>(edit([&](ListEdit& list) { return list.push(end, texts); }));
  }

  Thresholds thresholds;
};

bool equal(const std::vector<std::string>& texts, const Model& model) { return std::ranges::equal(texts, model); }

class History {
 public:
  explicit History(std::uint64_t seed, std::size_t longest, double failures) : random_(seed), longest_(longest), failing_(failures, seed) {}

  void step() {
    const std::uint64_t kind = below(12);
    if (model_.size() > longest_ || kind == 0) return trim();
    if (kind <= 4) return push();
    if (kind == 5) return set();
    if (kind == 6) return insert();
    if (kind == 7) return remove();
    if (kind == 8) return rotate();
    if (kind == 9) return take();
    search();
  }
  void check() { REQUIRE(equal(store_.all(), model_)); }
  ListStore& store() { return store_; }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  std::string text() {
    switch (below(8)) {
      case 0:
        return std::to_string(static_cast<std::int64_t>(random_()));
      case 1:
        return std::string(below(700), 'b');
      case 2:
        return std::string(500 + below(40), 'c');
      default:
        return std::to_string(below(20));
    }
  }
  template <class Work>
  bool did(Work&& work) {
    const Stored stored = failing_.during([&] { return store_.edit(work); }, Stored::no_memory);
    return static_cast<bool>(stored);
  }

  void push() {
    std::vector<std::string> texts;
    for (std::uint64_t n = below(6) == 0 ? below(200) : 1 + below(3); n > 0; --n) texts.push_back(text());
    if (texts.empty()) return;
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    const End end = below(2) == 0 ? End::left : End::right;
    if (!did([&](ListEdit& list) { return list.push(end, views); })) return;
    for (const std::string& each : texts) {
      if (end == End::left) model_.push_front(each);
      if (end == End::right) model_.push_back(each);
    }
  }
  void set() {
    if (model_.empty()) return;
    const std::uint64_t at = below(model_.size());
    const std::string with = text();
    if (did([&](ListEdit& list) { return list.set(at, with); })) model_[at] = with;
  }
  void insert() {
    if (model_.empty()) return;
    const std::uint64_t at = below(model_.size() + 1);
    const std::string with = text();
    if (did([&](ListEdit& list) { return list.insert(at, with); })) model_.insert(model_.begin() + static_cast<std::ptrdiff_t>(at), with);
  }
  void remove() {
    std::vector<std::uint64_t> positions;
    for (std::uint64_t i = 0; i < model_.size(); ++i) {
      if (below(8) == 0) positions.push_back(i);
    }
    if (positions.empty()) return;
    if (!did([&](ListEdit& list) { return list.remove(positions); })) return;
    for (std::size_t i = positions.size(); i > 0; --i) model_.erase(model_.begin() + static_cast<std::ptrdiff_t>(positions[i - 1]));
  }
  void rotate() {
    if (model_.empty()) return;
    const End to = below(2) == 0 ? End::left : End::right;
    if (!did([&](ListEdit& list) { return list.rotate(to); })) return;
    if (to == End::left) std::rotate(model_.begin(), model_.end() - 1, model_.end());
    if (to == End::right) std::rotate(model_.begin(), model_.begin() + 1, model_.end());
  }
  void trim() {
    if (model_.empty()) return;
    const std::uint64_t from = below(model_.size());
    const std::uint64_t to = std::min<std::uint64_t>(model_.size(), from + below(model_.size() + 1));
    if (!did([&](ListEdit& list) { return list.keep({from, to}); })) return;
    model_ = Model(model_.begin() + static_cast<std::ptrdiff_t>(from), model_.begin() + static_cast<std::ptrdiff_t>(to));
  }
  void take() {
    if (store_.edit([](ListEdit& list) { return list.packed(); })) return;
    const std::uint64_t count = 1 + below(model_.size());
    const End end = below(2) == 0 ? End::left : End::right;
    store::Tree taken;
    if (!did([&](ListEdit& list) { return list.take(end, count, taken); })) return;
    const std::uint64_t from = end == End::left ? 0 : taken.size() - count;
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t at = end == End::left ? i : model_.size() - count + i;
      REQUIRE(text_of(Element(taken.at(from + i).item())) == model_[at]);
    }
    const auto first = model_.begin() + static_cast<std::ptrdiff_t>(end == End::left ? 0 : model_.size() - count);
    model_.erase(first, first + static_cast<std::ptrdiff_t>(count));
  }
  void search() {
    const std::string wanted = text();
    const bool right = below(2) == 0;
    const ListSearch::Options options{
        .from = right ? End::right : End::left, .skip = below(3), .most = below(4), .compared = below(2) * below(300)};
    ListSearch found(wanted, options);
    store_.view([&](const std::optional<List>& list) {
      if (list && list->packed()) found.search(list->run());
      while (list && !list->packed() && !found.search(list->tree(), 1 + below(100))) {
      }
      return true;
    });
    std::vector<std::uint64_t> expected;
    std::uint64_t skipped = 0;
    for (std::uint64_t i = 0; i < model_.size() && (options.compared == 0 || i < options.compared); ++i) {
      const std::uint64_t at = right ? model_.size() - 1 - i : i;
      if (model_[at] == wanted && skipped++ >= options.skip) expected.push_back(at);
      if (options.most != 0 && expected.size() == options.most) break;
    }
    REQUIRE(found.found() == expected);
  }

  std::mt19937_64 random_;
  const std::size_t longest_;
  FailingAllocations failing_;
  ListStore store_;
  Model model_;
};

}  // namespace

TEST_CASE("a list is what a deque is", "[list]") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  for (const std::size_t longest : {20U, 150U, 2000U}) {
    History history(seed + longest, longest, 0);
    for (int i = 0; i < 3000; ++i) {
      history.step();
      if (i % 50 == 0) history.check();
    }
    history.check();
    CHECK(history.store().consistent());
  }
}

TEST_CASE("a list that could not be changed for want of memory is as it was", "[list]") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  for (const std::size_t longest : {150U, 1500U}) {
    History history(seed + longest, longest, 0.05);
    for (int i = 0; i < 2000; ++i) {
      history.step();
      if (i % 10 == 0) history.check();
    }
    CHECK(history.store().consistent());
  }
}

TEST_CASE("a copy of a list does not change with it", "[list]") {
  ListStore store;
  std::vector<std::string> texts(1000, std::string(600, 'x'));
  store.push(End::right, {texts.begin(), texts.end()});
  store::OwnedHandle pin =
      store.view([&](const std::optional<List>& list) { return list->collection().pin(store.keyspace.memory().leftovers()); });
  const auto& kept = store::Collection::of(pin.get());
  CHECK(store.edit([](ListEdit& list) { return list.keep({10, 20}); }));
  store.push(End::left, {"new"});
  CHECK(store.all().size() == 11);
  CHECK(kept.size() == 1000);
  CHECK(text_of(Element(kept.items.at(999).item())) == texts[999]);
  pin = {};
}

TEST_CASE("a list is called quicklist when it passes list-max-listpack-size, and listpack again at half of it", "[list]") {
  ListStore store;
  store.thresholds.list_size = 10;
  const auto large = [&] {
    const auto form = store.form();
    return form == Form::packed_large || form == Form::tree_large;
  };
  for (int i = 0; i < 10; ++i) store.push(End::right, {"a"});
  CHECK(!large());
  store.push(End::right, {"a"});
  CHECK(large());
  CHECK(store.edit([](ListEdit& list) { return list.keep({0, 6}); }));
  CHECK(large());
  CHECK(store.edit([](ListEdit& list) { return list.keep({0, 5}); }));
  CHECK(!large());

  ListStore bytes;
  bytes.push(End::right, {std::string(9000, 'x')});
  CHECK(bytes.form() == Form::tree_large);
  CHECK(bytes.edit([](ListEdit& list) { return list.set(0, "x"); }));
  CHECK(bytes.form() == Form::tree_small);
  for (int i = 0; i < 1000; ++i) bytes.push(End::right, {"1"});
  CHECK(bytes.form() == Form::tree_small);
}

TEST_CASE("a list of few elements goes back into its entry", "[list]") {
  ListStore store;
  for (int i = 0; i < 200; ++i) store.push(End::right, {"abc"});
  CHECK(store.form() == Form::tree_small);
  CHECK(store.edit([](ListEdit& list) { return list.keep({100, 140}); }));
  CHECK(store.form() == Form::tree_small);
  CHECK(store.edit([](ListEdit& list) { return list.keep({0, 30}); }));
  CHECK(store.form() == Form::packed_small);
  CHECK(store.all().size() == 30);
}

TEST_CASE("ranges and positions of a list count from either end", "[list]") {
  CHECK(list_range(0, -1, 5) == ListRange{0, 5});
  CHECK(list_range(-2, -1, 5) == ListRange{3, 5});
  CHECK(list_range(-100, 1, 5) == ListRange{0, 2});
  CHECK(list_range(INT64_MIN, INT64_MAX, 5) == ListRange{0, 5});
  CHECK(list_range(3, 2, 5).size() == 0);
  CHECK(list_range(5, 9, 5).size() == 0);
  CHECK(list_range(0, -6, 5).size() == 0);
  CHECK(list_range(0, INT64_MIN, 5).size() == 0);
  CHECK(list_position(-1, 5) == 4);
  CHECK(list_position(4, 5) == 4);
  CHECK(!list_position(5, 5));
  CHECK(!list_position(-6, 5));
  CHECK(!list_position(INT64_MIN, 5));
}

TEST_CASE("a draft is stored as a list", "[list]") {
  ListStore store;
  const auto make = [&](std::size_t count, const std::string& text) {
    store.with("k", [&](store::Database& db, const store::Key& key) {
      ListDraft draft(store.keyspace.memory(), store.thresholds);
      for (std::size_t i = 0; i < count; ++i) REQUIRE(draft.append(text + std::to_string(i)));
      return static_cast<bool>(draft.put(db, key));
    });
  };
  make(3, "x");
  CHECK(store.all() == std::vector<std::string>{"x0", "x1", "x2"});
  CHECK(store.form() == Form::packed_small);
  make(1000, "y");
  CHECK(store.all().back() == "y999");
  make(2, std::string(600, 'z'));
  CHECK(store.all().size() == 2);
  CHECK(store.form() == Form::tree_small);
}

}  // namespace pinfold::types
