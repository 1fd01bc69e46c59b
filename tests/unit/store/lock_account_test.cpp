// What is done while shards are locked is counted by cause, beyond what a request names.

#include "pinfold/store/lock_account.hpp"

#include <string_view>

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"
#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/shard_mutex.hpp"

using namespace pinfold;
using store::HoldCause;
using store::LockAccount;

namespace {

LockAccount::Cause of(const LockAccount& account, std::string_view name) {
  for (const auto& [cause, counts] : account.causes()) {
    if (cause == name) return counts;
  }
  return {};
}

struct Watched {
  Watched() { watch.set_accounting(true); }
  store::LockWatch watch;
  store::LockWaits waits;
  store::ShardMutex first{watch, waits};
  store::ShardMutex second{watch, waits};
};

}  // namespace

TEST_CASE("a hold is counted under the innermost cause, with what it did at most") {
  Watched locks;
  for (const unsigned entries : {10, 600, 20}) {
    const HoldCause outer("request");
    const HoldCause cause("job");
    locks.first.lock();
    work::entries(entries);
    locks.first.unlock();
    work::entries(1000);  // nothing is held
  }
  CHECK(of(locks.watch.account, "request").holds == 0);
  const LockAccount::Cause job = of(locks.watch.account, "job");
  CHECK(job.holds == 3);
  CHECK(job.most.entries == 600);
  CHECK(job.over == 1);
  locks.watch.account.reset();
  CHECK(of(locks.watch.account, "job").holds == 0);
}

TEST_CASE("several shards held at once are one hold, from the first lock to the last unlock") {
  Watched locks;
  const HoldCause cause("both");
  locks.first.lock();
  work::entries(300);
  REQUIRE(locks.second.try_lock());
  work::entries(300);
  locks.first.unlock();
  work::entries(300);
  locks.second.unlock();
  const LockAccount::Cause both = of(locks.watch.account, "both");
  CHECK(both.holds == 1);
  CHECK(both.most.entries == 900);
  CHECK(both.over == 1);
}

TEST_CASE("what a request names is not counted against it, the size of values is") {
  Watched locks;
  const store::Named named{.keys = 1000, .bytes = 10'000};
  const work::Counts allowed = named.allowance();
  CHECK(allowed.entries == 16'000);
  {
    const HoldCause cause("many keys", named);
    locks.first.lock();
    work::entries(allowed.entries + 5);
    work::bytes(allowed.bytes);
    locks.first.unlock();
  }
  {
    const HoldCause cause("large value", {.keys = 1, .bytes = 10});
    locks.first.lock();
    work::bytes(70 << 20);
    locks.first.unlock();
  }
  CHECK(of(locks.watch.account, "many keys").most == work::Counts{.entries = 5});
  CHECK(of(locks.watch.account, "many keys").over == 0);
  CHECK(of(locks.watch.account, "large value").over == 1);
}

TEST_CASE("a single system call under a lock is one too many") {
  Watched locks;
  const HoldCause cause("log");
  locks.first.lock();
  work::system_call();
  locks.first.unlock();
  CHECK(of(locks.watch.account, "log").over == 1);
}

TEST_CASE("a hold that began before accounting was turned on is not counted, and one that ends after it was turned off is") {
  Watched locks;
  const HoldCause cause("switch");
  locks.watch.set_accounting(false);
  locks.first.lock();
  locks.watch.set_accounting(true);
  locks.first.unlock();
  CHECK(of(locks.watch.account, "switch").holds == 0);
  locks.first.lock();
  locks.watch.set_accounting(false);
  locks.first.unlock();
  CHECK(of(locks.watch.account, "switch").holds == 1);
}

TEST_CASE("the locks of a keyspace are counted while that is asked for") {
  store::Keyspace keyspace({.shards = 4});
  store::Keyspace::Locks locks(keyspace);
  const auto holds = [&] {
    const HoldCause cause("get");
    locks.acquire_all();
    locks.release();
    return of(keyspace.lock_watch().account, "get").holds;
  };
  CHECK(holds() == 0);
  keyspace.lock_watch().set_accounting(true);
  CHECK(holds() == 1);
}
