#pragma once
// The tags that were purged lately. A fill is the write by which the holder of a lease (leases.hpp) stores what it has
// read from the origin. It has to be refused if one of its tags was purged after the lease was granted, because the
// holder may have read the value before the purge. A fill names its tags only when it arrives, so a purge cannot tell
// which leases it concerns.
//
// Each purge gets a number, which is one higher than the last: a logical timestamp. (Purge::number is another one, which the
// store gives.) A lease remembers the last purge number before its grant, so a purge visits no leases. Purges since the grant
// of the oldest living lease are remembered: each of their tags, with the number of its last purge. If there is no room for the
// tags of a purge, its number becomes the barrier: a lease that was granted before the barrier cannot fill with any tag. So
// some correct fills are refused, but no incorrect one is let through.
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
  /// How many purged tags are remembered at most (a purge of 5 tags counts 5), those that may be forgotten included.
  static constexpr std::size_t most_remembered = 100'000;
  /// How many of them one call of note() forgets.
  static constexpr std::size_t most_forgotten = 64;

  explicit PurgedTags(store::Memory& memory) : memory_(memory) {}
  ~PurgedTags();
  PurgedTags(const PurgedTags&) = delete;
  PurgedTags& operator=(const PurgedTags&) = delete;

  /// Notes that a lease is granted, and returns its purge number, which is that of the last purge. Throws std::bad_alloc; then
  /// nothing was noted. O(log leases).
  std::uint64_t begin_lease();
  /// The number of the last purge; 1 if there was none. Takes no lock.
  std::uint64_t last_purge() const { return last_purge_.load(std::memory_order_relaxed); }
  /// Gives a purge by prefix its number, and returns it.
  std::uint64_t number_purge();
  /// The purge number of the oldest lease that is alive; that of the last purge if there is none.
  std::uint64_t oldest() const;
  /// Notes that a lease with this purge number has ended. O(log leases).
  void end_lease(std::uint64_t purge_number);

  /// The most bytes that note() takes for these tags.
  static std::size_t memory_of(const std::vector<std::string>& tags);
  /// Gives a purge of these tags of a database its number, and remembers them. If `room` is false, or memory cannot be had, it
  /// moves the barrier to the new number instead. So it never fails. O(tags * log(tags remembered)).
  void note(unsigned db, const std::vector<std::string>& tags, bool room);
  /// Whether a purge with a higher number than `purge_number` has hit one of these tags, or may have. The tags are encoded as in
  /// store::Extra. Adds the work that was done to `looked_at`: nothing if no tag was purged since, otherwise the bytes of the
  /// tags, and a fixed number of bytes for each step in a map or list.
  bool purged_since(unsigned db, std::uint64_t purge_number, std::string_view encoded_tags, std::size_t& looked_at) const;

  /// Forgets up to `most` purged tags that no lease needs any more. Returns true if there are more.
  bool forget_some(std::size_t most);
  /// How many purged tags are remembered, counted as for most_remembered.
  std::size_t remembered() const;

 private:
  using Name = DbName;
  using NameView = DbNameView;
  using Tags = std::map<Name, std::uint64_t, DbNameLess>;  // the number of the tag's last purge
  struct Noted {
    std::uint64_t number;
    Tags::iterator tag;
  };

  void remember(unsigned db, const std::string& tag);
  bool forget(std::size_t most);

  store::Memory& memory_;
  mutable std::mutex mutex_;                  // guards what follows
  std::atomic<std::uint64_t> last_purge_{1};  // the number of the last purge; written with mutex_ held
  std::uint64_t barrier_ = 0;
  std::map<std::uint64_t, std::uint64_t> alive_;  // how many leases are alive, by purge number
  Tags tags_;
  // One item for each tag of each purge, in the order of the purges' numbers. A tag is erased from tags_ when the last of its items here
  // is taken out.
  std::deque<Noted> order_;
};

}  // namespace pinfold::cache
