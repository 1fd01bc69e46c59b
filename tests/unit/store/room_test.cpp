// Room that was made for one thread is not there for others until that thread has taken or released it.

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <catch2/catch.hpp>

#include "pinfold/store/keyspace.hpp"

using namespace pinfold;
using namespace pinfold::store;

namespace {

constexpr std::uint64_t MB = 1 << 20;

void elsewhere(const std::function<void()>& action) { std::thread(action).join(); }

}  // namespace

TEST_CASE("what was promised to a thread is free for it and taken for others, and what it takes counts once") {
  Memory memory(32 * MB);
  {
    Room room;
    REQUIRE(room.take(memory, 20 * MB));
    CHECK(memory.fits(30 * MB));
    elsewhere([&] {
      CHECK_FALSE(memory.fits(13 * MB));
      CHECK(memory.fits(11 * MB));
      Room second;
      CHECK_FALSE(second.take(memory, 13 * MB));
      CHECK(second.take(memory, 6 * MB));
    });
    memory.add(Use::blobs, 15 * MB);
    elsewhere([&] {
      CHECK_FALSE(memory.fits(13 * MB));
      CHECK(memory.fits(11 * MB));
    });
    memory.add(Use::blobs, 10 * MB);  // more than was promised
    elsewhere([&] { CHECK(memory.fits(6 * MB)); });
    memory.add(Use::blobs, -25 * std::int64_t{MB});
  }
  elsewhere([&] { CHECK(memory.fits(31 * MB)); });
}

TEST_CASE("threads that make room for large values at the same time stay below the limit together") {
  constexpr std::uint64_t limit = 64 * MB;
  constexpr unsigned threads = 4;
  Keyspace keyspace({.shards = 4, .max_memory = limit});
  std::atomic<std::uint64_t> most{0};
  std::vector<std::thread> writers;
  for (unsigned t = 0; t < threads; ++t) {
    writers.emplace_back([&, t] {
      for (unsigned i = 0; i < 60; ++i) {
        const std::string value(5 * MB + i, 'v');
        const std::string name = std::to_string(t) + ":" + std::to_string(i % 10);
        Room room;
        if (!keyspace.make_room(name.size() + value.size(), &room)) continue;
        std::this_thread::yield();  // so that others check in between
        const Key key = keyspace.key(name);
        Keyspace::Locks locks(keyspace);
        locks.acquire(key);
        std::ignore = Database(keyspace, 0, 1).put(key, value);
        locks.release();
        std::uint64_t known = most.load();
        const std::uint64_t now = keyspace.memory().data();
        while (now > known && !most.compare_exchange_weak(known, now)) {
        }
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  CHECK(most.load() > limit / 2);
  CHECK(most.load() <= limit);
}

TEST_CASE("a value grows by much only into room that was promised to its thread") {
  Keyspace keyspace({.shards = 2, .max_memory = 64 * MB});
  const auto grow = [&](const std::string& name, std::size_t size) {
    const Key key = keyspace.key(name);
    Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    return Database(keyspace, 0, unix_ms(), true, {.bounded = true}).resize(key, size).stored();
  };
  CHECK(grow("little", 1000));
  const Stored refused = grow("much", 30 * MB);
  CHECK_FALSE(refused);
  REQUIRE(refused.needs_room());
  REQUIRE(refused.bytes() >= 30 * MB);
  {
    Room room;
    REQUIRE(keyspace.make_room(refused.bytes(), &room));
    elsewhere([&] {
      CHECK_FALSE(keyspace.has_room(40 * MB));
      const Stored other = grow("another", 20 * MB);
      CHECK(other.needs_room());
      CHECK(other.bytes() >= 20 * MB);
    });
    CHECK(grow("much", 30 * MB));
  }
  CHECK(keyspace.memory().data() <= 64 * MB);
}
