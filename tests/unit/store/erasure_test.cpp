// What memory that was given back holds after it was to be erased. tests/server/test_cache_purge.py looks for the bytes of entries
// in a whole server's.

#include <cstring>

#include <catch2/catch.hpp>

#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/segment.hpp"

using namespace pinfold;
using namespace pinfold::store;

namespace {

bool is_clean(const char* bytes, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("free segments are overwritten, and those that are freed while that is wanted") {
  Memory memory(0);
  SegmentPool pool(memory);
  char* const before = pool.allocate();
  char* const during = pool.allocate();
  std::memset(before, 'x', segment_size);
  std::memset(during, 'x', segment_size);
  pool.free(before);
  memory.set_erasing(true);
  pool.wipe_spare();
  pool.free(during);
  while (pool.give_back(1)) {
  }
  CHECK(is_clean(before, segment_size));
  CHECK(is_clean(during, segment_size));
}

TEST_CASE("an erasure comes to its end while large values come and go, and databases are flushed") {
  Keyspace keyspace({.shards = 1});
  const UnixMs now = unix_ms();
  Keyspace::Locks none(keyspace);
  const std::uint64_t erasure = keyspace.erase();
  for (int i = 0; i < 500 && !keyspace.erased(erasure); ++i) {
    const Key key = keyspace.key("k");
    {
      Keyspace::Locks locks(keyspace);
      locks.acquire(key);
      REQUIRE(Database(keyspace, 0, now).put(key, std::string(4 << 20, 'v')));
      REQUIRE(Database(keyspace, 0, now).put(key, std::string(4 << 20, 'w')));
    }
    if (i % 2 == 0) keyspace.flush(0, none);
    keyspace.background_step(now, 500);
  }
  CHECK(keyspace.erased(erasure));
}

TEST_CASE("an erasure comes to its end, also one that is asked for during another") {
  Keyspace keyspace({.shards = 1});
  const UnixMs now = unix_ms();
  {
    const Key key = keyspace.key("k");
    Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    REQUIRE(Database(keyspace, 0, now).put(key, "v"));
  }
  const std::uint64_t first = keyspace.erase();
  CHECK_FALSE(keyspace.erased(first));
  keyspace.background_step(now, 0);
  const std::uint64_t second = keyspace.erase();
  CHECK(second > first);
  while (keyspace.background_step(now, 100'000)) {
  }
  CHECK(keyspace.erased(second));
  CHECK_FALSE(keyspace.memory().erasing());
  CHECK(keyspace.audit().consistent);
}
