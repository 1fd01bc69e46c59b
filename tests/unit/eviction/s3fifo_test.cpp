#include <catch2/catch.hpp>

#include "pinfold/base/hash.hpp"
#include "pinfold/eviction/ghost.hpp"
#include "pinfold/eviction/s3fifo.hpp"

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
  unsigned frequency = 1;
  CHECK_FALSE(S3Fifo::keep(Queue::small, frequency));
  frequency = 2;
  CHECK(S3Fifo::keep(Queue::small, frequency));
  CHECK(frequency == 0);
  CHECK_FALSE(S3Fifo::keep(Queue::main, frequency));
  frequency = 3;
  CHECK(S3Fifo::keep(Queue::main, frequency));
  CHECK(frequency == 2);
}

TEST_CASE("a key that comes back soon after its eviction is admitted to the main queue") {
  S3Fifo policy;
  policy.fit_ghost(1000);
  CHECK(policy.admit(hash_of(1)) == Queue::small);
  policy.evicted(Queue::small, hash_of(1));
  CHECK(policy.admit(hash_of(1)) == Queue::main);
  CHECK(policy.admit(hash_of(1)) == Queue::small);
}

TEST_CASE("the small queue gives way first once it is more than a tenth") {
  CHECK(S3Fifo::victim(11, 89) == Queue::small);
  CHECK(S3Fifo::victim(9, 91) == Queue::main);
  CHECK(S3Fifo::victim(1, 0) == Queue::small);
}
