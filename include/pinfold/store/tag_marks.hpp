#pragma once
// Which tags are being purged, for the tables of all shards together: a purge of many tags marks each of them once, however
// many shards there are. From when on a purge is in force in a table, and for which of its entries, the table itself knows
// (purges.hpp).
//
// Marks are made with all shards locked and read with at least one locked; they are taken back by the background, a few at a
// time, when all tables have been swept.

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

#include "pinfold/base/hash.hpp"
#include "pinfold/store/memory.hpp"

namespace pinfold::store {

struct Purge;

/// Thread-safe. Counts what it takes as Use::herd.
class TagMarks {
 public:
  static constexpr std::size_t most_tags = 16 * 1024;
  static constexpr std::size_t most_marks = 64;  // of one tag in one database
  /// So many names are taken back under the lock at a time.
  static constexpr std::size_t most_forgotten = 512;

  explicit TagMarks(Memory& memory) : memory_(memory), secret_(random_hash_key()), tags_(0, Hash{&secret_}) {}
  TagMarks(const TagMarks&) = delete;
  TagMarks& operator=(const TagMarks&) = delete;

  /// What add() may take.
  static std::size_t most_memory_of(const Purge& purge);
  bool has_room_for(const Purge& purge) const;
  /// Marks the tags of a purge. Throws std::bad_alloc; then none is marked. O(tags of the purge).
  void add(const Purge& purge);
  /// All tables know of the purge: marks that it makes needless go. Before, they must not: a purge that fails halfway for want of
  /// memory takes nothing back.
  void supersede(const Purge& purge);
  struct Mark {
    bool soft;
    std::uint64_t database;  // as Purge has it
    std::uint64_t number;
    auto operator<=>(const Mark&) const = default;
  };
  /// For some look-ups one after the other.
  class Look {
   public:
    explicit Look(const TagMarks& marks) : marks_(marks), lock_(marks.mutex_) {}
    /// The marks of the tag in order, from a purge of that kind in that database on with the number or a higher one.
    std::span<const Mark> marks_of(std::string_view tag, bool soft, std::uint64_t database, std::uint64_t number) const;

   private:
    const TagMarks& marks_;
    const std::shared_lock<std::shared_mutex> lock_;
  };

  /// All tables have been swept for the purge: its marks are to be taken back, and then it is done. With any lock held.
  void swept(const std::shared_ptr<Purge>& purge);
  /// Whether there are such.
  bool has_swept() {
    const std::lock_guard lock(swept_mutex_);
    return swept_ != nullptr;
  }
  /// Takes back some of those; true if there are more. Called by the background.
  bool forget_some();

 private:
  using Marks = std::vector<Mark>;  // in order
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
  mutable std::shared_mutex mutex_;  // guards the tags
  Tags tags_;
  std::mutex swept_mutex_;        // guards the list
  std::shared_ptr<Purge> swept_;  // a list: to note one more takes no memory
  // The background's own.
  std::shared_ptr<Purge> forgetting_;
  std::size_t forgotten_ = 0;  // of its tags
};

}  // namespace pinfold::store
