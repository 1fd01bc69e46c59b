#pragma once
// A cache without values, which replays requests against a Policy. Its queues are lists in memory. Not thread-safe.
//
// It asks the policy as the store does, so it measures what the server decides. There are two differences. It counts entries, or
// the bytes that the caller names, and not pages of memory. And with `segment` 1 it evicts entry by entry, while the store empties
// a segment at a time.

#include <array>
#include <cstdint>
#include <deque>
#include <limits>
#include <unordered_map>
#include <vector>

#include "pinfold/base/siphash.hpp"
#include "pinfold/eviction/policy.hpp"

namespace pinfold::eviction {

class Replay {
 public:
  struct Options {
    Kind kind = Kind::allkeys_lfu;
    std::uint64_t capacity = 1000;  // in the unit of the requests' sizes
    std::uint64_t segment = 1;      // in the same unit: how much is evicted at once
    std::uint64_t seed = 1;         // of hashes and of the policy's random decisions
    /// How many entries are read in vain before the pressure rises by one.
    std::uint64_t patience = 4096;
  };
  explicit Replay(const Options& options);

  /// Asks for a key, and stores it if it is not there. Returns true for a hit. An entry is not stored, and counts as refused, if it is
  /// larger than the cache or if the policy makes no room for it.
  bool request(std::uint64_t key, std::uint64_t size = 1, UnixMs expires_at = 0);
  bool contains(std::uint64_t key) const { return index_.contains(key); }

  Policy& policy() { return policy_; }
  std::uint64_t entries() const { return index_.size(); }
  std::uint64_t used() const { return occupancy_[0] + occupancy_[1] + occupancy_[2]; }
  const Occupancy& occupancy() const { return occupancy_; }
  std::uint64_t refused() const { return refused_; }
  /// The cost of eviction: how many entries were read to make room, and the most for one request.
  std::uint64_t read() const { return read_; }
  std::uint64_t longest_search() const { return longest_search_; }

 private:
  struct Entry {
    std::uint64_t key;
    Candidate candidate;
  };
  struct Segment {
    std::vector<std::uint32_t> slots;
    std::uint64_t used = 0;
  };
  using Log = std::deque<Segment>;

  Log& log(Queue queue) { return logs_[static_cast<unsigned>(queue)]; }
  std::uint64_t hash_of(std::uint64_t key) const;
  void append(Queue queue, std::uint32_t slot);
  bool make_room(std::uint64_t size);
  Segment choose(const Victim& victim, Queue& from);
  UnixMs earliest(const Segment& segment) const;
  void empty(const Segment& segment, const Reading& reading);

  Options options_;
  HashKey hash_key_;
  Policy policy_;
  std::unordered_map<std::uint64_t, std::uint32_t> index_;
  std::vector<Entry> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::array<Log, queue_count> logs_;
  Occupancy occupancy_{};
  std::uint64_t random_;
  std::uint64_t refused_ = 0;
  std::uint64_t read_ = 0;
  std::uint64_t longest_search_ = 0;
};

}  // namespace pinfold::eviction
