#pragma once
// A keyspace of one shard for tests of typed values, with allocations that fail by chance.

#include <new>
#include <string>

#include <catch2/catch.hpp>

#include "pinfold/store/collection.hpp"
#include "pinfold/store/keyspace.hpp"
#include "pinfold/types/edit.hpp"

#ifdef PINFOLD_FAULTS
#include "faults.hpp"
#endif

namespace pinfold::types {

/// Lets allocations fail while `during()` is at work; those of the test do not.
class FailingAllocations {
 public:
  FailingAllocations(double chance, std::uint64_t seed) : chance_(chance) {
#ifdef PINFOLD_FAULTS
    schedule_.kinds = faults::heap | faults::mapping;
    schedule_.seed = seed;
    faults::follow(&schedule_);
#else
    static_cast<void>(seed);
#endif
  }
#ifdef PINFOLD_FAULTS
  ~FailingAllocations() { faults::follow(nullptr); }
  void on() { schedule_.chance = static_cast<std::uint32_t>(chance_ * 4294967295.0); }
  void off() { schedule_.chance = 0; }
#else
  void on() {}
  void off() {}
#endif
  /// What `work` returns, or `otherwise` if memory could not be had. `work` has no assertions: those that pass allocate as well, depending
  /// on the reporter, and what that throws ends the program.
  template <class Work>
  auto during(Work&& work, decltype(work()) otherwise) {
    on();
    try {
      const auto result = work();
      off();
      return result;
    } catch (const std::bad_alloc&) {
      off();
      return otherwise;
    }
  }

 private:
  double chance_;
#ifdef PINFOLD_FAULTS
  faults::Schedule schedule_{};
#endif
};

class TypedStore {
 public:
  TypedStore() : keyspace({.shards = 1}) {}
  ~TypedStore() {
    store::Keyspace::Locks none(keyspace);
    for (unsigned db = 0; db < store::database_count; ++db) keyspace.flush(db, none);
    work();
    // Whatever a test did: all that there was has been given up, once.
    CHECK(keyspace.memory().used() == 0);
    CHECK(keyspace.memory().heap().loose() == 0);
    CHECK(keyspace.memory().heap().unstored_trees() == 0);
  }

  /// Calls `action(Database&, const Key&)` with the key locked.
  template <class Action>
  auto with(const std::string& name, Action&& action) {
    const store::Key key = keyspace.key(name);
    store::Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    store::Database database(keyspace, 0, now);
    return action(database, key);
  }
  BlockHeap& heap() { return keyspace.memory().heap(); }
  void work() {
    while (keyspace.background_step(now, 100'000)) {
    }
  }
  /// Recounts everything, and compares it with the account.
  bool consistent() {
    while (heap().give_back(SIZE_MAX)) {
    }
    const store::KeyspaceAudit audit = keyspace.audit();
    CHECK(audit.readers == 0);
    CHECK(audit.blobs == keyspace.memory().used(store::Use::blobs));
    return audit.consistent && audit.segments + audit.index + audit.blobs + audit.ghosts == keyspace.memory().used();
  }

  store::Keyspace keyspace;
  UnixMs now = unix_ms() + 1'000'000'000;
};

}  // namespace pinfold::types
