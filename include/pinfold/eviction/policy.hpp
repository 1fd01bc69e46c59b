#pragma once
// Which entries leave when memory is short. This class decides; the queues are the store's logs (or, in a replay, lists
// in memory). Not thread-safe; nothing allocates but fit() and set_kind().
//
// A store drives it so:
//   a new key       admit() names the queue whose newest segment takes the entry
//   a rewritten one requeue() names the queue, given the one it was in
//   a hit           the entry's frequency rises by one, up to 3: nothing is asked here
//   memory short    fit(), then victim() names a queue and how to choose a segment there; each live entry of it goes
//                   through keep(): it is appended to the newest end of the queue answered, with the frequency that
//                   the candidate has then, or it is removed and reported to evicted()
//
// allkeys-lfu grew from S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP '23): a small queue
// takes in new entries, a main queue those that have proved themselves, and ghosts remember what was let go. Most keys
// are asked for once and cost no more than a pass through the small queue, so a scan cannot push out the hot set. It
// differs where real traces showed how; docs/eviction.md has the figures:
//   - an entry goes round either queue while its frequency lasts, one less each time; from the small queue it moves to
//     the main queue when it is met with the highest frequency, or when it comes back while the ghost knows it
//   - the ghost reaches as far back as the main queue holds an unused entry: who takes longer to come back would not
//     have lasted there either
//   - a quarter, chosen at random, of what the main queue lets go may come straight back to it. All of them would turn
//     it over in a loop that is larger than the cache
//   - keys that come back soon after they left one of the queues move the small queue's share, between 1 % and 30 %
//   - an entry smaller than the mean goes round the small queue more often, in inverse proportion to its size
//
// allkeys-lru is one queue with a second chance for what was used since it was last read. The volatile policies do the
// same to entries that have a deadline; others are set aside in a third queue when they are met, which is never read.
//
// Under each of them negative entries have a queue of their own, with a second chance for what was used: probing for keys
// that do not exist costs other negative entries, and no value.
//
// It approximates: frequencies stop at 3, order within a queue is order of writing, not of use. It costs 2 bits per
// entry, the ghosts' 5 to 7.5 bytes per entry once evictions happen, and nothing on a hit but an increment.

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

/// What a policy may know of an entry.
struct Candidate {
  std::uint64_t hash = 0;
  std::uint64_t bytes = 1;    // all that its removal would give back
  unsigned frequency = 0;     // 0-3; admit() and keep() may change it
  UnixMs expires_at = 0;      // 0: never
  std::uint32_t minutes = 0;  // since it was written to where it lies
  bool negative = false;      // says that there is no value (CACHE.ABSENT)
};

/// How to choose a segment among those that the policy reads().
enum class Pick : std::uint8_t {
  none,     // nothing may be evicted
  oldest,   // of Victim::queue
  random,   // any, with equal chances
  soonest,  // the one, of all or of a sample, whose earliest deadline is nearest
};

struct Victim {
  Pick pick = Pick::none;
  Queue queue = Queue::small;  // where pick is `oldest`
};

/// What the entries of one segment are judged by.
struct Reading {
  Queue from = Queue::small;
  /// Raises the bar: where everything is used often, the log would otherwise be read several times over before the
  /// first entry goes. At 3 nothing stays that may go.
  unsigned pressure = 0;
  /// For `soonest`: deadlines up to this one go. See nearer_half().
  UnixMs cutoff = 0;
};

/// Bytes of each queue, by Queue.
using Occupancy = std::array<std::uint64_t, queue_count>;

class Policy {
 public:
  /// The seed is for replays that are to repeat themselves. The ghosts' pages come from `pages`, if that is not null.
  explicit Policy(Kind kind = Kind::allkeys_lfu, std::uint64_t seed = random_u64(), GhostPages* pages = nullptr)
      : kind_(kind), random_(seed | 1), left_small_(pages), left_main_(pages) {}

  Kind kind() const { return kind_; }
  /// Entries stay where they are; those of queues that the new policy does not use leave them first.
  void set_kind(Kind kind);
  /// `lfu-decay-time`: 0 never.
  void set_decay(std::uint32_t minutes) { decay_minutes_ = minutes; }

  /// Starts fetching what admit() will read.
  void prefetch_admit(std::uint64_t hash) const {
    left_small_.prefetch(hash);
    left_main_.prefetch(hash);
  }
  /// Starts fetching what evicted() will write to for most entries.
  void prefetch_evicted(Queue from, std::uint64_t hash) const {
    if (from == Queue::small) left_small_.prefetch(hash);
  }

  /// The queue for a key that is not in the cache. May set the candidate's frequency.
  Queue admit(Candidate& candidate);
  /// The queue for an entry that is written anew and was in `at`: one that got a deadline leaves the pinned queue.
  Queue requeue(Queue at, Candidate& candidate);

  /// Whether the policy may choose segments of that queue.
  bool reads(Queue queue) const;
  /// Never names a queue without bytes. Negative entries go if they have more than their share, or there is nothing else.
  Victim victim(const Occupancy& bytes, bool negatives_first = false);
  /// The queue in which an entry met in a victim segment goes on; none if it goes.
  std::optional<Queue> keep(const Reading& reading, Candidate& candidate);
  /// An entry that did not stay is gone.
  void evicted(Queue from, const Candidate& candidate);

  /// Told now and then while evicting: how many entries with values there are, and all their bytes.
  void fit(std::uint64_t entries, std::uint64_t bytes);
  /// As Ghost::provide, after fit(): what fit() asked of the ghosts is in force when it is false.
  bool provide() { return left_small_.provide() || left_main_.provide(); }
  /// A step of that on the way to evict something: less than the smallest entries give back in such a step.
  void provide_a_little() {
    constexpr std::size_t pages = 1;
    if (!left_small_.provide(pages)) left_main_.provide(pages);
  }
  /// Bytes that the policy itself occupies.
  std::size_t memory() const { return left_small_.memory() + left_main_.memory(); }
  /// The part of the cache that the small queue may take; moves by itself.
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
  Ghost left_main_;  // a random sample
  double entries_ = 1;
  double mean_bytes_ = 1;
  double small_share_ = 0.1;
  // The main queue's pace: entries that left the small queue while so many bytes of the main queue were read.
  double pace_left_ = 0;
  double pace_read_ = 0;
  double main_bytes_ = 0;
};

/// The deadline that parts the nearer half of `deadlines` (reordered) from the rest; Reading::cutoff of volatile-ttl. Where
/// many are equal, the nearer part is smaller than half.
UnixMs nearer_half(std::span<UnixMs> deadlines);

}  // namespace pinfold::eviction
