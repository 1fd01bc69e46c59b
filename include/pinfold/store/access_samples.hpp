#pragma once
// The accesses to sampled keys, on their way from the threads that serve clients to the background worker, which simulates caches with them
// (command/working_set.hpp).
//
// For a key that is not sampled an access costs a multiplication and a comparison. One that is sampled is copied into a buffer. If the
// buffer is full, or if another thread is at it in this moment, the access is dropped and counted: nobody ever waits.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pinfold/base/spinning_mutex.hpp"
#include "pinfold/eviction/sampled_access.hpp"

namespace pinfold::store {

/// Thread-safe. takes() and note() may be called with a shard locked, and take no memory.
class AccessSamples {
 public:
  /// Whether the key with this hash is sampled. Always false while the sampling is off.
  bool takes(std::uint64_t hash) const { return eviction::sample_position(hash) < threshold_.load(std::memory_order_relaxed); }
  bool on() const { return threshold_.load(std::memory_order_relaxed) != 0; }
  void note(const eviction::SampledAccess& access) noexcept;
  /// Whether the buffer has become half full since the last call that returned true, so that it should be taken soon. To be asked when
  /// locks have been released, because the background worker has to be woken then.
  bool has_become_half_full() { return half_full_.load(std::memory_order_relaxed) && half_full_.exchange(false); }

  /// Samples keys up to the threshold, in a buffer of `most` accesses. Throws std::bad_alloc, with nothing changed.
  void start(std::uint64_t threshold, std::size_t most);
  /// Ends the sampling and frees the buffer.
  void stop();
  void set_threshold(std::uint64_t threshold) { threshold_.store(threshold, std::memory_order_relaxed); }
  /// Exchanges the accesses that were noted for an empty vector, whose memory becomes that of the buffer: it must have a capacity for as
  /// many as start() said.
  void take(std::vector<eviction::SampledAccess>& empty);
  /// How many accesses were dropped since the start.
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> threshold_{0};
  std::atomic<std::uint64_t> dropped_{0};
  std::atomic<bool> half_full_{false};
  alignas(64) SpinningMutex mutex_;  // guards what follows
  std::vector<eviction::SampledAccess> noted_;
  std::size_t most_ = 0;
};

}  // namespace pinfold::store
