// The estimate of hit ratios with other amounts of memory, against replays of everything.
#include "pinfold/eviction/miss_ratio_curve.hpp"

#include <algorithm>
#include <cmath>
#include <random>

#include <catch2/catch.hpp>

#include "pinfold/eviction/replay.hpp"

using namespace pinfold;
using namespace pinfold::eviction;
using Access = SampledAccess::Kind;

namespace {

constexpr Kind evicting[] = {Kind::allkeys_lfu,  Kind::allkeys_lru,     Kind::allkeys_random, Kind::volatile_lfu,
                             Kind::volatile_lru, Kind::volatile_random, Kind::volatile_ttl};

// Keys of which key k is asked for with a chance of about 1/k; one request in ten is for a key that comes once.
std::vector<std::uint64_t> requests(std::uint64_t seed, std::size_t count, double keys) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<> power(0, std::log(keys));
  std::vector<std::uint64_t> result;
  for (std::size_t i = 0; i < count; ++i) {
    const bool once = random() % 10 == 0;
    result.push_back(once ? (1ULL << 40) + i : static_cast<std::uint64_t>(std::exp(power(random))));
  }
  return result;
}

std::uint64_t hash_of(std::uint64_t key, std::uint64_t seed) {
  return siphash13({seed, ~seed}, {reinterpret_cast<const char*>(&key), sizeof key});
}

// What a server with `capacity` notes of its accesses.
void serve(MissRatioCurve& curve, Replay& server, std::uint64_t key, std::uint64_t seed) {
  const bool hit = server.request(key, 1, UnixMs{1'000'000'000'000} + static_cast<std::int64_t>(key % 1000));
  curve.count(hit ? 1 : 0, hit ? 0 : 1);
  SampledAccess access{.position = sample_position(hash_of(key, seed)),
                       .now = 1,
                       .expires_at = 1'000'000'000'000 + static_cast<std::int64_t>(key % 1000),
                       .bytes = 1,
                       .kind = Access::read,
                       .found = hit};
  curve.note(access);
  access.kind = Access::write;
  if (!hit) curve.note(access);
}

SampledAccess access(Access kind, std::uint64_t position, UnixMs now, UnixMs expires_at = 0, bool found = true) {
  return {.position = position, .now = now, .expires_at = expires_at, .bytes = 1, .kind = kind, .found = found};
}

}  // namespace

