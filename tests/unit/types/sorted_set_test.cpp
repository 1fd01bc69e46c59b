// Sorted sets in the store: what ZADD, ZREM and the like do to runs and trees, compared with a std::set.

#include "pinfold/types/sorted_set.hpp"

#include <cmath>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/seed.hpp"
#include "typed_store.hpp"

#include <catch2/catch.hpp>

#include "pinfold/store/wrong_type.hpp"

using namespace pinfold;
using namespace pinfold::types;
using store::Form;
using store::Stored;

namespace {

using Pair = std::pair<double, std::string>;
using Pairs = std::vector<Pair>;

// A sorted set as it should be.
struct Model {
  std::set<Pair> order;
  std::map<std::string, double> scores;

  void put(const std::string& member, double score) {
    remove(member);
    scores[member] = score;
    order.insert({score, member});
  }
  bool remove(const std::string& member) {
    const auto found = scores.find(member);
    if (found == scores.end()) return false;
    order.erase({found->second, member});
    scores.erase(found);
    return true;
  }
  Pairs all() const { return {order.begin(), order.end()}; }
};

std::string text_of(const store::Element& element) {
  store::Element::Digits digits;
  return std::string(element.text(digits));
}

struct SortedSets : TypedStore {
  Thresholds limits;

  std::optional<Added> add(const std::string& name, const Pairs& pairs, const AddRules& rules = {}) {
    std::vector<Addition> additions(pairs.size());
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      additions[i].score = pairs[i].first;
      additions[i].member = pairs[i].second;
    }
    return with(name, [&](store::Database& db, const store::Key& key) -> std::optional<Added> {
      Edit edit(db, key, store::Type::zset);
      Added added;
      if (!types::add(edit, heap(), limits, additions, rules, added)) return std::nullopt;
      return added;
    });
  }
  std::optional<std::uint64_t> remove(const std::string& name, const std::vector<std::string>& members) {
    const std::vector<std::string_view> views(members.begin(), members.end());
    return with(name, [&](store::Database& db, const store::Key& key) -> std::optional<std::uint64_t> {
      Edit edit(db, key, store::Type::zset);
      std::uint64_t removed = 0;
      if (!types::remove(edit, views, removed)) return std::nullopt;
      return removed;
    });
  }
  std::optional<bool> remove_range(const std::string& name, Positions positions, bool keep = false) {
    return with(name, [&](store::Database& db, const store::Key& key) -> std::optional<bool> {
      Edit edit(db, key, store::Type::zset);
      Removal removal;
      if (!types::remove(edit, positions, keep, removal)) return std::nullopt;
      // Not by CHECK: allocations may be failing, and so those of a reporter.
      const bool exact = removal.removed == positions.size() && (!keep || !removal.piece || removal.piece->size() == positions.size());
      if (!exact) throw std::logic_error("other members were removed than those at the positions");
      return removal.owes;
    });
  }
  template <class Look>
  auto see(const std::string& name, Look&& look) {
    return with(name,
                [&](store::Database& db, const store::Key& key) { return look(SortedSet(find_collection(db, key, store::Type::zset))); });
  }
  Pairs all(const std::string& name) {
    return see(name, [](const SortedSet& set) {
      Pairs pairs;
      set.visit(0, set.size(), [&](const char* item) {
        pairs.emplace_back(store::ScoredItem(item).score(), text_of(store::ScoredItem(item).member()));
        return true;
      });
      CHECK(pairs.size() == set.size());
      return pairs;
    });
  }
  std::optional<Form> form(const std::string& name) {
    return with(name, [](store::Database& db, const store::Key& key) -> std::optional<Form> {
      const auto value = db.find(key, store::Access::none());
      if (!value) return std::nullopt;
      return store::form_of(value->kind);
    });
  }
  // Items of the index, and members that were cut out and are still in it.
  std::pair<std::uint64_t, std::uint64_t> index_and_debt(const std::string& name) {
    return see(name, [](const SortedSet& set) {
      return set.packed() ? std::pair<std::uint64_t, std::uint64_t>()
                          : std::pair(set.collection().index.size(), set.collection().debt.size());
    });
  }
  bool pay(const std::string& name, std::uint64_t most) {
    return with(name, [&](store::Database& db, const store::Key& key) {
      Edit edit(db, key, store::Type::zset);
      bool paid = true;
      if (!edit.packed()) CHECK(edit.change([&](store::Collection& set) { return paid = pay_debt(set, most), false; }));
      return paid;
    });
  }
  void matches(const std::string& name, const Model& model) {
    REQUIRE(all(name) == model.all());
    see(name, [&](const SortedSet& set) {
      std::uint64_t rank = 0;
      for (const Pair& pair : model.order) {
        const auto place = set.place(pair.second);
        REQUIRE(place);
        REQUIRE(place->rank == rank++);
        REQUIRE(place->score == pair.first);
        REQUIRE(set.score(pair.second) == pair.first);
      }
      CHECK_FALSE(set.score("none"));
      return true;
    });
  }
};

