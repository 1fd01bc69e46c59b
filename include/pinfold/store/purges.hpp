#pragma once
// Purges that one table has still to be swept for: which entries are gone, or stale, although they are still there.
//
// A purge takes no time for the entries that it is for: it remembers how far the logs had been written, and every look-up
// compares. What was written later is not meant. When the background has gone through all that was there at the time,
// the purge is forgotten. Guarded by the shard's lock; Purge itself is shared by the tables of all shards.

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

/// What was asked for. Constant but for the sums.
struct Purge {
  bool by_prefix = false;
  std::vector<std::string> names;  // the prefix, or tags in order
  bool soft = false;               // entries become stale instead of gone
  bool wipe = false;               // is over only when Keyspace::erase() has followed the sweep
  UnixMs at = 0;
  /// For soft: how long an entry without a deadline may be used from then on, in milliseconds.
  std::function<std::uint32_t(std::string_view key)> stale_for;

  std::uint64_t number = 0;    // grows with each purge; given by Keyspace::purge(), as the next two
  std::uint64_t database = 0;  // identifies the entries that it can be for: not the number, which SWAPDB gives to others
  TagMarks* marks = nullptr;   // null until it has been accepted

  std::atomic<std::uint64_t> entries{0};  // that it took away
  std::atomic<std::uint64_t> bytes{0};    // that those occupied
  std::atomic<unsigned> unswept{0};       // tables
  /// Called by the background when the last table has been swept and its marks are taken back, with nothing locked. Must not
  /// throw. May be empty.
  std::function<void(const std::shared_ptr<Purge>&)> done;
  std::shared_ptr<Purge> next;             // for whoever keeps it in a list
  std::uint64_t erasure = 0;               // for whoever waits for Keyspace::erase() to be over
  std::function<void(const Purge&)> tell;  // for whoever has it told later

  bool covers(std::string_view key, const Extra& extra) const;
  /// One more table has been swept, or is gone.
  static void swept(const std::shared_ptr<Purge>& purge);
};

/// How far the logs of a table had been written.
struct LogPosition {
  std::uint64_t sequence = 0;                                  // of the newest segment
  std::array<std::uint32_t, eviction::queue_count> segment{};  // that was being written, by queue
  std::array<std::uint32_t, eviction::queue_count> used{};
};

class Purges {
 public:
  /// So many prefixes are compared with each key.
  static constexpr std::size_t most_prefixes = 64;
  /// So many purges are forgotten by one call of end_round().
  static constexpr std::size_t most_forgotten = 512;
  /// What one more may take in each table.
  static std::size_t most_memory_of(const Purge& purge);

  explicit Purges(const TagMarks& tags) : tags_(tags) {}
  ~Purges();
  Purges(const Purges&) = delete;
  Purges& operator=(const Purges&) = delete;

  /// Prefixes only; tags are for TagMarks to judge.
  bool has_room_for(const Purge& purge);
  /// The marks of its tags have been made.
  void add(const std::shared_ptr<Purge>& purge, const LogPosition& position);
  bool empty() const { return waiting_.empty(); }

  struct Mark {
    LogPosition position;
    std::shared_ptr<Purge> purge;
    std::uint64_t number = 0;
  };
  /// The first purge that takes away the entry, or else the first that makes it stale; null if none does. `before` tells
  /// whether it was written before a position. Adds the bytes that were looked at to `looked_at`: the key, prefixes, tags, and so many
  /// for each place in a map or list.
  template <class Before>
  Purge* match(std::string_view key, const char* extra, Before&& before, std::size_t& looked_at) const {
    // An entry that was written before a purge was written before all later ones.
    const auto first = std::ranges::partition_point(waiting_, [&](const Mark& mark) { return !before(mark.position); });
    return first != waiting_.end() ? match_from(static_cast<std::size_t>(first - waiting_.begin()), key, extra, looked_at) : nullptr;
  }
  /// The most that match() may look at.
  std::size_t most_looked_at(std::string_view key, const char* extra) const;

  /// The newest segment that a sweep has to look at.
  std::uint64_t newest() const { return newest_; }
  /// A sweep starts; what is added from now on is for the next.
  void begin_round() { round_ = waiting_.empty() ? 0 : waiting_.back().number; }
  bool in_round() const { return round_ != 0; }
  /// It has seen everything: its purges are forgotten, some of them each time. True if there are more.
  bool end_round();
  std::uint32_t sweep_at = 1;      // the next segment to look at
  std::uint32_t sweep_offset = 0;  // and where in it, if it is still the one with this sequence
  std::uint64_t sweep_sequence = 0;

  std::size_t memory() const;

 private:
  /// What has been found so far: of those that take entries away, and of those that make them stale, the first.
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
  /// Null if that purge is not waited for here: it is of other entries, or this table has been swept for it.
  Purge* find(std::uint64_t number) const {
    const auto at = std::ranges::lower_bound(waiting_, number, {}, &Mark::number);
    return at != waiting_.end() && at->number == number ? at->purge.get() : nullptr;
  }

  const TagMarks& tags_;
  Prefixes<Purge*> prefixes_;       // some of those that wait
  std::deque<Mark> waiting_;        // all of them, by number
  std::size_t purges_of_tags_ = 0;  // among those
  std::size_t hard_of_tags_ = 0;    // among those, not SOFT
  std::uint64_t round_ = 0;
  std::uint64_t newest_ = 0;
};

}  // namespace pinfold::store
