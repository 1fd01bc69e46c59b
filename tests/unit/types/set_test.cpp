// Sets in the store: what SADD, SREM and the like do to numbers, runs and trees, compared with a std::set.

#include "pinfold/types/set.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "support/seed.hpp"
#include "typed_store.hpp"

#include <catch2/catch.hpp>

#include "pinfold/store/wrong_type.hpp"
#include "pinfold/types/set_algebra.hpp"

using namespace pinfold;
using namespace pinfold::types;
using store::Form;
using store::PackedElement;

namespace {

using Words = std::vector<std::string>;
using Members = std::set<std::string>;

std::string text_of(const Member& member) {
  if (member.is_plain_number()) return std::to_string(member.number());
  store::Element::Digits digits;
  return std::string(member.element().text(digits));
}

Members members_of(const Set& set) {
  Members members;
  set.visit(0, UINT64_MAX, [&](const Member& member) {
    CHECK(members.insert(text_of(member)).second);
    return true;
  });
  CHECK(members.size() == set.size());
  return members;
}

struct Sets : TypedStore {
  Thresholds limits;

  template <class Change>
  std::optional<std::uint64_t> change(const std::string& name, const Words& texts, Change&& change) {
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    return with(name, [&](store::Database& db, const store::Key& key) -> std::optional<std::uint64_t> {
      SetEdit set(db, key, heap(), limits);
      std::uint64_t count = 0;
      if (!change(set, Texts(views), count)) return std::nullopt;
      return count;
    });
  }
  std::optional<std::uint64_t> add(const std::string& name, const Words& texts) {
    return change(name, texts, [](SetEdit& set, const Texts& members, std::uint64_t& added) { return set.add(members, added); });
  }
  std::optional<std::uint64_t> remove(const std::string& name, const Words& texts) {
    return change(name, texts, [](SetEdit& set, const Texts& members, std::uint64_t& removed) { return set.remove(members, removed); });
  }
  // What `look` returns of the set.
  template <class Look>
  auto see(const std::string& name, Look&& look) {
    return with(name, [&](store::Database& db, const store::Key& key) {
      const auto value = find_collection(db, key, store::Type::set);
      return look(value ? std::optional(Set(*value)) : std::nullopt);
    });
  }
  Members all(const std::string& name) {
    return see(name, [](const std::optional<Set>& set) { return set ? members_of(*set) : Members(); });
  }
  bool contains(const std::string& name, const std::string& member) {
    return see(name, [&](const std::optional<Set>& set) { return set && set->contains(PackedElement(member)); });
  }
  std::optional<Form> form(const std::string& name) {
    return with(name, [](store::Database& db, const store::Key& key) -> std::optional<Form> {
      const auto value = db.find(key, store::Access::none());
      if (!value) return std::nullopt;
      return store::form_of(value->kind);
    });
  }
  std::size_t packed_bytes(const std::string& name) {
    return with(name, [](store::Database& db, const store::Key& key) { return db.find(key, store::Access::none())->text.size(); });
  }
};

Words numbers(int from, int to) {
  Words texts;
  for (int i = from; i < to; ++i) texts.push_back(std::to_string(i));
  return texts;
}

Words words(int from, int to, const std::string& prefix = "member") {
  Words texts;
  for (int i = from; i < to; ++i) texts.push_back(prefix + std::to_string(i));
  return texts;
}

}  // namespace

TEST_CASE("sets: numbers lie in order, each in as many bytes as the widest one needs") {
  Sets sets;
  CHECK(sets.add("s", {"3", "-1", "200", "3"}) == 3);
  CHECK(sets.form("s") == Form::packed_numbers);
  CHECK(sets.packed_bytes("s") == 1 + 3 * 2);
  CHECK(sets.see("s", [](const std::optional<Set>& set) { return text_of(set->at(0)) + text_of(set->at(1)) + text_of(set->at(2)); }) ==
        "-13200");
  CHECK(sets.add("s", {"70000"}) == 1);
  CHECK(sets.packed_bytes("s") == 1 + 4 * 4);
  CHECK(sets.add("s", {"-9223372036854775808", "9223372036854775807"}) == 2);
  CHECK(sets.packed_bytes("s") == 1 + 6 * 8);
  CHECK(sets.all("s") == Members{"-1", "3", "200", "70000", "-9223372036854775808", "9223372036854775807"});
  CHECK(sets.contains("s", "70000"));
  CHECK_FALSE(sets.contains("s", "70001"));
  CHECK_FALSE(sets.contains("s", "070000"));
  CHECK(sets.remove("s", {"3", "3", "x"}) == 1);
  CHECK(sets.remove("s", {"-1", "200", "70000", "-9223372036854775808", "9223372036854775807"}) == 5);
  CHECK_FALSE(sets.form("s"));
}

