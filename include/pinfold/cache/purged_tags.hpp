#pragma once
// Which tags were purged since a lease was granted: a fill names its tags only when it comes, and what it brings may have been read
// before the purge.
//
// Each purge of tags begins an epoch, and a lease is known by the epoch in which it was granted: one number, however many leases
// there are. Remembered are the tags of purges that came after the oldest lease that is alive, each with the last epoch that
// one of its purges began. Where there is no room for that, a barrier takes their place: leases from before it may not fill
// with any tags, which refuses some fills that could be let through and never the other way round. What need not be remembered any
// longer is dropped by the background, a few at a time and never where a lease ends, because that happens with a shard locked; keeping
// it longer refuses nothing more.

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

/// Thread-safe, and may be used with shards locked. Counts what it takes as store::Use::herd in `memory`, which must outlive it.
class PurgedTags {
 public:
  /// So many purges of a tag are remembered, those included that wait to be dropped.
  static constexpr std::size_t most_remembered = 100'000;
  /// So many are dropped by a call of note().
  static constexpr std::size_t most_dropped = 64;

  explicit PurgedTags(store::Memory& memory) : memory_(memory) {}
  ~PurgedTags();
  PurgedTags(const PurgedTags&) = delete;
  PurgedTags& operator=(const PurgedTags&) = delete;

  /// A lease is granted, in the epoch that is returned. Throws std::bad_alloc, and then there is none. O(log epochs).
  std::uint64_t begin_lease();
  /// The present epoch.
  std::uint64_t epoch() const { return epoch_.load(std::memory_order_relaxed); }
  /// Begins one, for a purge of something else than tags.
  std::uint64_t begin_epoch();
  /// The epoch of the oldest lease that is alive; the present one if there is none.
  std::uint64_t oldest() const;
  /// It has ended.
  void end_lease(std::uint64_t epoch);

  /// What note() may take for them, in bytes.
  static std::size_t memory_of(const std::vector<std::string>& tags);
  /// Tags of a database are purged now; whether there is `room` to remember them is the caller's to say. Never fails.
  /// O(tags log tags remembered).
  void note(unsigned db, const std::vector<std::string>& tags, bool room);
  /// Whether one of the tags, encoded as in store::Extra, was purged after the lease's epoch, or may have been. Adds the bytes that were
  /// looked at to `looked_at`: none if no tag was purged since, else the tags, and so many for each place in a map or list.
  bool purged_since(unsigned db, std::uint64_t epoch, std::string_view encoded_tags, std::size_t& looked_at) const;

  /// Drops up to so many that need not be remembered any longer; true if there are more.
  bool forget_some(std::size_t most);
  /// Purges of a tag that are remembered.
  std::size_t remembered() const;

 private:
  using Name = DbName;
  using NameView = DbNameView;
  using Tags = std::map<Name, std::uint64_t, DbNameLess>;  // the epoch that began with the last purge
  struct Noted {
    std::uint64_t epoch;
    Tags::iterator tag;
  };

  void remember(unsigned db, const std::string& tag);
  bool drop(std::size_t most);

  store::Memory& memory_;
  mutable std::mutex mutex_;             // guards what follows
  std::atomic<std::uint64_t> epoch_{1};  // written with the lock
  std::uint64_t barrier_ = 0;
  std::map<std::uint64_t, std::uint64_t> alive_;  // leases, by epoch
  Tags tags_;
  std::deque<Noted> order_;  // by epoch; a tag is forgotten with the last of its purges
};

}  // namespace pinfold::cache
