#include "pinfold/base/holes.hpp"

#include <cstdint>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"

using namespace pinfold;

namespace {

constexpr std::size_t words = 32;
constexpr std::size_t bits = words * 64;

void fill(std::vector<std::uint64_t>& map, std::size_t at, std::size_t count, bool value) {
  for (std::size_t i = at; i < at + count; ++i) {
    const std::uint64_t bit = 1ULL << i % 64;
    if (value) {
      map[i / 64] |= bit;
    } else {
      map[i / 64] &= ~bit;
    }
  }
}

// Looks at each bit: where the lowest hole of at least `wanted` bits begins, and how long the longest hole is.
struct Looked {
  std::size_t found = bits;
  std::size_t longest = 0;
};
Looked look(const std::vector<std::uint64_t>& map, std::size_t wanted) {
  Looked looked;
  std::size_t run = 0;
  for (std::size_t i = 0; i < bits; ++i) {
    run = (map[i / 64] >> i % 64 & 1) != 0 ? 0 : run + 1;
    looked.longest = std::max(looked.longest, run);
    if (run == wanted && looked.found == bits) looked.found = i + 1 - wanted;
  }
  return looked;
}

}  // namespace

TEST_CASE("the lowest hole that is long enough is found in any map, with one step for each doubling of its size") {
  const auto seed = static_cast<unsigned>(std::random_device{}());
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  std::vector<std::uint64_t> map(words);
  Holes holes(words);
  CHECK(holes.longest() == bits);
  CHECK(holes.find(map, bits) == 0);
  for (int i = 0; i < 20'000; ++i) {
    // The map is nearly empty at first, and then nearly full.
    const std::size_t count = 1 + random() % (random() % 4 == 0 ? 300 : 10);
    const std::size_t at = random() % (bits - count + 1);
    fill(map, at, count, i < 5000 ? random() % 4 == 0 : random() % 3 != 0);
    holes.update(map, at / 64, (at + count - 1) / 64 + 1);
    const std::size_t wanted = 1 + random() % 200;
    const Looked looked = look(map, wanted);
    if (holes.longest() != looked.longest) FAIL("the longest is " << looked.longest << ", not " << holes.longest());
    if (looked.longest < wanted) continue;
    const work::Counting counting;
    const std::size_t found = holes.find(map, wanted);
    if (found != looked.found) FAIL("the first of " << wanted << " is at " << looked.found << ", not " << found);
    if (counting.counts().nodes > 5) FAIL(counting.counts().nodes << " steps");
  }
}
