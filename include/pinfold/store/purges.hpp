#pragma once
// The purges that are pending in one table. A purge removes all entries with a tag or with a key prefix; a soft purge
// makes them stale instead, except for negative entries and those for which there is no memory, which it removes.
//
// A purge is in force at once and visits no entries. It notes how far the log of each table has been written. From then on
// every lookup asks whether the entry was written before that position and has the tag or prefix. Entries that are written
// later are not hit. The background worker sweeps the entries that were there, removes those that are hit, and then forgets the
// purge.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/prefixes.hpp"
#include "pinfold/eviction/policy.hpp"
#include "pinfold/store/extra.hpp"
#include "pinfold/store/tag_marks.hpp"

namespace pinfold::store {

struct Purge;

/// The part of the server that asks for purges (cache::Cache), as the store knows it. Tables may outlive it, so a Purge refers
/// to it weakly.
class PurgeOwner {
 public:
  virtual ~PurgeOwner() = default;
  /// For a soft purge: for how many milliseconds after the purge an entry without a deadline may be served as stale. Called
  /// with the key's shard locked.
  virtual std::uint32_t stale_ms(std::string_view key) = 0;
  /// Called by the background worker with nothing locked, when all tables have been swept and the marks of the purge's tags
  /// have been taken back.
  virtual void over(const std::shared_ptr<Purge>& purge) noexcept = 0;
};

/// One purge, shared by the tables of all shards. Thread-safe: what was asked for does not change once Keyspace::purge() has
/// accepted it, the sums are atomic, and each member after `unswept` has one user at a time.
struct Purge {
  bool by_prefix = false;
  std::vector<std::string> names;   // the prefix; or the tags, sorted and each once
  bool soft = false;                // entries become stale instead of being removed, as far as they can
  bool wipe = false;                // the purge is over only when an erasure (Keyspace::erase()) has followed the sweep
  UnixMs at = 0;                    // when the purge was asked for
  std::weak_ptr<PurgeOwner> owner;  // may be empty

  std::uint64_t number = 0;  // higher than that of all earlier purges; set by Keyspace::purge(), like the next two
  /// The number that the database had when Keyspace::purge() accepted the purge (Keyspace::databases_). It does not change here when
  /// SWAPDB gives the database a new one.
  std::uint64_t database = 0;
  TagMarks* marks = nullptr;  // null until the purge has been accepted

  std::atomic<std::uint64_t> entries{0};  // entries that the purge has removed or made stale
  std::atomic<std::uint64_t> bytes{0};    // bytes that the removed ones occupied
  std::atomic<unsigned> unswept{0};       // tables that are still to be swept, and 1 more until cache::Cache::purge() returns
  std::shared_ptr<Purge> next;            // the next purge in the list that this one is in: at first that of TagMarks, later that of Cache
  std::uint64_t erasure = 0;              // for cache::Cache: the number of the erasure that it waits for; 0: none yet
  std::uint64_t token = 0;                // for cache::Cache: the token that the first lease after the purge gets
  bool counted = false;                   // for cache::Cache: whether it counts the purge among those that are under way
  /// For cache::Cache: called when the purge is over, to answer the request that has asked for it. The store does not call it.
  /// May be empty.
  std::function<void(const Purge&)> tell;

  /// Whether the purge is for an entry with this key and these tags, whenever the entry was written.
  bool covers(std::string_view key, const Extra& extra) const;
  /// The owner's PurgeOwner::stale_ms(); 0 if the owner no longer exists.
  std::uint32_t stale_ms(std::string_view key) const;
  /// Notes that one more table has been swept or destroyed. After the last one the purge goes to TagMarks::swept().
  static void swept(const std::shared_ptr<Purge>& purge);
};

/// A purge position: how far the log of a table had been written at one moment, in each of its queues.
struct LogPosition {
  std::uint64_t sequence = 0;                                  // of the segment that was begun last
  std::array<std::uint32_t, eviction::queue_count> segment{};  // the ids of those being written, by queue
  std::array<std::uint32_t, eviction::queue_count> used{};     // bytes of entries in them, dead ones included
};

/// Not thread-safe: guarded by the shard's lock. `tags` must outlive it, and is guarded by its own lock.
class Purges {
 public:
  /// How many purges by prefix may be compared with every key that is looked up. Pending ones that a later purge of the same
  /// prefix makes needless do not count.
  static constexpr std::size_t most_prefixes = 64;
  /// How many purges one call of end_round() forgets.
  static constexpr std::size_t most_forgotten = 512;
  /// The most bytes that this purge takes in each table.
  static std::size_t most_memory_of(const Purge& purge);

