#include <catch2/catch.hpp>

#include "pinfold/base/hash.hpp"
#include "pinfold/eviction/ghost.hpp"
#include "pinfold/eviction/policy.hpp"

using namespace pinfold;
using namespace pinfold::eviction;

namespace {
std::uint64_t hash_of(int i) {
  return siphash13({1, 2}, {reinterpret_cast<const char*>(&i), sizeof i});
}
}  // namespace

TEST_CASE("a ghost remembers about as many as it is told, and forgets what is older") {
  for (const std::size_t capacity : {100, 5000, 100000}) {
    Ghost ghost;
    ghost.resize(capacity);
    const int n = static_cast<int>(capacity);
    for (int i = 0; i < 3 * n; ++i) ghost.remember(hash_of(i));
    int recent = 0;
    int old = 0;
    for (int i = 0; i < n; ++i) old += ghost.take(hash_of(i)).has_value();
    for (int i = 3 * n - n / 2; i < 3 * n; ++i) recent += ghost.take(hash_of(i)).has_value();
    CHECK(recent > n / 2 * 95 / 100);
    CHECK(old < n / 20);
    CHECK(ghost.memory() <= capacity * 9 / 2 + 32);
  }
}
