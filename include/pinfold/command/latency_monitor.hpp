#pragma once
// The longest waits and works of the server, for LATENCY: as in Redis, for each event a time series with the longest sample of each second.

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

namespace pinfold::command {

/// Thread-safe. Takes no memory when it records. There are as many events as the enum has, so its memory is constant: 18 KB.
class LatencyMonitor {
 public:
  enum class Event : std::uint8_t {
    command,         // a command that is not of @fast was executed
    fast_command,    // a command of @fast was
    lock_wait,       // a command has waited for locks of shards
    room_wait,       // a command has waited while memory was evicted for it
    event_loop,      // a round of an I/O thread, in which its other clients had to wait
    expire_cycle,    // the background worker has removed expired entries
    eviction_cycle,  // the background worker has evicted, to keep room free
    count,
  };
  static constexpr std::size_t events = static_cast<std::size_t>(Event::count);
  static constexpr std::size_t most_samples = 160;

  struct Sample {
    std::int64_t unix_s = 0;
    std::uint64_t ms = 0;
  };
  struct Series {
    std::vector<Sample> samples;  // oldest first
    std::uint64_t most_ms = 0;    // of all that were ever recorded
  };

  /// Adds a sample, or raises that of the same second. O(1).
  void add(Event event, std::uint64_t ms, std::int64_t unix_s);
  Series series(Event event) const;
  /// Forgets the samples of an event. Returns false if there were none.
  bool reset(Event event);

 private:
  struct Ring {
    std::array<Sample, most_samples> samples;
    std::size_t count = 0;
    std::size_t next = 0;
    std::uint64_t most_ms = 0;
  };

  mutable std::mutex mutex_;
  std::array<Ring, events> rings_;
};

/// "command", "fast-command", "lock-wait" ...
std::string_view event_name(LatencyMonitor::Event event);
/// In any case. Nothing if there is no such event.
std::optional<LatencyMonitor::Event> find_event(std::string_view name);

}  // namespace pinfold::command