Pairs numbered(int from, int to, double score, const std::string& prefix = "m") {
  Pairs pairs;
  for (int i = from; i < to; ++i) pairs.emplace_back(score, prefix + std::to_string(i));
  return pairs;
}

}  // namespace

TEST_CASE("sorted sets: members are in the order of scores, and then of bytes") {
  SortedSets sets;
  CHECK(sets.add("z", {{2, "b"}, {1, "z"}, {2, "a"}, {-INFINITY, "low"}, {INFINITY, "high"}, {2, "10"}, {2, "9"}})->added == 7);
  CHECK(sets.all("z") == Pairs{{-INFINITY, "low"}, {1, "z"}, {2, "10"}, {2, "9"}, {2, "a"}, {2, "b"}, {INFINITY, "high"}});
  CHECK(sets.form("z") == Form::packed_small);
  const auto added = sets.add("z", {{3, "b"}, {1, "z"}, {7, "new"}});
  CHECK((added->added == 1 && added->changed == 1 && added->score == 7.0));
  CHECK(sets.remove("z", {"low", "none", "b", "b"}) == 2);
  CHECK(sets.remove("none", {"a"}) == 0);
  CHECK(sets.all("z") == Pairs{{1, "z"}, {2, "10"}, {2, "9"}, {2, "a"}, {7, "new"}, {INFINITY, "high"}});
  CHECK(sets.remove("z", {"z", "10", "9", "a", "new", "high"}) == 6);
  CHECK_FALSE(sets.form("z"));
}

TEST_CASE("sorted sets: the rules of ZADD hold in both layouts") {
  const bool large = GENERATE(false, true);
  SortedSets sets;
  if (large) sets.add("z", numbered(0, 300, 1000));
  sets.add("z", {{5, "a"}});
  const auto score = [&] { return sets.see("z", [](const SortedSet& set) { return set.score("a"); }); };
  const auto set = [&](double to, const AddRules& rules) { return sets.add("z", {{to, "a"}}, rules)->score; };
  CHECK(set(6, {.only_new = true}) == std::nullopt);
  CHECK(set(6, {.only_existing = true}) == 6.0);
  CHECK(set(5, {.only_higher = true}) == std::nullopt);
  CHECK(set(7, {.only_higher = true}) == 7.0);
  CHECK(set(8, {.only_lower = true}) == std::nullopt);
  CHECK(set(7, {.only_lower = true}) == std::nullopt);
  CHECK(set(4, {.only_lower = true}) == 4.0);
  CHECK(set(0.5, {.increment = true}) == 4.5);
  CHECK(set(-1, {.only_higher = true, .increment = true}) == std::nullopt);
  CHECK(score() == 4.5);
  CHECK(sets.add("z", {{1, "b"}}, {.only_existing = true})->score == std::nullopt);
  CHECK(sets.add("z", {{1, "b"}}, {.increment = true})->score == 1.0);
  CHECK(set(INFINITY, {.increment = true}) == INFINITY);
  CHECK(sets.add("z", {{-INFINITY, "a"}}, {.increment = true})->not_a_number);
  CHECK(score() == INFINITY);
  const auto same = sets.add("z", {{INFINITY, "a"}});
  CHECK((same->added == 0 && same->changed == 0));
  CHECK(sets.add("fresh", {{1, "x"}}, {.only_existing = true})->added == 0);
  CHECK_FALSE(sets.form("fresh"));
}

