#pragma once
// The tags that were purged lately. A fill is the write by which the holder of a lease (leases.hpp) stores what it has
// read from the origin. It has to be refused if one of its tags was purged after the lease was granted, because the
// holder may have read the value before the purge. A fill names its tags only when it arrives, so a purge cannot tell
// which leases it concerns.
//
// Each purge begins a new epoch: a number that grows by one, a logical timestamp. A lease remembers the epoch in which
// it was granted, so a purge visits no leases. The purges that came after the oldest lease that is alive are
// remembered: each of their tags with the epoch of its last purge. If there is no room for the tags of a purge, its epoch
// becomes the barrier: a lease that was granted before the barrier cannot fill with any tag. So some fills are refused that
// would be correct, but no fill is let through that is not.
//
// Purges that no lease needs any more are forgotten a few at a time: by the background worker, and by the next purge.
// This is not done when a lease ends, because a shard is locked then. A purge that is remembered for longer does no
// harm.

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/cache/db_name.hpp"
#include "pinfold/store/memory.hpp"

namespace pinfold::cache {

/// Thread-safe: it has a mutex of its own, and may be used with shards locked. Counts its memory as store::Use::coalescing in
/// `memory`, which must outlive it.
class PurgedTags {
 public:
  /// How many purges of single tags are remembered at most, those that may be forgotten included.
  static constexpr std::size_t most_remembered = 100'000;
  /// How many of them one call of note() forgets.
  static constexpr std::size_t most_forgotten = 64;

  explicit PurgedTags(store::Memory& memory) : memory_(memory) {}
  ~PurgedTags();
  PurgedTags(const PurgedTags&) = delete;
  PurgedTags& operator=(const PurgedTags&) = delete;

  /// Notes that a lease is granted, and returns the present epoch, which is the lease's. Throws std::bad_alloc; then
  /// nothing was noted. O(log epochs).
  std::uint64_t begin_lease();
  /// The present epoch. Takes no lock.
  std::uint64_t epoch() const { return epoch_.load(std::memory_order_relaxed); }
  /// Begins an epoch for a purge by prefix, and returns it.
  std::uint64_t begin_epoch();
  /// The epoch of the oldest lease that is alive; the present one if there is none.
  std::uint64_t oldest() const;
  /// Notes that a lease which was granted in this epoch has ended. O(log epochs).
  void end_lease(std::uint64_t epoch);

  /// The most bytes that note() takes for these tags.
  static std::size_t memory_of(const std::vector<std::string>& tags);
  /// Begins an epoch because these tags of a database are purged, and remembers them. If `room` is false, or memory cannot be
  /// had, it moves the barrier to the new epoch instead. So it never fails. O(tags * log(tags remembered)).
  void note(unsigned db, const std::vector<std::string>& tags, bool room);
  /// Whether one of these tags was purged after `epoch`, or may have been. The tags are encoded as in store::Extra.
  /// Adds the work that was done to `looked_at`: nothing if no tag was purged since, otherwise the bytes of the tags,
  /// and a fixed number of bytes for each step in a map or list.
  bool purged_since(unsigned db, std::uint64_t epoch, std::string_view encoded_tags, std::size_t& looked_at) const;

  /// Forgets up to `most` purges of single tags that no lease needs any more. Returns true if there are more.
  bool forget_some(std::size_t most);
  /// How many purges of single tags are remembered.
  std::size_t remembered() const;

 private:
  using Name = DbName;
  using NameView = DbNameView;
  using Tags = std::map<Name, std::uint64_t, DbNameLess>;  // the epoch of the tag's last purge
  struct Noted {
    std::uint64_t epoch;
    Tags::iterator tag;
  };

  void remember(unsigned db, const std::string& tag);
  bool forget(std::size_t most);

  store::Memory& memory_;
  mutable std::mutex mutex_;             // guards what follows
  std::atomic<std::uint64_t> epoch_{1};  // the present one; written with mutex_ held
  std::uint64_t barrier_ = 0;
  std::map<std::uint64_t, std::uint64_t> alive_;  // how many leases are alive, by epoch
  Tags tags_;
  std::deque<Noted> order_;  // the purges that are remembered, in the order of their epochs; a tag leaves tags_ with the last of its purges
};

}  // namespace pinfold::cache