TEST_CASE("a miniature with all keys has the hit ratio of a replay, under each policy") {
  const auto trace = requests(1, 100'000, 5000);
  for (const Kind kind : evicting) {
    INFO(name_of(kind));
    Replay replay({.kind = kind, .capacity = 500});
    Miniature miniature(kind, 4096, 1);
    miniature.set_capacity(500);
    double replayed = 0;
    double simulated = 0;
    for (const std::uint64_t key : trace) {
      const UnixMs expires_at = 1'000'000 + static_cast<UnixMs>(key % 1000);
      replayed += replay.request(key, 1, expires_at);
      if (miniature.read(hash_of(key, 1), 1) != nullptr) {
        ++simulated;
      } else {
        REQUIRE(miniature.store({.key = hash_of(key, 1), .expires_at = expires_at}));
      }
      REQUIRE(miniature.used() <= 500);
    }
    CHECK(std::abs(simulated - replayed) / 100'000 < 0.005);
  }
}

TEST_CASE("the curve is within a point of replays of all requests") {
  const std::uint64_t seed = GENERATE(1, 2, 3);
  const auto trace = requests(seed, 200'000, 100'000);
  constexpr std::uint64_t capacity = 8000;
  for (const Kind kind : {Kind::allkeys_lfu, Kind::allkeys_lru, Kind::allkeys_random}) {
    MissRatioCurve curve(kind, 2048, seed);
    curve.set_capacity(capacity, 0);
    Replay server({.kind = kind, .capacity = capacity, .seed = seed});
    for (const std::uint64_t key : trace) serve(curve, server, key, seed);
    CHECK(curve.halvings() >= 2);  // it is a sample
    for (std::size_t i = 0; i < MissRatioCurve::factors.size(); ++i) {
      Replay replay({.kind = kind, .capacity = static_cast<std::uint64_t>(capacity * MissRatioCurve::factors[i]), .seed = seed});
      double hits = 0;
      for (const std::uint64_t key : trace) hits += replay.request(key, 1, 1'000'000'000'000 + static_cast<std::int64_t>(key % 1000));
      INFO(name_of(kind) << " x " << MissRatioCurve::factors[i]);
      CHECK(std::abs(curve.hit_ratio(i) - hits / static_cast<double>(trace.size())) < 0.01);
    }
  }
}

TEST_CASE("a curve takes no more memory than it says, whatever is stored") {
  constexpr std::uint32_t most = 512;
  MissRatioCurve curve(Kind::allkeys_lfu, most, 1);
  curve.set_capacity(1'000'000, 0);
  std::mt19937_64 random(7);
  for (int i = 0; i < 300'000; ++i) {
    SampledAccess write = access(Access::write, random(), 1, 0, false);
    write.bytes = i < 100'000 ? 1000 : 1;  // entries become smaller, so there is room for more of them
    curve.note(write);
    if (i % 1000 == 0) REQUIRE(curve.memory() <= MissRatioCurve::most_memory(most));
  }
  CHECK(curve.halvings() > 0);
  CHECK(curve.fullness() <= 1);
  CHECK(curve.memory() <= MissRatioCurve::most_memory(most));
}

TEST_CASE("with no limit of memory, more of it changes nothing, and half of it does") {
  MissRatioCurve curve(Kind::allkeys_lfu, 1024, 1);
  curve.set_capacity(std::nullopt, 400);
  Replay server({.capacity = 1'000'000});
  for (int round = 0; round < 20; ++round) {
    for (std::uint64_t key = 0; key < 400; ++key) serve(curve, server, key, 1);
  }
  CHECK(curve.hit_ratio(3) == Approx(0.95));
  CHECK(curve.hit_ratio(4) == Approx(0.95));
  CHECK(curve.hit_ratio(1) < 0.9);
}

TEST_CASE("what a curve notes of deadlines, removals and flushes") {
  MissRatioCurve curve(Kind::allkeys_lfu, 1024, 1);
  curve.set_capacity(100, 0);
  const auto misses_after = [&curve](std::initializer_list<SampledAccess> accesses) {
    for (const SampledAccess& one : accesses) curve.note(one);
    const double before = curve.misses();
    curve.note(access(Access::look, 5, 1000, 0, false));
    return curve.misses() - before;
  };
  CHECK(misses_after({access(Access::write, 5, 1)}) == 0);
  CHECK(misses_after({access(Access::deadline, 5, 1, 999)}) == 1);
  CHECK(misses_after({access(Access::write, 5, 1, 1001)}) == 0);
  CHECK(misses_after({access(Access::remove, 5, 1)}) == 1);
  CHECK(misses_after({access(Access::write, 5, 1)}) == 0);
  CHECK(misses_after({access(Access::flush, 0, 1)}) == 1);
}

TEST_CASE("an entry that a cache has not missed keeps its deadline when the server stores it once more") {
  MissRatioCurve curve(Kind::allkeys_lfu, 1024, 1);
  curve.set_capacity(100, 0);
  curve.note(access(Access::write, 5, 1, 100));
  curve.note(access(Access::read, 5, 2, 0, false));  // the server has evicted it; the simulated cache has not
  curve.note(access(Access::write, 5, 2, 200, false));
  const double before = curve.misses();
  curve.note(access(Access::read, 5, 150, 200, true));
  CHECK(curve.misses() == before + 1);
}

TEST_CASE("a halved sample forgets the keys that are not in it any more") {
  MissRatioCurve curve(Kind::allkeys_lfu, 1024, 1);
  curve.set_capacity(100, 0);
  curve.note(access(Access::write, 5, 1));
  curve.note(access(Access::write, UINT64_MAX - 5, 1));
  CHECK(curve.entries() == 2);
  curve.halve();
  CHECK(curve.entries() == 1);
  curve.note(access(Access::write, UINT64_MAX - 5, 1));
  CHECK(curve.entries() == 1);
}

TEST_CASE("an enlarged sample counts nothing until it holds what the cache holds") {
  MissRatioCurve curve(Kind::allkeys_lfu, 1024, 1);
  curve.set_capacity(100, 0);
  curve.halve();
  curve.enlarge(0);
  CHECK_FALSE(curve.filled(100, 100));
  curve.note(access(Access::read, 5, 1));
  CHECK(curve.reads() == 0);
  for (std::uint64_t key = 0; key < 90; ++key) curve.note(access(Access::read, key, 1));
  CHECK(curve.filled(100, 100));
  curve.note(access(Access::read, 5, 1));
  CHECK(curve.reads() == 1);
  CHECK(curve.misses() == 0);
}

TEST_CASE("entries that were not read, and the age at which values change") {
  MissRatioCurve curve(Kind::allkeys_lfu, 1024, 1);
  curve.set_capacity(1000, 0);
  for (std::uint64_t key = 0; key < 100; ++key) curve.note(access(Access::write, key, 1000, 1000 + 64'000, false));
  for (std::uint64_t key = 0; key < 75; ++key) curve.note(access(Access::read, key, 1000, 65'000));
  CHECK(curve.unread(11'000).keys == Approx(0.25));
  CHECK(curve.unread(11'000).bytes == Approx(0.25));
  CHECK(curve.unread(11'000).age_ms == 10'000);
  for (std::uint64_t key = 0; key < 50; ++key) curve.note(access(Access::write, key, 1000 + 500, 90'000));
  curve.note(access(Access::remove, 60, 1500));
  const ChangeAges changes = curve.change_ages();
  CHECK(changes.changes == 51);
  CHECK(changes.age_ms == 512);     // 500, to a power of two
  CHECK(changes.ttl_ms == 65'536);  // 64 000
}