TEST_CASE("sorted sets: names follow the thresholds, and stay large; the layout follows the size") {
  SortedSets sets;
  sets.add("z", numbered(0, 128, 1));
  CHECK(sets.form("z") == Form::packed_small);
  sets.add("z", {{1, "one more"}});
  CHECK(sets.form("z") == Form::tree_large);
  CHECK(sets.all("z").size() == 129);
  sets.add("long", {{1, std::string(64, 'x')}});
  CHECK(sets.form("long") == Form::packed_small);
  sets.add("long", {{1, std::string(65, 'x')}});
  CHECK(sets.form("long") == Form::packed_large);
  sets.remove("long", {std::string(65, 'x')});
  CHECK(sets.form("long") == Form::packed_large);
  sets.add("block", {{1, "a"}, {2, std::string(1000, 'x')}, {3, "b"}});
  CHECK(sets.form("block") == Form::tree_large);
  CHECK(sets.all("block") == Pairs{{1, "a"}, {2, std::string(1000, 'x')}, {3, "b"}});
  sets.add("block", {{5, std::string(1000, 'x')}});
  CHECK(sets.all("block") == Pairs{{1, "a"}, {3, "b"}, {5, std::string(1000, 'x')}});
  sets.limits.zset_entries = 300;
  sets.add("wide", numbered(0, 200, 1));
  CHECK(sets.form("wide") == Form::tree_small);
  sets.add("wide", numbered(200, 300, 1));
  CHECK(sets.form("wide") == Form::tree_small);
  sets.add("wide", numbered(300, 301, 1));
  CHECK(sets.form("wide") == Form::tree_large);
  CHECK(sets.all("wide").size() == 301);
  sets.limits.zset_entries = 2;
  sets.add("few", numbered(0, 3, 1));
  CHECK(sets.form("few") == Form::packed_large);
  sets.work();
  CHECK(sets.consistent());
}

TEST_CASE("sorted sets: ranges of scores and members are positions") {
  const bool large = GENERATE(false, true);
  SortedSets sets;
  const int many = large ? 500 : 50;
  Pairs pairs;
  for (int i = 0; i < many; ++i) pairs.emplace_back(i / 10, "m" + std::to_string(1000 + i));
  sets.add("z", pairs);
  sets.see("z", [&](const SortedSet& set) {
    const auto between = [&](ScoreBound least, ScoreBound most) {
      const Positions positions = set.between(least, most);
      return positions.size() == 0 ? std::pair<std::uint64_t, std::uint64_t>() : std::pair(positions.first, positions.last);
    };
    CHECK(set.packed() != large);
    CHECK(between({2}, {3}) == std::pair<std::uint64_t, std::uint64_t>(20, 40));
    CHECK(between({2, true}, {3}) == std::pair<std::uint64_t, std::uint64_t>(30, 40));
    CHECK(between({2}, {3, true}) == std::pair<std::uint64_t, std::uint64_t>(20, 30));
    CHECK(between({2, true}, {3, true}).second == 0);
    CHECK(between({3}, {2}).second == 0);
    CHECK(between({1.5}, {1.7}).second == 0);
    CHECK(between({-INFINITY}, {INFINITY}).second == static_cast<std::uint64_t>(many));
    return true;
  });
  sets.add("lex", large ? numbered(1000, 1500, 0) : numbered(1000, 1100, 0));
  sets.see("lex", [&](const SortedSet& set) {
    using Kind = LexBound::Kind;
    const LexBound lowest{Kind::lowest, false, {}};
    const LexBound highest{Kind::highest, false, {}};
    CHECK(set.between(lowest, highest).size() == set.size());
    CHECK(set.between(highest, lowest).size() == 0);
    CHECK(set.between(LexBound{Kind::member, false, "m1010"}, LexBound{Kind::member, false, "m1020"}).size() == 11);
    CHECK(set.between(LexBound{Kind::member, true, "m1010"}, LexBound{Kind::member, true, "m1020"}).size() == 9);
    CHECK(set.between(LexBound{Kind::member, false, "m10105"}, LexBound{Kind::member, false, "m10205"}).size() == 10);
    CHECK(set.between(lowest, LexBound{Kind::member, false, "a"}).size() == 0);
    CHECK(set.between(LexBound{Kind::member, true, "m1099"}, LexBound{Kind::member, false, "m1099"}).size() == 0);
    return true;
  });
}

