#pragma once
// Which tags are being purged. A mark says that a purge of a tag is pending in a database. It is kept once for the
// tables of all shards, so the cost of a purge of many tags does not grow with the number of shards. Each table knows
// by itself which of its entries a purge may hit (purges.hpp).
//
// Marks are made with all shards locked, and read with at least one shard locked. When all tables have been swept for a
// purge, the background worker takes its marks back, a few at a time.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pinfold/base/siphash.hpp"
#include "pinfold/store/memory.hpp"

namespace pinfold::store {

struct Purge;

/// Thread-safe. Counts its memory as Use::coalescing in `memory`, which must outlive it.
class TagMarks {
 public:
  /// How many tags may be marked, and how many marks one tag may have in one database.
  static constexpr std::size_t most_tags = 16 * 1024;
  static constexpr std::size_t most_marks = 64;
  /// How many tags of a purge lose their marks in one call of forget_some(), with the lock held.
  static constexpr std::size_t most_forgotten = 512;

  explicit TagMarks(Memory& memory) : memory_(memory), secret_(random_hash_key()), tags_(0, Hash{&secret_}) {}
  TagMarks(const TagMarks&) = delete;
  TagMarks& operator=(const TagMarks&) = delete;

  /// The most bytes that add() takes for a purge.
  static std::size_t most_memory_of(const Purge& purge);
  /// Whether the tags of a purge can be marked within most_tags and most_marks. O(tags of the purge and their marks).
  bool has_room_for(const Purge& purge) const;
  /// Marks the tags of a purge. Throws std::bad_alloc; then some tags may be marked. No table knows the purge yet, so
  /// these marks mean nothing, and forget_some() takes them back after swept(). O(tags of the purge).
  void add(const Purge& purge);
  /// Removes the older marks that this purge makes needless. Must be called when all tables know of the purge, and not before:
  /// a purge that fails halfway for lack of memory must leave older ones in force. O(tags of the purge).
  void supersede(const Purge& purge);
  struct Mark {
    bool soft;
    std::uint64_t database;  // Purge::database
    std::uint64_t number;    // Purge::number
    auto operator<=>(const Mark&) const = default;
  };
  /// Holds the lock for several lookups. Their results are valid while the Look exists.
  class Look {
   public:
    explicit Look(const TagMarks& marks) : marks_(marks), lock_(marks.mutex_) {}
    /// The marks of a tag from {soft, database, number} on, sorted by these three. `database` and `number` are only where the
    /// result begins: it goes on to the tag's last mark, whatever that is for. So the caller must stop at the first mark with another
    /// `soft`, or with a database above the highest one that it wants. O(log marks).
    std::span<const Mark> marks_of(std::string_view tag, bool soft, std::uint64_t database, std::uint64_t number) const;

   private:
    const TagMarks& marks_;
    const std::shared_lock<std::shared_mutex> lock_;
  };

  /// Called when all tables have been swept for the purge. Puts it into the list for forget_some(). Any lock may be held. Takes no memory.
  void swept(const std::shared_ptr<Purge>& purge);
  /// Whether purges are in that list.
  bool has_swept() {
    const std::lock_guard lock(swept_mutex_);
    return swept_ != nullptr;
  }
  /// Takes some marks of the queued purges back, and calls PurgeOwner::over() for a purge whose marks are all gone. Returns
  /// false if there was nothing to do. Only for the background worker.
  bool forget_some();

 private:
  using Marks = std::vector<Mark>;  // sorted
  struct Hash {
    using is_transparent = void;
    const HashKey* secret;
    std::size_t operator()(std::string_view tag) const { return siphash13(*secret, tag); }
  };
  using Tags = std::unordered_map<std::string, Marks, Hash, std::equal_to<>>;

  static Mark* replaceable(Marks& marks, const Purge& purge);
  void mark(const std::string& tag, const Purge& purge);
  void forget(const Purge& purge, std::size_t first, std::size_t count);
  void account(std::int64_t tags, std::int64_t marks, std::int64_t tag_bytes);

  Memory& memory_;
  HashKey secret_;
  mutable std::shared_mutex mutex_;  // guards tags_
  Tags tags_;
  std::mutex swept_mutex_;        // guards swept_
  std::shared_ptr<Purge> swept_;  // the list for forget_some(), the latest first, linked by Purge::next
  // Used only by the background worker.
  std::shared_ptr<Purge> forgetting_;
  std::size_t forgotten_ = 0;  // how many tags of forgetting_ are done
};

}  // namespace pinfold::store
