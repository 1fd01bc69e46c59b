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
    ghost.reset(capacity);
    const int n = static_cast<int>(capacity);
    for (int i = 0; i < 3 * n; ++i) ghost.remember(hash_of(i));
    int recent = 0;
    int old = 0;
    for (int i = 0; i < n; ++i) old += ghost.take(hash_of(i));
    for (int i = 3 * n - n / 2; i < 3 * n; ++i) recent += ghost.take(hash_of(i));
    CHECK(recent > n / 2 * 80 / 100);
    CHECK(old < n / 20);
    CHECK(ghost.memory() < capacity * 6 + 200);
  }
}

TEST_CASE("what a ghost gave back it has forgotten") {
  Ghost ghost;
  CHECK_FALSE(ghost.take(hash_of(1)));
  ghost.reset(100);
  ghost.remember(hash_of(1));
  CHECK(ghost.take(hash_of(1)));
  CHECK_FALSE(ghost.take(hash_of(1)));
}

TEST_CASE("only a proved entry leaves the small queue for the main queue, and goes round there while it is used") {
  Policy policy;
  Candidate entry{.frequency = 1};
  CHECK_FALSE(policy.keep({.from = Queue::small}, entry));
  entry.frequency = 2;
  CHECK(policy.keep({.from = Queue::small}, entry) == Queue::main);
  CHECK(entry.frequency == 0);
  CHECK_FALSE(policy.keep({.from = Queue::main}, entry));
  entry.frequency = 3;
  CHECK(policy.keep({.from = Queue::main}, entry) == Queue::main);
  CHECK(entry.frequency == 2);
}

TEST_CASE("a key that comes back soon after its eviction is admitted to the main queue") {
  Policy policy;
  policy.fit(1000, 1000);
  Candidate entry{.hash = hash_of(1)};
  CHECK(policy.admit(entry) == Queue::small);
  policy.evicted(Queue::small, entry);
  CHECK(policy.admit(entry) == Queue::main);
  CHECK(policy.admit(entry) == Queue::small);
}

TEST_CASE("the small queue gives way first once it is more than a tenth") {
  Policy policy;
  CHECK(policy.victim({11, 89, 0}).queue == Queue::small);
  CHECK(policy.victim({9, 91, 0}).queue == Queue::main);
  CHECK(policy.victim({1, 0, 0}).queue == Queue::small);
}
