// The answers of a policy, call by call. behaviour_test.cpp tests their effect.
#include "pinfold/eviction/policy.hpp"

#include <iterator>

#include <catch2/catch.hpp>

#include "pinfold/base/siphash.hpp"

using namespace pinfold;
using namespace pinfold::eviction;

namespace {

std::uint64_t hash_of(int i) { return siphash13({1, 2}, {reinterpret_cast<const char*>(&i), sizeof i}); }

std::optional<Queue> keep(Policy& policy, Queue from, unsigned& frequency, unsigned pressure = 0) {
  Candidate candidate{.bytes = 1, .frequency = frequency, .expires_at = 1};
  const auto queue = policy.keep({.from = from, .pressure = pressure}, candidate);
  frequency = candidate.frequency;
  return queue;
}

const Kind all_kinds[] = {Kind::allkeys_lfu,  Kind::allkeys_lru,     Kind::allkeys_random, Kind::volatile_lfu,
                          Kind::volatile_lru, Kind::volatile_random, Kind::volatile_ttl,   Kind::noeviction};
static_assert(std::size(all_kinds) == kind_names.size(), "a new policy is tested like the others");

}  // namespace

TEST_CASE("policies are known by Redis' names") {
  for (const Kind kind : all_kinds) CHECK(kind_named(name_of(kind)) == kind);
  CHECK(name_of(Kind::volatile_ttl) == "volatile-ttl");
  CHECK_FALSE(kind_named("allkeys-fifo"));
}

TEST_CASE("an empty cache has no victim, and noeviction never has") {
  for (const Kind kind : all_kinds) CHECK(Policy(kind).victim({0, 0, 0}).pick == Pick::none);
  CHECK(Policy(Kind::noeviction).victim({10, 10, 10}).pick == Pick::none);
}

TEST_CASE("allkeys-lfu: entries go round the small queue while they are used, and move to the main queue with the highest frequency") {
  Policy policy(Kind::allkeys_lfu, 1);
  policy.fit(100, 100);
  unsigned frequency = 3;
  CHECK(keep(policy, Queue::small, frequency) == Queue::main);
  CHECK(frequency == 0);
  frequency = 2;
  CHECK(keep(policy, Queue::small, frequency) == Queue::small);
  CHECK(frequency == 1);
  CHECK(keep(policy, Queue::small, frequency) == Queue::small);
  CHECK_FALSE(keep(policy, Queue::small, frequency));
  frequency = 3;
  for (unsigned left = 3; left-- > 0;) {
    CHECK(keep(policy, Queue::main, frequency) == Queue::main);
    CHECK(frequency == left);
  }
  CHECK_FALSE(keep(policy, Queue::main, frequency));
}

TEST_CASE("allkeys-lfu: a key that comes back soon after its eviction is admitted to the main queue, once") {
  Policy policy;
  policy.fit(1000, 1000);
  Candidate entry{.hash = hash_of(1)};
  CHECK(policy.admit(entry) == Queue::small);
  policy.evicted(Queue::small, entry);
  CHECK(policy.admit(entry) == Queue::main);
  CHECK(policy.admit(entry) == Queue::small);
}

TEST_CASE("allkeys-lfu: a key that was away longer than the main queue would have held it is admitted to the small queue") {
  Policy policy(Kind::allkeys_lfu, 1);
  policy.fit(1000, 1000);
  // Two entries of the main queue are read for each that leaves the small queue. So the main queue is read once in 450 evictions.
  int next = 0;
  for (int i = 0; i < 3000; ++i) {
    policy.victim({100, 900, 0});
    for (int reads = 0; reads < 2; ++reads) {
      Candidate old{.bytes = 1, .frequency = 1};
      policy.keep({.from = Queue::main}, old);
    }
    policy.evicted(Queue::small, {.hash = hash_of(next++)});
  }
  Candidate long_gone{.hash = hash_of(next - 600)};
  CHECK(policy.admit(long_gone) == Queue::small);
  Candidate gone{.hash = hash_of(next - 300)};
  CHECK(policy.admit(gone) == Queue::main);
}