TEST_CASE("sorted sets: members that were cut out leave a debt, and may come back with the same score before it is paid") {
  SortedSets sets;
  Model model;
  for (const Pair& pair : numbered(0, 3000, 7)) model.put(pair.second, pair.first);
  sets.add("z", model.all());
  CHECK(sets.remove_range("z", {500, 2500}) == true);
  CHECK(sets.index_and_debt("z") == std::pair<std::uint64_t, std::uint64_t>(3000, 2000));
  const Pairs before = model.all();
  for (std::size_t i = 500; i < 2500; ++i) model.remove(before[i].second);
  sets.matches("z", model);

  // Each write pays for some.
  sets.add("z", {before[500], before[700], before[2400]});
  for (const std::size_t i : {500, 700, 2400}) model.put(before[i].second, before[i].first);
  CHECK(sets.index_and_debt("z") == std::pair<std::uint64_t, std::uint64_t>(3003 - 64, 2000 - 64));
  sets.matches("z", model);
  for (std::size_t i = 600; i < 1500; ++i) {
    sets.add("z", {before[i]});
    model.put(before[i].second, before[i].first);
  }
  CHECK(sets.index_and_debt("z").second == 0);
  CHECK(sets.index_and_debt("z").first == model.order.size());
  sets.matches("z", model);

  // A further cut joins the debt.
  CHECK(sets.remove_range("z", {0, 400}) == true);
  CHECK(sets.remove_range("z", {100, 700}) == true);
  const Pairs now = model.all();
  for (std::size_t i = 0; i < 400; ++i) model.remove(now[i].second);
  for (std::size_t i = 500; i < 1100; ++i) model.remove(now[i].second);
  CHECK(sets.index_and_debt("z").second == 400 - 64 + 600);
  sets.matches("z", model);
  CHECK(sets.consistent());
  while (!sets.pay("z", 100)) {
  }
  CHECK(sets.index_and_debt("z") == std::pair<std::uint64_t, std::uint64_t>(model.order.size(), 0));
  sets.matches("z", model);
  CHECK(sets.remove_range("z", {0, model.order.size()}, true) == false);
  CHECK_FALSE(sets.form("z"));
}

TEST_CASE("sorted sets: few members are removed from the index at once") {
  SortedSets sets;
  sets.add("z", numbered(0, 1000, 1));
  CHECK(sets.remove_range("z", {10, 11}) == false);
  CHECK(sets.remove_range("z", {100, 100 + most_removed_at_once}, true) == false);
  CHECK(sets.index_and_debt("z") == std::pair<std::uint64_t, std::uint64_t>(1000 - 1 - most_removed_at_once, 0));
  sets.add("small", numbered(0, 10, 1));
  CHECK(sets.remove_range("small", {2, 5}) == false);
  CHECK(sets.all("small").size() == 7);
  CHECK(sets.remove_range("small", {0, 7}) == false);
  CHECK_FALSE(sets.form("small"));
}

