// The mutex that spins before it sleeps: it excludes other threads, wakes all sleeping threads, and lets waiting threads in.

#include "pinfold/base/spinning_mutex.hpp"

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

using pinfold::SpinningMutex;

namespace {

void run_threads(unsigned count, const auto& work) {
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < count; ++i) threads.emplace_back([&work, i] { work(i); });
  for (std::thread& thread : threads) thread.join();
}

void wait_until(const auto& condition) {
  while (!condition()) std::this_thread::yield();
}

}  // namespace

TEST_CASE("a spinning mutex lets one thread in at a time") {
  constexpr unsigned threads = 8;
  constexpr unsigned rounds = 20'000;
  SpinningMutex mutex;
  unsigned long count = 0;  // not atomic, so that tsan would see two threads at once
  bool inside = false;
  std::atomic<unsigned> overlaps{0};
  std::atomic<unsigned long> tried{0};
  run_threads(threads, [&](unsigned number) {
    for (unsigned i = 0; i < rounds; ++i) {
      if (number % 4 == 3) {
        if (!mutex.try_lock()) continue;
        tried.fetch_add(1);
      } else {
        mutex.lock();
      }
      if (inside) overlaps.fetch_add(1);
      inside = true;
      ++count;
      inside = false;
      mutex.unlock();
    }
  });
  CHECK(overlaps == 0);
  CHECK(count == threads / 4 * 3 * rounds + tried);
  CHECK(mutex.waiting() == 0);
}

TEST_CASE("a thread that sleeps for a spinning mutex is woken, however many sleep") {
  constexpr unsigned threads = 16;
  constexpr unsigned rounds = 50;
  SpinningMutex mutex;
  std::atomic<unsigned> slept{0};
  unsigned done = 0;
  for (unsigned round = 0; round < rounds; ++round) {
    mutex.lock();
    std::vector<std::thread> sleepers;
    for (unsigned i = 0; i < threads; ++i) {
      sleepers.emplace_back([&] {
        if (mutex.wait_and_lock()) slept.fetch_add(1);
        ++done;
        mutex.unlock();
      });
    }
    wait_until([&] { return mutex.waiting() == threads; });
    // Some threads sleep by now and some still spin. All must get the lock: a forgotten one would hang the test.
    mutex.unlock();
    for (std::thread& sleeper : sleepers) sleeper.join();
  }
  CHECK(done == threads * rounds);
  CHECK(slept > 0);
  CHECK(mutex.waiting() == 0);
}

TEST_CASE("let_waiters_in lets a waiting thread in although the lock is taken again and again") {
  SpinningMutex mutex;
  for (unsigned round = 0; round < 50; ++round) {
    unsigned long holds = 0;
    unsigned long seen = 0;
    mutex.lock();
    std::thread other([&] {
      mutex.lock();
      seen = holds;
      mutex.unlock();
    });
    wait_until([&] { return mutex.waiting() == 1; });
    // Long enough that the waiting thread sleeps in some rounds and spins in others.
    for (unsigned i = 0; i < round; ++i) std::this_thread::yield();
    mutex.unlock();
    for (unsigned i = 0; i < 10'000; ++i) {
      mutex.let_waiters_in();
      const std::lock_guard lock(mutex);
      ++holds;
    }
    other.join();
    CHECK(seen == 0);
  }
}

TEST_CASE("let_waiters_in returns at once if no thread waits") {
  SpinningMutex mutex;
  mutex.lock();
  mutex.let_waiters_in();  // the lock is held by this thread, and no thread waits
  mutex.unlock();
  mutex.let_waiters_in();
  CHECK(mutex.try_lock());
  CHECK_FALSE(mutex.try_lock());
  mutex.unlock();
}
