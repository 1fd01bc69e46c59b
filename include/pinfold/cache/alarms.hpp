#pragma once
// Moments at which somebody has to look at a key: when the lease of a key runs out that clients wait for.
//
// An ordered map, so that the next moment is known without searching and nobody polls: the background sleeps until next().
// Alarms are set and taken back with a shard locked, and run with none: a key's shard is locked for its alarm only, so an alarm
// may come to nothing because it was cancelled while it was on its way. O(log alarms) each.

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "pinfold/base/clock.hpp"

namespace pinfold::cache {

/// Thread-safe; calls nothing, so it may be used with any lock held.
class Alarms {
 public:
  /// Where to look.
  struct Place {
    unsigned shard = 0;
    unsigned db = 0;
    std::string key;
  };
  struct Set {
    std::uint64_t number;  // which identifies it, together with its moment; never 0
    bool first;            // it is the next one now
  };
  /// Throws std::bad_alloc, and has set none then.
  Set set(MonoMs at, Place place);
  /// Nothing happens if it was taken already.
  void cancel(MonoMs at, std::uint64_t number);
  /// Takes one that is due out; nothing if none is.
  std::optional<Place> take_due(MonoMs now);
  /// When the next is due, or a moment before that.
  MonoMs next() const { return next_.load(std::memory_order_relaxed); }

 private:
  std::mutex mutex_;  // guards what follows
  std::map<std::pair<MonoMs, std::uint64_t>, Place> alarms_;
  std::uint64_t number_ = 0;
  std::atomic<MonoMs> next_{MonoMs::never()};  // written with the lock
};

}  // namespace pinfold::cache