TEST_CASE("sorted sets: a snapshot stays as it was") {
  const bool large = GENERATE(false, true);
  SortedSets sets;
  sets.add("z", numbered(0, large ? 400 : 40, 1));
  const auto before = sets.all("z");
  {
    std::optional<SortedSetSnapshot> kept;
    sets.see("z", [&](const SortedSet& set) { return kept.emplace(set, sets.keyspace.memory()), true; });
    sets.add("z", {{2, "m1"}, {3, "new"}});
    sets.remove("z", {"m2"});
    Pairs seen;
    kept->set().visit(0, kept->set().size(), [&](const char* item) {
      seen.emplace_back(store::ScoredItem(item).score(), text_of(store::ScoredItem(item).member()));
      return true;
    });
    CHECK(seen == before);
    CHECK(kept->set().score("m2") == 1.0);
  }
  CHECK(sets.all("z").size() == before.size());
  sets.work();
  CHECK(sets.consistent());
}

TEST_CASE("sorted sets: builders make what was added in order") {
  SortedSets sets;
  for (const int many : {1, 128, 129, 700}) {
    SortedSetBuilder builder(sets.keyspace.memory(), sets.limits);
    Pairs pairs;
    for (int i = 0; i < many; ++i) {
      pairs.emplace_back(i / 3, (i == 200 ? std::string(600, 'a') : "m") + std::to_string(1000 + i));
      if (i == 200) pairs.back().first += 0.5;
    }
    std::ranges::sort(pairs);
    for (const Pair& pair : pairs) {
      store::PackedElement element(pair.second);
      REQUIRE(element.provide_block(sets.heap()));
      REQUIRE(builder.add(store::Element(element.packed().data()), pair.first, element.hash()));
    }
    CHECK(builder.size() == pairs.size());
    const std::string name = "z" + std::to_string(many);
    CHECK(sets.with(name, [&](store::Database& db, const store::Key& key) { return static_cast<bool>(db.put(key, builder.take())); }));
    Model model;
    for (const Pair& pair : pairs) model.put(pair.second, pair.first);
    sets.matches(name, model);
    CHECK(sets.form(name) == (many <= 128 ? Form::packed_small : Form::tree_large));
  }
  {
    SortedSetBuilder given_up(sets.keyspace.memory(), sets.limits);
    for (const Pair& pair : numbered(1000, 1500, 1)) {
      store::PackedElement element(pair.second);
      REQUIRE(given_up.add(store::Element(element.packed().data()), pair.first, element.hash()));
    }
  }
  sets.work();
  CHECK(sets.consistent());
}

TEST_CASE("sorted sets: another type is refused") {
  SortedSets sets;
  CHECK(sets.with("s", [](store::Database& db, const store::Key& key) { return static_cast<bool>(db.put(key, "text")); }));
  CHECK_THROWS_AS(sets.add("s", {{1, "a"}}), store::WrongType);
  CHECK_THROWS_AS(sets.all("s"), store::WrongType);
}