TEST_CASE("sets: the names follow the thresholds of Redis 7.2, and the layout follows the size") {
  Sets sets;
  sets.add("n", numbers(0, NumberSet::most));
  CHECK(sets.form("n") == Form::packed_numbers);
  CHECK(sets.packed_bytes("n") == 1 + NumberSet::most * 2);
  sets.add("n", {"1"});
  CHECK(sets.form("n") == Form::packed_numbers);
  sets.add("n", numbers(NumberSet::most, 512));
  CHECK(sets.form("n") == Form::tree_numbers);
  sets.add("n", {"512"});
  CHECK(sets.form("n") == Form::tree_large);
  CHECK(sets.all("n").size() == 513);
  sets.remove("n", numbers(100, 513));
  CHECK(sets.form("n") == Form::tree_large);
  sets.remove("n", numbers(20, 100));
  CHECK(sets.form("n") == Form::packed_large);
  CHECK(sets.all("n").size() == 20);

  sets.add("at once", numbers(0, 513));
  CHECK(sets.form("at once") == Form::tree_large);
  sets.add("mixed", numbers(0, 127));
  sets.add("mixed", {"word"});
  CHECK(sets.form("mixed") == Form::packed_small);
  sets.add("mixed", {"127"});
  CHECK(sets.form("mixed") == Form::tree_large);
  sets.add("many", numbers(0, 200));
  sets.add("many", {"word"});
  CHECK(sets.form("many") == Form::tree_large);
  CHECK(sets.all("many").size() == 201);
  sets.add("long", {"1"});
  sets.add("long", {std::string(65, 'x')});
  CHECK(sets.form("long") == Form::packed_large);
  sets.add("block", {"1"});
  sets.add("block", {std::string(1000, 'x')});
  CHECK(sets.form("block") == Form::tree_large);
  sets.add("wide", words(0, 100, std::string(60, 'x')));
  CHECK(sets.form("wide") == Form::tree_small);
  sets.remove("wide", words(4, 100, std::string(60, 'x')));
  CHECK(sets.form("wide") == Form::packed_small);

  sets.limits.set_numbers = 2000;
  sets.add("numbers", numbers(0, 600));
  CHECK(sets.form("numbers") == Form::tree_numbers);
  sets.add("numbers", numbers(600, 700));
  CHECK(sets.form("numbers") == Form::tree_numbers);
  sets.remove("numbers", numbers(30, 700));
  CHECK(sets.form("numbers") == Form::packed_numbers);
  CHECK(sets.all("numbers").size() == 30);
  sets.add("numbers", numbers(30, 700));
  sets.add("numbers", {"word"});
  CHECK(sets.form("numbers") == Form::tree_large);
  sets.limits.set_numbers = 3;
  sets.add("few", {"1", "2", "3"});
  CHECK(sets.form("few") == Form::packed_numbers);
  sets.add("few", {"4"});
  CHECK(sets.form("few") == Form::packed_large);
  CHECK(sets.all("few") == Members{"1", "2", "3", "4"});
  sets.work();
  CHECK(sets.consistent());
}