TEST_CASE("allkeys-lfu: about a quarter of the keys that left the main queue come straight back to it") {
  Policy policy(Kind::allkeys_lfu, 1);
  policy.fit(10000, 10000);
  int back = 0;
  for (int i = 0; i < 4000; ++i) policy.evicted(Queue::main, {.hash = hash_of(i)});
  for (int i = 0; i < 4000; ++i) {
    Candidate entry{.hash = hash_of(i)};
    back += policy.admit(entry) == Queue::main;
  }
  CHECK(back > 850);
  CHECK(back < 1150);
}

TEST_CASE("allkeys-lfu: keys that come back soon move the small queue's share, between 1 and 30 %") {
  Policy policy(Kind::allkeys_lfu, 1);
  policy.fit(1000, 1000);
  CHECK(policy.small_share() == Approx(0.1));
  CHECK(policy.victim({11, 89, 0}).queue == Queue::small);
  CHECK(policy.victim({9, 91, 0}).queue == Queue::main);
  CHECK(policy.victim({1, 0, 0}).queue == Queue::small);
  CHECK(policy.victim({0, 1, 0}).queue == Queue::main);
  const auto returns = [&policy](Queue from) {
    for (int i = 0; i < 3000; ++i) {
      Candidate entry{.hash = hash_of(i)};
      policy.evicted(from, entry);
      policy.admit(entry);
    }
  };
  returns(Queue::small);
  CHECK(policy.small_share() == Approx(0.3));
  returns(Queue::main);
  CHECK(policy.small_share() == Approx(0.01));
}

TEST_CASE("allkeys-lfu: frequency decays with time, but never below one") {
  const auto after = [](std::uint32_t decay, std::uint32_t minutes) {
    Policy policy(Kind::allkeys_lfu, 1);
    policy.set_decay(decay);
    Candidate entry{.frequency = 3, .minutes = minutes};
    CHECK(policy.keep({.from = Queue::main}, entry) == Queue::main);
    return entry.frequency;
  };
  CHECK(after(1, 0) == 2);
  CHECK(after(1, 10) == 1);
  CHECK(after(1, 20) == 0);
  CHECK(after(1, 100000) == 0);
  CHECK(after(100, 20) == 2);
  CHECK(after(0, 100000) == 2);
}

TEST_CASE("pressure lowers the frequency that counts, and at its highest every entry is evicted that may be") {
  for (const Kind kind : {Kind::allkeys_lfu, Kind::allkeys_lru, Kind::volatile_lfu, Kind::volatile_lru}) {
    for (const Queue from : {Queue::small, Queue::main}) {
      Policy policy(kind, 1);
      for (unsigned pressure = 0; pressure < 3; ++pressure) {
        unsigned frequency = pressure + 1;
        CHECK(keep(policy, from, frequency, pressure));
        frequency = pressure;
        CHECK_FALSE(keep(policy, from, frequency, pressure));
      }
      unsigned frequency = 3;
      CHECK_FALSE(keep(policy, from, frequency, 3));
    }
  }
}

TEST_CASE("allkeys-lru: an entry that was used since it was last read gets one second chance") {
  Policy policy(Kind::allkeys_lru);
  Candidate fresh;
  CHECK(policy.admit(fresh) == Queue::main);
  unsigned frequency = 3;
  CHECK(keep(policy, Queue::main, frequency) == Queue::main);
  CHECK_FALSE(keep(policy, Queue::main, frequency));
}

TEST_CASE("random policies empty any segment and keep no entry that may be evicted") {
  for (const Kind kind : {Kind::allkeys_random, Kind::volatile_random}) {
    Policy policy(kind);
    CHECK(policy.victim({10, 10, 0}).pick == Pick::random);
    unsigned frequency = 3;
    CHECK_FALSE(keep(policy, Queue::main, frequency));
  }
}

TEST_CASE("volatile-ttl: the nearer half of the deadlines goes, the rest stays") {
  Policy policy(Kind::volatile_ttl);
  CHECK(policy.victim({10, 10, 10}).pick == Pick::soonest);
  UnixMs deadlines[] = {50, 10, 40, 20, 30, 60};
  const UnixMs cutoff = nearer_half(deadlines);
  CHECK(cutoff == 30);
  CHECK(nearer_half({}) == 0);
  Candidate near{.expires_at = 30};
  Candidate far{.expires_at = 31};
  const Reading reading{.from = Queue::main, .cutoff = cutoff};
  CHECK_FALSE(policy.keep(reading, near));
  CHECK(policy.keep(reading, far) == Queue::main);
}

