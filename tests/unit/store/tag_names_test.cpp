#include "pinfold/store/tag_names.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "pinfold/store/extra.hpp"

using namespace pinfold::store;

namespace {

std::string encoded(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    text.push_back(static_cast<char>(name.size()));
    text.append(name);
  }
  return text;
}

std::string of_keys(const std::set<std::string>& keys) {
  std::vector<std::string> names;
  for (const std::string& key : keys) names.push_back(name_of_dependency(key));
  return encoded(names);
}

}  // namespace

TEST_CASE("tag names: tags and dependencies share none, and each is found again in its name") {
  using namespace std::string_literals;
  const std::string texts[] = {"",
                               "a",
                               "k",
                               "t",
                               "ka",
                               "\0"s,
                               "\0k"s,
                               "\0ka"s,
                               "\0t"s,
                               "\0ta"s,
                               "\0\0"s,
                               "\0k\0ka"s,
                               "\0tk"s,
                               std::string(255, 'x'),
                               std::string(253, 'x'),
                               std::string(254, 'x'),
                               "\0"s + std::string(252, 'x'),
                               "\0"s + std::string(253, 'x')};
  std::set<std::string> names;
  std::size_t count = 0;
  for (const std::string& text : texts) {
    if (const std::string tag = name_of_tag(text); !tag.empty()) {
      ++count;
      names.insert(tag);
      CHECK(tag.size() <= most_tag_bytes);
      CHECK_FALSE(dependency_of(tag));
      CHECK(tag_of(tag) == text);
    } else {
      CHECK((text.empty() || text.size() > most_dependency_bytes));
    }
    if (const std::string dependency = name_of_dependency(text); !dependency.empty()) {
      ++count;
      names.insert(dependency);
      CHECK(dependency.size() <= most_tag_bytes);
      CHECK(dependency_of(dependency) == text);
    } else {
      CHECK(text.size() > most_dependency_bytes);
    }
  }
  CHECK(names.size() == count);
  CHECK(name_of_tag("plain") == "plain");
}

TEST_CASE("tag names: dependencies stand before tags, and are told apart") {
  const std::string both = of_keys({"a", "b"}) + encoded({"t", "u"});
  CHECK(has_dependencies(both));
  CHECK(dependencies_in(both) == of_keys({"a", "b"}));
  CHECK_FALSE(has_dependencies(encoded({"t"})));
  CHECK_FALSE(has_dependencies(""));
  CHECK(dependencies_in(encoded({"t"})).empty());
}

TEST_CASE("tag names: one set of dependencies has all of another, whatever tags there are") {
  const std::vector<std::set<std::string>> sets = {{}, {"a"}, {"b"}, {"a", "b"}, {"a", "b", "c"}, {"aa", "b"}, {"a", "c"}, {"c"}};
  for (const auto& some : sets) {
    for (const auto& of : sets) {
      const bool all = std::includes(some.begin(), some.end(), of.begin(), of.end());
      CHECK(has_all_dependencies(of_keys(some) + encoded({"t"}), of_keys(of) + encoded({"u", "v"})) == all);
      CHECK(has_all_dependencies(of_keys(some), of_keys(of)) == all);
    }
  }
}

TEST_CASE("tag names: dependencies are collected in order and once, within bounds") {
  Dependencies all;
  const std::string first = of_keys({"b", "c"}) + encoded({"tag"});
  const std::string second = of_keys({"a", "c"});
  const std::string own = name_of_dependency("d");
  CHECK(all.add(first));
  CHECK(all.add(second));
  CHECK(all.add(encoded({"only a tag"})));
  CHECK(all.add_name(own));
  CHECK(all.encode() == of_keys({"a", "b", "c", "d"}));
  CHECK(Dependencies().encode().empty());

  Dependencies many;
  std::size_t added = 0;
  while (many.add(added % 2 == 0 ? first : second)) ++added;
  CHECK(added == Dependencies::most_names / 2);
  Dependencies same;
  for (int i = 0; i < 100'000; ++i) REQUIRE(same.add(first));
  Dependencies large;
  const std::string name = name_of_dependency(std::string(250, 'x'));
  added = 0;
  while (large.add_name(name)) ++added;
  CHECK(added == Dependencies::most_bytes / (name.size() + 1));
}