TEST_CASE("sets: members at positions are removed") {
  Sets sets;
  const auto remove_at = [&](const std::string& name, const std::vector<std::uint32_t>& positions) {
    return sets.with(name, [&](store::Database& db, const store::Key& key) {
      SetEdit set(db, key, sets.heap(), sets.limits);
      return static_cast<bool>(set.remove_at(positions));
    });
  };
  sets.add("n", {"5", "1", "3", "70000"});
  CHECK(remove_at("n", {0, 2}));
  CHECK(sets.all("n") == Members{"3", "70000"});
  CHECK(remove_at("n", {0, 1}));
  CHECK_FALSE(sets.form("n"));
  sets.add("w", {"a", "b", "c", "d"});
  CHECK(remove_at("w", {1, 3}));
  CHECK(sets.all("w") == Members{"a", "c"});
}

TEST_CASE("sets: another type is refused") {
  Sets sets;
  sets.with("s", [](store::Database& db, const store::Key& key) { return static_cast<bool>(db.put(key, "text")); });
  CHECK_THROWS_AS(sets.add("s", {"a"}), store::WrongType);
  CHECK_THROWS_AS(sets.all("s"), store::WrongType);
}

namespace {

Members combined(SetOperation operation, const std::vector<Set>& sets, std::uint64_t slice) {
  Members found;
  SetCombination combination(operation, sets);
  bool more = true;
  while (more) {
    more = combination.advance(slice, [&](const Member& member, PackedElement& element) {
      CHECK(element.text() == text_of(member));
      CHECK((found.insert(std::string(element.text())).second || operation == SetOperation::concatenation));
      return true;
    });
  }
  return found;
}

Members expected(SetOperation operation, const std::vector<Members>& sets) {
  Members result = sets[0];
  for (std::size_t i = 1; i < sets.size(); ++i) {
    Members next;
    const auto into = std::inserter(next, next.end());
    switch (operation) {
      case SetOperation::intersection:
        std::ranges::set_intersection(result, sets[i], into);
        break;
      case SetOperation::difference:
        std::ranges::set_difference(result, sets[i], into);
        break;
      default:
        std::ranges::set_union(result, sets[i], into);
        break;
    }
    result = std::move(next);
  }
  return result;
}

}  // namespace

TEST_CASE("sets: intersections, unions and differences over every layout, in slices of every size") {
  Sets sets;
  sets.add("numbers", numbers(0, 300));
  sets.add("few", numbers(250, 260));
  sets.add("run", {"250", "member1", "255", "x", ""});
  sets.add("tree", words(0, 500));
  sets.add("tree", numbers(100, 400));
  sets.add("tree", {std::string(700, 'x'), ""});
  sets.add("blocks", {std::string(700, 'x'), std::string(700, 'y'), "member1", "255"});
  const std::vector<std::string> names = {"numbers", "few", "run", "tree", "blocks"};
  std::vector<Members> models;
  for (const std::string& name : names) models.push_back(sets.all(name));
  std::vector<Set> views;
  for (const std::string& name : names) views.push_back(sets.see(name, [](const std::optional<Set>& set) { return *set; }));
  for (const SetOperation operation :
       {SetOperation::intersection, SetOperation::union_of_all, SetOperation::concatenation, SetOperation::difference}) {
    for (std::size_t a = 0; a < names.size(); ++a) {
      for (std::size_t b = 0; b < names.size(); ++b) {
        for (std::size_t c = 0; c <= names.size(); ++c) {
          std::vector<Set> some = {views[a], views[b]};
          std::vector<Members> model = {models[a], models[b]};
          if (c < names.size()) {
            some.push_back(views[c]);
            model.push_back(models[c]);
          }
          INFO(static_cast<int>(operation) << " " << names[a] << " " << names[b] << " " << c);
          REQUIRE(combined(operation, some, 1 + (a + b) * 40) == expected(operation, model));
        }
      }
    }
  }
}

