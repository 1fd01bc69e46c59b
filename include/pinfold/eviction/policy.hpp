#pragma once
// Decides which entries leave when memory is short. The queues are not in this class: they are the store's logs or, in a replay,
// lists in memory. Not thread-safe. Only fit() and set_kind() allocate.
//
// How a store uses it:
//   new key         admit() names the queue. The entry is appended to the newest segment of that queue.
//   rewritten entry requeue() names the queue, given the queue in which the entry was.
//   hit             The store raises the entry's frequency by one, up to 3. The policy is not asked.
//   memory short    The store calls fit(). Then victim() names a queue and how to choose a segment in it. Each live entry of the
//                   segment goes through keep(). It is appended to the queue that keep() names, with the candidate's new frequency.
//                   If keep() names none, the entry is removed and reported to evicted().
//
// allkeys-lfu is derived from S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP '23). A small queue
// takes new entries, a main queue takes entries that have proved themselves, and ghosts remember what was evicted. Most keys are
// asked for once and cost no more than a pass through the small queue, so a scan cannot push out the hot set. These are the
// differences, each of which came from real traces; docs/eviction.md has the figures:
//   - An entry goes round either queue while its frequency lasts, with one less each time. It moves from the small to the main queue
//     when it is met with the highest frequency, or when it comes back while the ghost knows it.
//   - The ghost reaches as far back as the main queue keeps an unused entry. A key that takes longer to come back would have left the
//     main queue as well.
//   - A random quarter of what leaves the main queue may come straight back to it. If all could, a loop that is larger than the cache
//     would turn the main queue over.
//   - Keys that come back soon after they left one of the queues move the small queue's share, between 1 % and 30 %.
//   - An entry smaller than the mean goes round the small queue more often, in inverse proportion to its size.
//
// allkeys-lru is one queue with a second chance for entries that were used since they were last read. The volatile policies do the
// same with entries that have a deadline. They move an entry without a deadline to a third queue, which they never read.
//
// Under every policy negative entries have a queue of their own, with a second chance for entries that were used. So a client that
// probes for keys that do not exist pushes out other negative entries, and no value.
//
// The policy approximates: frequencies stop at 3, and the order within a queue is the order of writing, not of use. It costs 2 bits
// per entry, 5 to 7.5 bytes per entry for the ghosts once evictions happen, and an increment on a hit.

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/random.hpp"
#include "pinfold/eviction/ghost.hpp"
#include "pinfold/eviction/kind.hpp"

namespace pinfold::eviction {

enum class Queue : std::uint8_t { small = 0, main = 1, pinned = 2, negative = 3 };
constexpr unsigned queue_count = 4;
constexpr unsigned most_frequency = 3;

/// What the policy knows of an entry.
struct Candidate {
  std::uint64_t hash = 0;
  std::uint64_t bytes = 1;    // the bytes that its removal would give back
  unsigned frequency = 0;     // 0-3; admit() and keep() may change it
  UnixMs expires_at = 0;      // 0: never
  std::uint32_t minutes = 0;  // since it was written to its present place
  bool negative = false;      // it says that there is no value (CACHE.ABSENT)
};

/// How to choose a segment from the queues that the policy reads().
enum class Pick : std::uint8_t {
  none,     // nothing may be evicted
  oldest,   // the oldest segment of Victim::queue
  random,   // any segment, with equal chances
  soonest,  // the segment with the nearest deadline, of all or of a sample
};

struct Victim {
  Pick pick = Pick::none;
  Queue queue = Queue::small;  // only if pick is `oldest`
};

/// How the entries of one segment are judged.
struct Reading {
  Queue from = Queue::small;
  /// Is taken off every frequency. If everything is used often, the log would else be read several times before the first entry is
  /// evicted. At 3 every entry is evicted that may be.
  unsigned pressure = 0;
  /// For `soonest`: entries with deadlines up to this one are evicted. See nearer_half().
  UnixMs cutoff = 0;
};

/// The bytes of each queue, indexed by Queue.
using Occupancy = std::array<std::uint64_t, queue_count>;

class Policy {
 public:
  /// A fixed seed makes replays repeatable. The memory of the ghosts comes from `pages`, or from the system if that is null.
  explicit Policy(Kind kind = Kind::allkeys_lfu, std::uint64_t seed = random_u64(), GhostPages* pages = nullptr)
      : kind_(kind), random_(seed | 1), left_small_(pages), left_main_(pages) {}