namespace {

// A random history. With failures, a change may be refused, or done in part: each member as a whole.
void play(double failures, std::uint64_t seed, int steps) {
  SortedSets sets;
  std::map<std::string, Model> models;
  std::mt19937_64 random(seed);
  const auto below = [&](std::uint64_t bound) { return random() % bound; };
  FailingAllocations failing(failures, seed);
  const auto random_pair = [&]() -> Pair {
    const std::uint64_t kind = below(40);
    std::string member = kind == 0 ? std::string(600 + below(3), 'x') : (kind < 8 ? "" : "member:") + std::to_string(below(900));
    constexpr double scores[] = {0, -0.0, 1, 1, 1, 2.5, -3, 1e300, HUGE_VAL, -HUGE_VAL};
    return {below(2) == 0 ? scores[below(std::size(scores))] : static_cast<double>(static_cast<std::uint32_t>(below(100))),
            std::move(member)};
  };
  for (int step = 0; step < steps; ++step) {
    const std::string name = "z" + std::to_string(below(3));
    Model& model = models[name];
    const std::uint64_t choice = below(20);
    bool refused = false;
    if (choice < 12) {
      Pairs pairs;
      for (std::uint64_t i = 1 + below(choice == 0 ? 200 : 5); i > 0; --i) pairs.push_back(random_pair());
      refused = !failing.during([&] { return sets.add(name, pairs); }, std::optional<Added>());
      // A score that is equal is not written.
      for (const Pair& pair : pairs) {
        const auto found = model.scores.find(pair.second);
        if (!refused && (found == model.scores.end() || found->second != pair.first)) model.put(pair.second, pair.first);
      }
    } else if (choice < 17) {
      std::vector<std::string> members;
      for (std::uint64_t i = 1 + below(5); i > 0; --i) members.push_back(random_pair().second);
      refused = !failing.during([&] { return sets.remove(name, members); }, std::optional<std::uint64_t>());
      for (const std::string& member : members) {
        if (!refused) model.remove(member);
      }
    } else if (!model.order.empty()) {
      const std::uint64_t first = below(model.order.size());
      const std::uint64_t last = std::min<std::uint64_t>(model.order.size(), first + 1 + below(below(4) == 0 ? 400 : 8));
      refused = !failing.during([&] { return sets.remove_range(name, {first, last}, below(2) == 0); }, std::optional<bool>());
      const Pairs all = model.all();
      for (std::uint64_t i = first; i < last && !refused; ++i) model.remove(all[i].second);
    }
    if (refused) {
      REQUIRE(failures > 0);
      // Some of it may have been done.
      model = Model();
      for (const Pair& pair : sets.all(name)) model.put(pair.second, pair.first);
    }
    CAPTURE(step, choice, refused);
    if (refused || step % 10 == 0) REQUIRE(sets.all(name) == model.all());
    const auto [index, debt] = sets.index_and_debt(name);
    if (index != 0 && failures == 0) REQUIRE(index == model.order.size() + debt);
    if (index != 0) REQUIRE(index >= model.order.size());
    if (step % 50 == 0 || refused) sets.matches(name, model);
    if (step % 500 == 0) sets.work();
  }
  for (const auto& [name, model] : models) sets.matches(name, model);
  sets.work();
  CHECK(sets.consistent());
}

}  // namespace

TEST_CASE("sorted sets: random histories are those of a model") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  play(0, seed, 4000);
}

#ifdef PINFOLD_FAULTS
TEST_CASE("sorted sets: with failing allocations every member is where it was, or where it was to go") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  play(0.02, seed, 3000);
}
#endif

TEST_CASE("scored trees that are put together in any order are read and cut by position") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  std::mt19937_64 random(seed);
  SortedSets sets;
  const auto below = [&](std::uint64_t bound) { return random() % bound; };
  const auto texts_of = [](const store::Tree& tree) {
    std::vector<std::string> texts;
    auto path = tree.at(0);
    tree.visit(path, tree.size(), [&](const char* item) { return texts.push_back(text_of(store::ScoredItem(item).member())), true; });
    return texts;
  };
  store::Tree debt(sets.heap(), store::TreeKind::scored);
  std::vector<std::string> model;
  for (int step = 0; step < 300; ++step) {
    store::Tree source(sets.heap(), store::TreeKind::scored);
    std::vector<std::string> members;
    for (std::uint64_t i = below(below(2) == 0 ? 600 : 60); i > 0; --i) {
      const std::string member = "member:" + std::to_string(100000 + below(90000));
      const store::PackedElement element(member);
      std::string item(sizeof(double), '\0');
      item += element.packed();
      const auto path = source.find(0, member);
      if (!path.found()) REQUIRE(source.insert(path, item));
    }
    members = texts_of(source);
    REQUIRE(members.size() == source.size());
    std::optional<store::Tree> kept;
    if (below(2) == 0) kept = source.share();
    REQUIRE(debt.append(source));
    model.insert(model.end(), members.begin(), members.end());
    REQUIRE(texts_of(debt) == model);
    for (std::uint64_t i = below(12); i > 0; --i) {
      const auto paid = debt.cut(0, 64);
      REQUIRE(paid);
      const std::size_t count = std::min<std::size_t>(64, model.size());
      REQUIRE(texts_of(*paid) == std::vector<std::string>(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(count)));
      model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(count));
      REQUIRE(texts_of(debt) == model);
    }
  }
}
