#pragma once
// Alarms: moments at which the background worker has to look at a key. There is one for each key that has a lease and
// clients that wait for it (leases.hpp): the moment at which the lease runs out.
//
// The alarms are in a map that is ordered by time. So the next one is known without a search, and no thread polls: the
// background worker sleeps until next(). Alarms are set and cancelled with a shard locked, but taken out with no shard locked.
// So an alarm may be cancelled after it was taken out and before its key's shard is locked; then there is nothing to do for it.

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "pinfold/base/clock.hpp"

namespace pinfold::cache {

/// Thread-safe. It has a mutex of its own, and calls no other code while that is locked. So the caller may hold any lock.
/// set(), cancel() and take_due() are O(log alarms), next() is O(1) and takes no lock.
class Alarms {
 public:
  /// The key to look at.
  struct Place {
    unsigned shard = 0;
    unsigned db = 0;
    std::string key;
  };
  struct Set {
    std::uint64_t number;  // identifies the alarm, for cancel(); never 0
    bool first;            // whether this alarm is now the next one of all
  };
  /// Sets an alarm. Throws std::bad_alloc; then no alarm was set.
  Set set(MonoMs at, Place place);
  /// Removes the alarm that set() has set for `at` under this number. Does nothing if it has been taken out already.
  void cancel(MonoMs at, std::uint64_t number);
  /// Takes out one alarm whose moment has come. Returns nothing if there is none.
  std::optional<Place> take_due(MonoMs now);
  /// The moment of the next alarm. After an alarm was cancelled it may be too early, until take_due() has found nothing due.
  /// MonoMs::never() if there is none.
  MonoMs next() const { return next_.load(std::memory_order_relaxed); }

 private:
  std::mutex mutex_;  // guards what follows
  std::map<std::pair<MonoMs, std::uint64_t>, Place> alarms_;
  std::uint64_t number_ = 0;
  std::atomic<MonoMs> next_{MonoMs::never()};  // written with mutex_ held
};

}  // namespace pinfold::cache
