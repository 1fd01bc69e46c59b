#include "pinfold/base/glob.hpp"

#include <random>
#include <string>

#include "support/seed.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/text.hpp"
#include "pinfold/base/work.hpp"

using namespace pinfold;

namespace {

// Matches as Redis does, in the most straightforward way: recursive, and slow for hostile patterns.
class Naive {
 public:
  Naive(std::string_view pattern, bool ignore_case) : pattern_(pattern), ignore_case_(ignore_case) {}

  bool matches(std::string_view text, std::size_t p = 0) const {
    if (p == pattern_.size()) return text.empty();
    if (pattern_[p] == '*') {
      for (std::size_t skip = 0; skip <= text.size(); ++skip) {
        if (matches(text.substr(skip), p + 1)) return true;
      }
      return false;
    }
    if (text.empty()) return false;
    std::size_t next = p + 1;
    const bool fits = one(p, next, text[0]);
    return fits && matches(text.substr(1), next);
  }

 private:
  char fold(char c) const { return ignore_case_ ? lower(c) : c; }
  bool one(std::size_t p, std::size_t& next, char c) const {
    if (pattern_[p] == '?') return true;
    if (pattern_[p] == '[') return in_class(p + 1, next, c);
    if (pattern_[p] == '\\' && p + 1 < pattern_.size()) next = ++p + 1;
    return fold(pattern_[p]) == fold(c);
  }
  bool in_class(std::size_t p, std::size_t& next, char c) const {
    const auto byte = [](char x) { return static_cast<unsigned char>(x); };
    const bool negated = p < pattern_.size() && pattern_[p] == '^';
    if (negated) ++p;
    bool found = false;
    for (; p < pattern_.size() && pattern_[p] != ']'; ++p) {
      if (pattern_[p] == '\\' && p + 1 < pattern_.size()) {
        found |= pattern_[++p] == c;
      } else if (p + 2 < pattern_.size() && pattern_[p + 1] == '-') {
        char first = pattern_[p];
        char last = pattern_[p + 2];
        if (byte(first) > byte(last)) std::swap(first, last);
        found |= byte(fold(c)) >= byte(fold(first)) && byte(fold(c)) <= byte(fold(last));
        p += 2;
      } else {
        found |= fold(pattern_[p]) == fold(c);
      }
    }
    next = std::min(p + 1, pattern_.size());
    return found != negated;
  }

  std::string_view pattern_;
  bool ignore_case_;
};

bool matches(std::string_view pattern, std::string_view text, bool ignore_case = false) { return Glob(pattern, ignore_case).matches(text); }

std::string repeated(std::string_view text, std::size_t times) {
  std::string all;
  while (times-- > 0) all += text;
  return all;
}

// The number of comparisons, and whether the text matches.
std::uint64_t compared(const std::string& pattern, const std::string& text, bool expected) {
  const Glob glob(pattern);
  REQUIRE(glob.refused() == nullptr);
  work::Counting counting;
  REQUIRE(glob.matches(text) == expected);
  return counting.counts().bytes;
}

}  // namespace

TEST_CASE("a glob matches as in Redis") {
  CHECK(matches("*", ""));
  CHECK(matches("h?llo", "hello"));
  CHECK(matches("h*llo", "heeeello"));
  CHECK(matches("h[ae]llo", "hallo"));
  CHECK_FALSE(matches("h[^e]llo", "hello"));
  CHECK(matches("h[a-c]llo", "hbllo"));
  CHECK(matches("h[c-a]llo", "hbllo"));
  CHECK(matches("a\\*b", "a*b"));
  CHECK_FALSE(matches("a\\*b", "axb"));
  CHECK(matches("HELLO", "hello", true));
  CHECK_FALSE(matches("", "a"));
  CHECK(matches("", ""));
  CHECK(matches("a*b*c", "axxbyyc"));
  CHECK_FALSE(matches("a*b*c", "axxbyy"));
  CHECK_FALSE(matches("ab*bc", "abc"));
  CHECK(matches("**a***b**", "xaxbx"));
}

