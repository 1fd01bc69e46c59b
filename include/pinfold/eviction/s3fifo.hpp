#pragma once
// S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP '23): what `allkeys-lfu` means here.
//
// A small queue takes in new entries, a main queue those that have proved themselves, and a ghost remembers what the
// small queue let go. Entries leave a queue at its old end only: with a frequency of 2 or more an entry of the small
// queue moves to the main queue, one of the main queue with any frequency goes round again with one less. Most keys
// are asked for once and cost no more than a pass through the small queue, so a scan cannot push out the hot set;
// a key that comes back soon after is known to the ghost and goes to the main queue at once.
//
// It approximates: frequencies stop at 3, order within a queue is order of writing, not of use. It costs 2 bits per
// entry, the ghost's ~5 bytes per entry once evictions happen, and nothing on a hit but an increment.
//
// This class decides; the queues themselves are the store's logs. Not thread-safe.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "pinfold/eviction/ghost.hpp"

namespace pinfold::eviction {

enum class Queue : std::uint8_t { small = 0, main = 1 };
constexpr unsigned queue_count = 2;

class S3Fifo {
 public:
  /// The queue for a key that is not in the cache.
  Queue admit(std::uint64_t hash) { return ghost_.take(hash) ? Queue::main : Queue::small; }

  /// Which queue must give way, given what both occupy.
  static Queue victim(std::uint64_t small_bytes, std::uint64_t main_bytes) {
    return main_bytes == 0 || small_bytes * small_share > small_bytes + main_bytes ? Queue::small : Queue::main;
  }

  /// Whether an entry met at the old end of `from` stays (in the main queue then, with `frequency` as changed).
  /// `pressure` raises the bar: a cache in which everything is used often would otherwise be read several times over
  /// before the first entry goes. At 3, the most that a frequency can be, nothing stays.
  static bool keep(Queue from, unsigned& frequency, unsigned pressure = 0) {
    frequency -= std::min(frequency, pressure);
    if (pressure >= 3) return false;
    if (from == Queue::small) {
      const bool proved = frequency >= 2;
      frequency = 0;
      return proved;
    }
    if (frequency == 0) return false;
    --frequency;
    return true;
  }

  /// An entry of `from` is gone for good.
  void evicted(Queue from, std::uint64_t hash) {
    if (from == Queue::small) ghost_.remember(hash);
  }

  /// Fits the ghost to the number of entries in the cache; called now and then while evicting.
  void fit_ghost(std::size_t entries) {
    if (ghost_.capacity() < entries * 3 / 4 || ghost_.capacity() > entries * 2 + 128) ghost_.reset(entries);
  }
  std::size_t memory() const { return ghost_.memory(); }

 private:
  static constexpr std::uint64_t small_share = 10;  // the small queue is a tenth

  Ghost ghost_;
};

}  // namespace pinfold::eviction
