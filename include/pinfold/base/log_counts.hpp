#pragma once
// What has become of the lines of the log, for INFO and metrics. Thread-safe.

#include <atomic>
#include <cstdint>

namespace pinfold {

struct LogCounts {
  std::atomic<std::uint64_t> written{0};
  std::atomic<std::uint64_t> lost{0};  // they found no room in the queue, or no memory
  std::atomic<bool> failed{false};     // the last write has failed
  std::atomic<bool> full{false};       // the queue had no room for a line, and its lines have not been taken since

  bool failing() const { return failed.load(std::memory_order_relaxed) || full.load(std::memory_order_relaxed); }
  /// CONFIG RESETSTAT.
  void reset() {
    written.store(0, std::memory_order_relaxed);
    lost.store(0, std::memory_order_relaxed);
  }
};

}  // namespace pinfold