TEST_CASE("a glob agrees with a naive matcher on random patterns and texts", "[one-thread]") {
  std::mt19937_64 random(test_seed());
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  // Few letters, so that many texts nearly match.
  const std::string_view of_pattern = "aaabbAB**?[]^-\\c";
  const std::string_view of_text = "aaabbABc-\\]\xff";
  for (int round = 0; round < 200'000; ++round) {
    std::string pattern;
    for (std::size_t left = below(14); left > 0; --left) pattern += of_pattern[below(of_pattern.size())];
    if (below(4) == 0) pattern.insert(below(pattern.size() + 1), "[a-b]?[^c]");
    std::string text;
    for (std::size_t left = below(16); left > 0; --left) text += of_text[below(of_text.size())];
    const bool ignore_case = below(2) == 0;
    INFO("pattern " << quoted(pattern) << " text " << quoted(text) << " ignore case " << ignore_case);
    REQUIRE(Glob(pattern, ignore_case).matches(text) == Naive(pattern, ignore_case).matches(text));
  }
}

TEST_CASE("a glob agrees with a naive matcher on pieces of more than a word of bits", "[one-thread]") {
  std::mt19937_64 random(test_seed());
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (int round = 0; round < 3000; ++round) {
    std::string piece;
    std::string fitting;
    for (std::size_t left = 60 + below(140); left > 0; --left) {
      constexpr std::array<std::string_view, 4> kinds = {"a", "b", "?", "[ab]"};
      const std::string_view element = kinds[below(kinds.size())];
      piece += element;
      fitting += element.size() == 1 && element[0] != '?' ? element[0] : "ab"[below(2)];
    }
    const auto noise = [&] {
      std::string text;
      for (std::size_t left = below(200); left > 0; --left) text += "ab"[below(2)];
      return text;
    };
    std::string text = noise() + fitting + noise();
    if (below(2) == 0) text[below(text.size())] = 'c';
    const std::string pattern = "*" + piece + "*";
    REQUIRE(matches(pattern, text) == Naive(pattern, false).matches(text));
  }
}

TEST_CASE("the work to match is linear in the text, whatever the pattern") {
  constexpr std::size_t size = 80'000;
  const std::string text(size, 'a');
  CHECK(compared("*" + std::string(40'000, 'a') + "b", text, false) <= 2 * size);
  CHECK(compared("*" + std::string(40'000, 'a') + "b*", text, false) <= 3 * size);
  CHECK(compared("*" + repeated("a*", 30'000) + "b", text, false) <= 3 * size);
  CHECK(compared("*" + repeated("aab*", 10'000), repeated("ab", size / 2), false) <= 3 * size);
  CHECK(compared("*" + std::string(60, 'a') + "[bc]*", text, false) <= 2 * size);
  CHECK(compared("*" + std::string(1000, 'a') + "[bc]*", text, false) <= 17 * size);
  CHECK(compared("*" + repeated("?a[bc]*", 200), text, false) <= 3 * size);
  CHECK(compared("*" + std::string(1000, '?') + "*" + std::string(1000, '?') + "*", text, true) <= 2 * size);
  const Glob mixed("*" + std::string(1000, 'a') + "[bc]*");
  CHECK(mixed.cost() == 16);
}

TEST_CASE("a compiled class of many characters costs one comparison") {
  const std::string members = "[" + std::string(60'000, 'a') + "]";
  CHECK(compared(members, "b", false) == 1);
  CHECK(compared(members, "a", true) == 1);
}

TEST_CASE("a costly pattern is refused with a reason") {
  CHECK(Glob(std::string(Glob::longest, 'a')).refused() == nullptr);
  CHECK(std::string(Glob(std::string(Glob::longest + 1, 'a')).refused()).find("65536") != std::string::npos);
  const auto between_stars = [](std::size_t n) { return "*" + std::string(n, '?') + "a*"; };
  CHECK(Glob(between_stars(1023)).refused() == nullptr);
  CHECK(std::string(Glob(between_stars(1024)).refused()).find("1024") != std::string::npos);
  CHECK(Glob("*" + repeated("?ab*", 256)).refused() == nullptr);
  CHECK(Glob("*" + repeated("?ab*", 257)).refused() != nullptr);
}

TEST_CASE("a compiled pattern takes a bounded amount of memory") {
  for (const std::string& part : {std::string("[ab]"), std::string("a"), std::string("a*"), std::string("?a*"), std::string("[ab]x*")}) {
    const Glob glob(repeated(part, Glob::longest / part.size()));
    CHECK(glob.memory() <= 2U << 20);
  }
}