TEST_CASE("volatile policies set entries without a deadline aside and never read them there") {
  for (const Kind kind : {Kind::volatile_lfu, Kind::volatile_lru, Kind::volatile_random, Kind::volatile_ttl}) {
    Policy policy(kind);
    Candidate persistent;
    CHECK(policy.admit(persistent) == Queue::pinned);
    for (unsigned pressure = 0; pressure <= 3; ++pressure) {
      for (const Queue from : {Queue::small, Queue::main}) {
        CHECK(policy.keep({.from = from, .pressure = pressure}, persistent) == Queue::pinned);
      }
    }
    CHECK_FALSE(policy.reads(Queue::pinned));
    CHECK(policy.victim({0, 0, 1000}).pick == Pick::none);
    Candidate given_a_deadline{.expires_at = 1};
    CHECK(policy.requeue(Queue::pinned, given_a_deadline) == Queue::main);
    CHECK(policy.requeue(Queue::small, given_a_deadline) == Queue::small);
    CHECK(policy.requeue(Queue::main, persistent) == Queue::pinned);
  }
}

TEST_CASE("after a switch to an allkeys policy the entries set aside are read first") {
  Policy policy(Kind::volatile_lfu);
  policy.set_kind(Kind::allkeys_lfu);
  CHECK(policy.victim({100, 100, 1}).queue == Queue::pinned);
  unsigned frequency = 1;
  CHECK(keep(policy, Queue::pinned, frequency) == Queue::main);
  CHECK_FALSE(keep(policy, Queue::pinned, frequency));
  policy.set_kind(Kind::allkeys_lru);
  CHECK(policy.victim({100, 100, 1}).queue == Queue::pinned);
  CHECK(policy.victim({100, 100, 0}).queue == Queue::small);
  CHECK(policy.victim({0, 100, 0}).queue == Queue::main);
  policy.set_kind(Kind::allkeys_random);
  CHECK(policy.reads(Queue::pinned));
}

TEST_CASE("only the lfu policies have ghosts, which take at most 8 bytes per entry of a large cache") {
  for (const Kind kind : all_kinds) {
    Policy policy(kind);
    policy.fit(500000, 500000);
    CHECK((policy.memory() > 0) == is_lfu(kind));
    CHECK(policy.memory() <= 8 * 500000);
    policy.set_kind(Kind::allkeys_lru);
    CHECK(policy.memory() == 0);
  }
}

TEST_CASE("negative entries have a queue of their own, which is evicted from if they take too much or if there is nothing else") {
  for (const Kind kind : all_kinds) {
    Policy policy(kind);
    Candidate negative{.expires_at = 1, .negative = true};
    Candidate valued{.expires_at = 1};
    CHECK(policy.admit(negative) == Queue::negative);
    CHECK(policy.requeue(Queue::main, negative) == Queue::negative);
    CHECK(policy.requeue(Queue::negative, valued) != Queue::negative);
    CHECK_FALSE(policy.reads(Queue::negative));
    if (kind == Kind::noeviction) {
      CHECK(policy.victim({100, 100, 0, 100}, true).pick == Pick::none);
      continue;
    }
    const auto names_negatives = [&policy](const Occupancy& bytes, bool first) {
      const Victim victim = policy.victim(bytes, first);
      return victim.pick == Pick::oldest && victim.queue == Queue::negative;
    };
    CHECK(names_negatives({100, 100, 0, 1}, true));
    CHECK(names_negatives({0, 0, 0, 1}, false));
    CHECK_FALSE(names_negatives({100, 100, 0, 1000}, false));
    CHECK_FALSE(names_negatives({100, 100, 0, 0}, true));
  }
}

TEST_CASE("negative entries that were asked for get a second chance, unless much was read in vain") {
  Policy policy;
  unsigned frequency = 2;
  CHECK(keep(policy, Queue::negative, frequency) == Queue::negative);
  CHECK(keep(policy, Queue::negative, frequency) == Queue::negative);
  CHECK_FALSE(keep(policy, Queue::negative, frequency));
  for (unsigned pressure = 1; pressure <= most_frequency; ++pressure) {
    frequency = pressure;
    CHECK_FALSE(keep(policy, Queue::negative, frequency, pressure));
  }
}