TEST_CASE("sets: a draft is stored in the form that its members ask for") {
  Sets sets;
  const auto store = [&](const std::string& name, const Words& texts, bool as_tree) {
    return sets.with(name, [&](store::Database& db, const store::Key& key) {
      SetDraft draft(sets.heap(), sets.limits);
      if (as_tree) REQUIRE(draft.become_tree());
      for (const std::string& text : texts) {
        PackedElement member(text);
        REQUIRE(draft.add(member) != SetDraft::Added::no_memory);
      }
      draft.finish();
      return static_cast<bool>(draft.put(db, key));
    });
  };
  for (const bool as_tree : {false, true}) {
    CHECK(store("s", numbers(0, NumberSet::most), as_tree));
    CHECK(sets.form("s") == Form::packed_numbers);
    CHECK(sets.all("s").size() == NumberSet::most);
    CHECK(store("s", numbers(0, 513), as_tree));
    CHECK(sets.form("s") == Form::tree_large);
    CHECK(store("s", words(0, 128), as_tree));
    CHECK(sets.form("s") == Form::packed_small);
    CHECK(sets.all("s").size() == 128);
    CHECK(store("s", words(0, 129), as_tree));
    CHECK(sets.form("s") == Form::tree_large);
    CHECK(store("s", {"1", std::string(1000, 'x')}, as_tree));
    CHECK(sets.form("s") == Form::tree_large);
    CHECK(store("s", {"1", "x"}, as_tree));
    CHECK(sets.form("s") == Form::packed_small);
    CHECK(sets.all("s") == Members{"1", "x"});
  }
  sets.work();
  CHECK(sets.consistent());
}

namespace {

void play(double failures, std::uint64_t seed, int steps) {
  INFO(seed_note(seed));
  std::mt19937_64 random(seed);
  const auto below = [&](std::uint64_t bound) { return random() % bound; };
  Sets sets;
  sets.limits.set_entries = 20 + below(300);
  sets.limits.set_numbers = 20 + below(1000);
  FailingAllocations failing(failures, seed);
  std::map<std::string, Members> model;
  std::uint64_t rarely = 40;  // how rarely a member is no small number
  const auto text = [&]() -> std::string {
    switch (below(rarely)) {
      case 0:
        return std::string(below(3000), static_cast<char>('a' + below(3)));
      case 1:
        return std::to_string(static_cast<std::int64_t>(random()) >> below(64));
      case 2:
        return "member" + std::to_string(below(400));
      default:
        return std::to_string(below(1200));
    }
  };
  for (int step = 0; step < steps; ++step) {
    const std::string name = "s" + std::to_string(below(3));
    Members& members = model[name];
    rarely = name == "s0" ? 4 : (name == "s1" ? 40 : 4000);
    const bool grows = below(1000) < (step / 200 % 2 == 0 ? 700U : 300U);
    Words words;
    const std::size_t count = below(8) == 0 ? 1 + below(100) : 1 + below(3);
    for (std::size_t i = 0; i < count; ++i) {
      const bool known = !members.empty() && below(2) == 0;
      words.push_back(known ? *std::next(members.begin(), static_cast<std::ptrdiff_t>(below(members.size()))) : text());
    }
    Members wanted = members;
    std::uint64_t changed = 0;
    for (const std::string& word : words) changed += grows ? (wanted.insert(word).second ? 1U : 0U) : wanted.erase(word);
    const auto done =
        failing.during([&] { return grows ? sets.add(name, words) : sets.remove(name, words); }, std::optional<std::uint64_t>());
    if (done) {
      REQUIRE(*done == changed);
      members = wanted;
    } else {
      REQUIRE(failures > 0);
      const Members there = sets.all(name);
      const Members& smaller = grows ? members : wanted;
      const Members& larger = grows ? wanted : members;
      REQUIRE(std::ranges::includes(there, smaller));
      REQUIRE(std::ranges::includes(larger, there));
      members = there;
    }
    if (step % 50 == 0) {
      REQUIRE(sets.all(name) == members);
      sets.work();
      REQUIRE(sets.consistent());
    }
    const std::string some = text();
    REQUIRE(sets.contains(name, some) == members.contains(some));
    if (members.empty()) REQUIRE_FALSE(sets.form(name));
  }
  for (const auto& [name, members] : model) REQUIRE(sets.all(name) == members);
}

}  // namespace

TEST_CASE("sets: random histories leave what a set has") { play(0, test_seed(), 4000); }

TEST_CASE("sets: histories with failing allocations leave every member that was not to be changed") {
  play(0.02, test_seed(), 2000);
  play(0.3, test_seed(), 2000);
}