  explicit Purges(const TagMarks& tags) : tags_(tags) {}
  /// The pending purges count as swept, because the table is gone.
  ~Purges();
  Purges(const Purges&) = delete;
  Purges& operator=(const Purges&) = delete;

  /// Whether one more purge may be pending. Looks at prefixes only: for tags TagMarks::has_room_for() decides.
  /// O(prefixes).
  bool has_room_for(const Purge& purge);
  /// Adds a purge that hits what was written before `position`. The marks of its tags must have been made
  /// (TagMarks::add()). Throws std::bad_alloc; then nothing has changed. O(prefixes).
  void add(const std::shared_ptr<Purge>& purge, const LogPosition& position);
  bool empty() const { return waiting_.empty(); }

  /// A purge that is pending in this table.
  struct Mark {
    LogPosition position;
    std::shared_ptr<Purge> purge;
    std::uint64_t number = 0;
  };
  /// The purge that hits an entry: the first one that removes it, otherwise the first one that makes it stale. Null if
  /// none hits it. `extra` is the entry's written Extra, or null. `before(position)` tells whether the entry was
  /// written before a position. Adds the work that was done to `looked_at`: the bytes of key, prefixes and tags, and a
  /// fixed number of bytes for each step in a map or list.
  template <class Before>
  Purge* match(std::string_view key, const char* extra, Before&& before, std::size_t& looked_at) const {
    // Later purges have later positions. So `waiting_` has two parts: the entry was written after the positions of the first
    // part, and before those of the second. Only a purge of the second part can hit it.
    const auto first = std::ranges::partition_point(waiting_, [&](const Mark& mark) { return !before(mark.position); });
    return first != waiting_.end() ? match_from(static_cast<std::size_t>(first - waiting_.begin()), key, extra, looked_at) : nullptr;
  }
  /// The most that match() may add to `looked_at` for such an entry.
  std::size_t most_looked_at(std::string_view key, const char* extra) const;

  /// The sequence number of the newest segment that a sweep has to look at. Segments that were begun later have no entries that
  /// a pending purge hits.
  std::uint64_t newest() const { return newest_; }
  /// Begins a round, which is one sweep through all segments for all pending purges. Purges that are added later are
  /// for the next round.
  void begin_round() { round_ = waiting_.empty() ? 0 : waiting_.back().number; }
  bool in_round() const { return round_ != 0; }
  /// Ends a round that has seen every segment: forgets its purges, up to most_forgotten in each call. Returns true if
  /// there are more to forget. The round is over when it returns false.
  bool end_round();
  std::uint32_t sweep_at = 1;      // the id of the segment that the sweep looks at next
  std::uint32_t sweep_offset = 0;  // where it goes on in that segment, if the segment's sequence number is sweep_sequence
  std::uint64_t sweep_sequence = 0;

  /// Bytes that the object itself and its lists occupy.
  std::size_t memory() const;

 private:
  // The first purge that removes the entry and the first that makes it stale, among those that match() has seen so far.
  struct Found {
    Purge* hard = nullptr;
    Purge* soft = nullptr;
    void add(Purge& purge) {
      Purge*& first = purge.soft ? soft : hard;
      if (first == nullptr || purge.number < first->number) first = &purge;
    }
  };
  Purge* match_from(std::size_t first, std::string_view key, const char* extra, std::size_t& looked_at) const;
  bool ask_purges(std::size_t first, const Extra& extra, Found& found, std::size_t& looked_at) const;
  void ask_tags(std::size_t first, const Extra& extra, Found& found, std::size_t& looked_at) const;
  Purge* replaceable(const Purge& purge) const;
  void count(const Purge& purge, int sign);
  // The pending purge with this number. Null if it is not pending here: it is for another database, or this table has
  // been swept for it.
  Purge* find(std::uint64_t number) const {
    const auto at = std::ranges::lower_bound(waiting_, number, {}, &Mark::number);
    return at != waiting_.end() && at->number == number ? at->purge.get() : nullptr;
  }

  const TagMarks& tags_;
  Prefixes<Purge*> prefixes_;       // purges by prefix, without those that a later purge of the same prefix makes needless
  std::deque<Mark> waiting_;        // all pending purges, in the order of their numbers
  std::size_t purges_of_tags_ = 0;  // how many of these are for tags
  std::size_t hard_of_tags_ = 0;    // and of those for tags, how many are not soft
  std::uint64_t round_ = 0;         // the number of the round's last purge; 0: there is no round
  std::uint64_t newest_ = 0;
};

}  // namespace pinfold::store