  Kind kind() const { return kind_; }
  /// Entries stay where they are. Queues that the new policy does not use are read first.
  void set_kind(Kind kind);
  /// Sets `lfu-decay-time`. With 0, frequencies do not decay with time.
  void set_decay(std::uint32_t minutes) { decay_minutes_ = minutes; }

  /// Starts to fetch the memory that admit() will read.
  void prefetch_admit(std::uint64_t hash) const {
    left_small_.prefetch(hash);
    left_main_.prefetch(hash);
  }
  /// Starts to fetch the memory that evicted() will write to for most entries.
  void prefetch_evicted(Queue from, std::uint64_t hash) const {
    if (from == Queue::small) left_small_.prefetch(hash);
  }

  /// Names the queue for a key that is not in the cache. May set the candidate's frequency.
  Queue admit(Candidate& candidate);
  /// Names the queue for an entry that is rewritten and was in `at`. An entry that has got a deadline leaves the pinned queue.
  Queue requeue(Queue at, Candidate& candidate);

  /// Whether the policy evicts values from that queue. False for the negative queue, which victim() names by rules of its own.
  bool reads(Queue queue) const;
  /// Says what to evict next. Never names a queue without bytes. Negative entries are evicted if `negatives_first`, which says that they
  /// take more than their share, or if there is nothing else.
  Victim victim(const Occupancy& bytes, bool negatives_first = false);
  /// Names the queue in which an entry of a victim segment stays, or none if it is to be evicted.
  std::optional<Queue> keep(const Reading& reading, Candidate& candidate);
  /// To be called for each entry that was evicted.
  void evicted(Queue from, const Candidate& candidate);

  /// To be called now and then while evicting, with the number of entries with values and their bytes. May resize the ghosts.
  void fit(std::uint64_t entries, std::uint64_t bytes);
  /// As Ghost::provide(), after fit(). When it returns false, the sizes that fit() has chosen are in force.
  bool provide() { return left_small_.provide() || left_main_.provide(); }
  /// A small step of provide() during an eviction. It takes less memory than the smallest entries give back in a step of the eviction.
  void provide_a_little() {
    constexpr std::size_t pages = 1;
    if (!left_small_.provide(pages)) left_main_.provide(pages);
  }
  /// Bytes that the policy itself takes.
  std::size_t memory() const { return left_small_.memory() + left_main_.memory(); }
  /// The part of the cache that the small queue may take. The policy adjusts it.
  double small_share() const { return small_share_; }

 private:
  Queue admit_lfu(std::uint64_t hash);
  std::optional<Queue> keep_small(unsigned pressure, Candidate& candidate);
  std::optional<Queue> keep_main(Candidate& candidate);
  double main_pass() const;
  double chance();

  Kind kind_;
  std::uint32_t decay_minutes_ = 1;
  std::uint64_t random_;

  Ghost left_small_;
  Ghost left_main_;  // a random sample of the entries that left the main queue
  double entries_ = 1;
  double mean_bytes_ = 1;
  double small_share_ = 0.1;
  // The main queue's pace: pace_left_ entries left the small queue while pace_read_ bytes of the main queue were read.
  double pace_left_ = 0;
  double pace_read_ = 0;
  double main_bytes_ = 0;
};

/// Returns the last deadline of the nearer half of `deadlines`, which are reordered. This is the Reading::cutoff of volatile-ttl. If
/// many deadlines are equal, the nearer part is smaller than half.
UnixMs nearer_half(std::span<UnixMs> deadlines);

}  // namespace pinfold::eviction
