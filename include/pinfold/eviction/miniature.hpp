#pragma once
// A small model of the cache, which runs the real eviction Policy over a sample of the keys (Waldspurger, Saemundsson, Ahmad and Park:
// "Cache Modeling and Optimization using Miniature Simulations", USENIX ATC 2017).
//
// If a random part R of all keys is sampled, a cache of R times the memory that sees only these keys has about the hit ratio of the whole
// cache. So a few of these, with different capacities, tell what the hit ratio would be with less or more memory. A Replay does the same
// for a recorded trace. This class is for a running server: its memory is bounded and known, keys can be removed, and entries expire.
//
// It differs from the store as a Replay with `segment` 1 does: it evicts entry by entry. A key that is overwritten stays where it is.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pinfold/base/clock.hpp"
#include "pinfold/eviction/policy.hpp"

namespace pinfold::eviction {

/// Not thread-safe. Every function is O(1) unless it says otherwise; an eviction may read several entries.
class Miniature {
 public:
  /// At most `most_entries` entries. `seed` is that of the policy's random decisions.
  Miniature(Kind kind, std::uint32_t most_entries, std::uint64_t seed);

  /// What is stored of an entry.
  struct Entry {
    std::uint64_t key = 0;    // its hash; two keys with one hash count as one
    UnixMs expires_at = 0;    // 0: never
    UnixMs written_at = 0;    // when its value was written; 0: not known
    std::uint32_t bytes = 1;  // its size, in the unit of the capacity
    std::uint8_t group = 0;   // for remove_group(): its database
    bool read = false;        // whether it was read since it was written
    bool refilled = false;    // whether the server has missed it, and its client will store it once more
  };

  void set_kind(Kind kind) { policy_.set_kind(kind); }
  /// How much may be stored. If more is, the next store() evicts it.
  void set_capacity(std::uint64_t capacity) { capacity_ = capacity; }

  /// The entry under `key`; null if there is none, or if it has expired, in which case it is removed. Valid until the next change.
  Entry* find(std::uint64_t key, UnixMs now);
  /// find(), and if there is an entry, counts a use in its frequency and marks it as read.
  Entry* read(std::uint64_t key, UnixMs now);
  /// Stores an entry, or overwrites the one with its key. Stores nothing if the entry is larger than the cache, or if the policy makes no
  /// room for it. Returns false, with nothing stored, if there are `most_entries` entries: then part of the keys must be given up
  /// (remove_if()). Throws std::bad_alloc, with nothing stored.
  bool store(const Entry& entry);
  void remove(std::uint64_t key);
  /// Removes all entries of a group. O(entries).
  void remove_group(std::uint8_t group) {
    remove_if([group](const Entry& entry) { return entry.group == group; });
  }
  /// Removes the entries for which `unwanted` returns true. O(entries).
  template <class Unwanted>
  void remove_if(Unwanted&& unwanted) {
    for (std::uint32_t at = 0; at < slots_.size(); ++at) {
      if (slots_[at].queue != free && unwanted(slots_[at].entry)) remove_slot(at);
    }
  }
  /// Removes everything, and frees the memory. The policy forgets nothing.
  void clear();
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const Slot& slot : slots_) {
      if (slot.queue != free) visit(slot.entry);
    }
  }

  std::uint32_t entries() const { return entries_; }
  std::uint64_t used() const { return occupancy_[0] + occupancy_[1] + occupancy_[2]; }
  /// Whether an entry was ever evicted for another one.
  bool has_evicted() const { return has_evicted_; }
  /// Bytes that the object takes beside itself: at most most_memory(most_entries).
  std::size_t memory() const;
  static std::size_t most_memory(std::uint32_t most_entries);

 private:
  static constexpr std::uint32_t none = UINT32_MAX;
  static constexpr std::uint8_t free = queue_count;
  struct Slot {
    Entry entry;
    std::uint32_t chain = none;  // the next one with the same bucket, or the next free one
    std::uint32_t newer = none;  // neighbours in the queue
    std::uint32_t older = none;
    std::uint8_t queue = free;
    std::uint8_t frequency = 0;
  };
  struct List {
    std::uint32_t oldest = none;
    std::uint32_t newest = none;
  };

  std::uint32_t& bucket_of(std::uint64_t key) { return buckets_[(key * 0x9e3779b97f4a7c15ULL) >> shift_]; }
  std::uint32_t slot_of(std::uint64_t key);
  void grow();
  void append(std::uint32_t at, Queue queue);
  void unlink(std::uint32_t at);
  void remove_slot(std::uint32_t at);
  bool make_room(std::uint64_t bytes);
  std::uint32_t choose(const Victim& victim);
  Candidate candidate_of(const Slot& slot) const;
  std::uint64_t draw();

  const std::uint32_t most_entries_;
  Policy policy_;
  std::uint64_t random_;
  std::uint64_t capacity_ = 0;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> buckets_;
  unsigned shift_ = 63;
  std::uint32_t free_ = none;
  std::uint32_t entries_ = 0;
  std::array<List, queue_count> queues_;
  Occupancy occupancy_{};
  bool has_evicted_ = false;
};

}  // namespace pinfold::eviction
