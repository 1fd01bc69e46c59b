// Who waits for a shard's lock: that it is measured, and that work which comes back for more lets others in first.

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <string>
#include <thread>

#include <catch2/catch.hpp>

#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/shard.hpp"
#include "pinfold/store/shard_mutex.hpp"

using namespace pinfold;
using namespace pinfold::store;

namespace {

void wait_until(const auto& condition) {
  while (!condition()) std::this_thread::yield();
}

void fill(Keyspace& keyspace, int count, UnixMs expires_at) {
  for (int i = 0; i < count; ++i) {
    const std::string name = "key:" + std::to_string(i);
    const Key key = keyspace.key(name);
    Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    Database db(keyspace, 0, unix_ms());
    REQUIRE(db.put(key, std::string(100, 'v'), {.expires_at = expires_at}));
  }
}

}  // namespace

TEST_CASE("waits for a shard's lock are counted and measured") {
  LockWatch watch;
  LockWaits waits;
  ShardMutex mutex(watch, waits);
  { const std::lock_guard lock(mutex); }
  CHECK(waits.waits == 0);  // nobody held it
  std::uint64_t most = 0;
  for (std::uint64_t i = 1; i <= 2; ++i) {
    mutex.lock();
    std::thread other([&] { const std::lock_guard lock(mutex); });
    wait_until([&] { return mutex.waiting() == 1; });
    for (int yields = 0; yields < 1000; ++yields) std::this_thread::yield();
    mutex.unlock();
    other.join();
    const std::lock_guard lock(mutex);
    CHECK(waits.waits == i);
    CHECK(waits.slept <= i);
    CHECK(waits.ticks > most);
    CHECK(waits.most_ticks > 0);
    CHECK(waits.most_ticks <= waits.ticks);
    most = waits.ticks;
  }
}

TEST_CASE("a request that waits for a shard goes before the background's next piece of work there") {
  constexpr int keys = 20'000;
  Keyspace keyspace({.shards = 1});
  const UnixMs now = unix_ms();
  fill(keyspace, keys, now + 60'000);
  const UnixMs later = now + 120'000;  // when all of them have expired
  Keyspace::Locks locks(keyspace);
  locks.acquire_shard(0);
  std::uint64_t expired = 0;
  std::thread request([&] {
    Keyspace::Locks mine(keyspace);
    mine.acquire_shard(0);
    expired = keyspace.stats(mine).expired;
  });
  wait_until([&] { return keyspace.waiting(0) == 1; });
  // Long enough to have it sleep: one that is awake might be quick enough by itself.
  for (int i = 0; i < 1000; ++i) std::this_thread::yield();
  locks.release();
  while (keyspace.background_step(later, 1'000'000)) {
  }
  request.join();
  CHECK(expired == 0);
  CHECK(keyspace.stats().expired == keys);
}

TEST_CASE("a request that waits for a shard goes before a task that takes it again and again") {
  Keyspace keyspace({.shards = 1});
  const std::array keys = {keyspace.key("k")};
  Keyspace::Locks locks(keyspace);
  for (int i = 0; i < 20; ++i) {
    locks.acquire(keys);
    std::atomic<bool> served = false;
    std::thread request([&] {
      Keyspace::Locks mine(keyspace);
      mine.acquire(keys);
      served = true;
    });
    wait_until([&] { return keyspace.waiting(0) == 1; });
    for (int yields = 0; yields < 1000; ++yields) std::this_thread::yield();
    locks.release();
    locks.acquire_after_waiters(keys);
    CHECK(served);
    locks.release();
    request.join();
  }
}

TEST_CASE("the number of shards follows the threads, and the memory where that is small") {
  CHECK(shards_for(2, 0) == 128);
  CHECK(shards_for(3, 0) == 256);
  CHECK(shards_for(1, 0) == 8);
  CHECK(shards_for(2, 4ULL << 30) == 128);
  CHECK(shards_for(2, 1 << 30) == 32);
  CHECK(shards_for(2, 100 << 20) == 16);
  CHECK(shards_for(1, 16 << 20) == 4);
  CHECK(shards_for(1, 1 << 20) == 2);
  CHECK(shards_for(64, 1ULL << 40) == max_shards);
}
