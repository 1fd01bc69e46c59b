#include "pinfold/base/prefixes.hpp"

#include <list>
#include <random>
#include <set>
#include <string>

#include "support/seed.hpp"

#include <catch2/catch.hpp>

using namespace pinfold;

namespace {

std::string some_text(std::mt19937_64& random) {
  std::string text;
  for (std::uint64_t size = random() % 6; text.size() < size;) text += static_cast<char>('a' + random() % 2);
  return text;
}

}  // namespace

TEST_CASE("exactly the texts that a key begins with are found, whatever was added and removed before") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  std::mt19937_64 random(seed);
  std::list<std::string> texts;
  Prefixes<const std::string*> prefixes;
  for (int round = 0; round < 3000; ++round) {
    if (random() % 3 != 0) {
      texts.push_back(some_text(random));
      prefixes.add(texts.back(), &texts.back());
    } else if (!texts.empty()) {
      const auto gone = std::next(texts.begin(), static_cast<std::ptrdiff_t>(random() % texts.size()));
      prefixes.remove_if([&](const std::string* text) { return text == &*gone; });
      texts.erase(gone);
    }
    if (texts.size() > 40) {
      prefixes.remove_if([](const std::string*) { return true; });
      texts.clear();
    }
    const std::string key = some_text(random);
    std::multiset<const std::string*> expected;
    for (const std::string& text : texts) {
      if (key.starts_with(text)) expected.insert(&text);
    }
    std::multiset<const std::string*> found;
    prefixes.for_each_of(key, [&](const std::string* text) { found.insert(text); });
    REQUIRE(found == expected);
  }
}
