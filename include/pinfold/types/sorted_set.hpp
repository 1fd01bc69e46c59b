#pragma once
// Sorted sets: members with scores, in the order of scores, and of members' bytes where scores are the same.
//
// A small one is packed: a Run of TreeKind::scored, in its order. A large one is a store::Collection; it becomes packed again when it has
// shrunk to a quarter of the bounds of a packed one. Its `items` are the members in their
// order. Its `index` says for the hash of a member which scores a member with this hash may have. So a member's score is a look-up in the
// index and one in the items, and every range is one of positions.
//
// Debt. ZREMRANGEBYSCORE may remove a million members. To cut them out of `items` is O(log items). To remove them from `index` takes
// a step for each. So the piece that was cut out becomes the collection's `debt`: members that are gone, but whose index items are still
// there. Every write pays for some, that is, removes an item of the index for each, as does the command that has cut them out. Why it does
// not matter when that happens, and that members come back meanwhile: let I be the index, as a bag of pairs (hash, score), M that of the
// members in `items`, and D that of the debt. Then I always has at least what M and D have together, each pair as often:
//   - adding a member adds its pair to M and I; removing one takes its pair from M and I;
//   - a cut moves pairs from M to D;
//   - paying takes a pair from D and I.
// Each step keeps the relation, and nothing but the relation is needed: a look-up tries the scores that I has for the hash, and asks M
// whether the member is there. Items of the index name no member. So when a member that was cut out is added again with the same score, the
// index has its pair twice, and it makes no difference which of the two goes when the debt is paid. What I has too often (after an
// allocation has failed) takes memory and does no harm.
//
// Nothing here is thread-safe: it is used with the shard of the key locked, or on a snapshot.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "pinfold/store/memory.hpp"
#include "pinfold/types/edit.hpp"
#include "pinfold/types/run.hpp"

namespace pinfold::types {

/// Positions of members, from `first` up to and without `last`. Empty unless first < last.
struct Positions {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t size() const { return first < last ? last - first : 0; }
};

/// One end of a range of scores.
struct ScoreBound {
  double score = 0;
  bool exclusive = false;
};
/// One end of a range of members.
struct LexBound {
  enum class Kind : std::uint8_t { lowest, member, highest };
  Kind kind = Kind::lowest;
  bool exclusive = false;
  std::string_view member;
};

/// A sorted set to read from: packed bytes, or a collection. A view that owns nothing. O(log members), unless a function says otherwise; a
/// packed set is gone through.
class SortedSet {
 public:
  /// An empty set.
  SortedSet() : run_(store::TreeKind::scored, {}) {}
  explicit SortedSet(std::string_view run) : run_(store::TreeKind::scored, run) {}
  explicit SortedSet(const store::Collection& collection) : run_(store::TreeKind::scored, {}), large_(&collection) {}
  /// The set that find_collection() has found.
  explicit SortedSet(const std::optional<store::Value>& value);

  bool packed() const { return large_ == nullptr; }
  /// Only if packed().
  const Run& run() const { return run_; }
  /// Only if not packed().
  const store::Collection& collection() const { return *large_; }
  std::uint64_t size() const { return large_ != nullptr ? large_->size() : run_.count(); }

  std::optional<double> score(std::string_view member) const;
  /// The same with the member's hash, which a packed set does not need.
  std::optional<double> score(const store::PackedElement& member, std::uint64_t hash) const;
  struct Place {
    std::uint64_t rank;  // 0 for the member with the lowest score
    double score;
  };
  std::optional<Place> place(std::string_view member) const;

  /// The members between two scores.
  Positions between(const ScoreBound& least, const ScoreBound& most) const;
  /// The members between two members of the same score. If scores differ, as in Redis nobody knows which.
  Positions between(const LexBound& least, const LexBound& most) const;

  /// Calls `visit(const char* item)`, for a store::ScoredItem, for `count` members from a position on, while it returns true. Reports them
  /// to base/work.hpp.
  template <class Visit>
  void visit(std::uint64_t first, std::uint64_t count, Visit&& visit) const {
    if (large_ != nullptr) {
      store::Tree::Path path = large_->items.at(first);
      large_->items.visit(path, count, visit);
      return;
    }
    if (count == 0) return;
    work::entries(count);
    const char* item = run_.at(first);
    for (; count > 0 && visit(item); --count) item = run_.next(item);
  }
  /// The item at a position, which must be less than size(). Valid until the set is changed.
  const char* item(std::uint64_t position) const { return large_ != nullptr ? large_->items.at(position).item() : run_.at(position); }
  store::ScoredItem at(std::uint64_t position) const { return store::ScoredItem(item(position)); }

 private:
  // How many members are before the first one with this score, or with `beyond` before the first one with a higher score.
  std::uint64_t before(double score, bool beyond) const;
  // How many are before `member`, or with `beyond` up to it, if all have the score of the first one.
  std::uint64_t before(std::string_view member, bool beyond) const;

  Run run_;
  const store::Collection* large_ = nullptr;
};

/// A sorted set as it is now, for reading with nothing locked: a copy of packed bytes, or a reference to a collection.
class SortedSetSnapshot {
 public:
  /// `memory` must outlive it: there the collection is freed, if nobody else has it any more.
  SortedSetSnapshot(const SortedSet& set, store::Memory& memory);
  /// Valid as long as this object.
  SortedSet set() const { return large_ ? SortedSet(store::Collection::of(large_.get())) : SortedSet(run_); }
  /// The reference to the collection, if it is one: what KeptTree tells of its memory.
  const store::OwnedHandle& pin() const { return large_; }

 private:
  std::string run_;
  store::OwnedHandle large_;
};

/// A member that ZADD adds, or whose score it sets.
struct Addition {
  double score = 0;
  std::string_view member;
  Blob block = {};  // in which a long member has been received; empty if there is none
};

/// The options of ZADD.
struct AddRules {
  bool only_new = false;       // NX
  bool only_existing = false;  // XX
  bool only_higher = false;    // GT
  bool only_lower = false;     // LT
  bool increment = false;      // INCR: scores are added to those that are there
};
struct Added {
  std::uint64_t added = 0;
  std::uint64_t changed = 0;    // members that were there, and have another score now
  std::optional<double> score;  // of the last member; nothing if a rule forbade what was asked
  bool not_a_number = false;    // an increment would have led from one infinity to the other: nothing was done
};

// The functions that change a set may be called once for an Edit. If one is refused because the system gave no memory, some of what was
// asked may be done: each member is added, moved or removed as a whole.

/// ZADD. `heap` is for collections and long members. O(additions * log members).
store::Stored add(Edit& edit, BlockHeap& heap, const Thresholds& thresholds, std::span<Addition> additions, const AddRules& rules,
                  Added& added);
/// ZREM. O(members * log members of the set).
store::Stored remove(Edit& edit, std::span<const std::string_view> members, std::uint64_t& removed);

struct Removal {
  std::uint64_t removed = 0;
  /// Whether the collection has a debt now that is to be paid.
  bool owes = false;
  /// What was removed, if it was cut out as a whole, and remove() was asked to keep it: for a reply with nothing locked.
  std::optional<store::Tree> piece;
};
/// Up to so many members are removed from the index as well. More leave a debt.
constexpr std::uint64_t most_removed_at_once = 128;
/// Removes the members at some positions, of which there must be one at least: all of them, or none if there is no memory. O(log members),
/// or O(number removed * log members) for up to most_removed_at_once.
store::Stored remove(Edit& edit, Positions positions, bool keep_piece, Removal& removal);

/// Pays for up to `most` members of the debt. Returns whether there is none left. O(most * log members).
bool pay_debt(store::Collection& collection, std::uint64_t most);

/// The members of a set that is being made: as pairs in their order, each member once. add() must get them in this order.
/// Has the packed form as long as it may. Not thread-safe.
class SortedSetBuilder {
 public:
  /// What is not taken is freed as leftovers of `memory`, which must outlive this object.
  SortedSetBuilder(store::Memory& memory, const Thresholds& thresholds) : memory_(memory), thresholds_(thresholds) {}
  SortedSetBuilder(const SortedSetBuilder&) = delete;
  SortedSetBuilder& operator=(const SortedSetBuilder&) = delete;

  /// Adds a member behind the others. References to blocks are shared. Returns false if there is no memory. O(log members).
  bool add(const store::Element& member, double score, std::uint64_t hash);
  std::uint64_t size() const { return size_; }
  /// Bytes of the collection; 0 as long as it is packed.
  std::uint64_t memory() const { return large_ ? large().memory() : 0; }
  /// What has been built, to be stored. The bytes of a packed one stay with the builder. Called once, if size() is not 0.
  store::TypedValue take();

 private:
  bool enlarge();
  store::Collection& large() const { return store::Collection::of(large_.get()); }

  store::Memory& memory_;
  const Thresholds thresholds_;
  std::array<char, most_packed_bytes> run_{};
  std::size_t used_ = Run::header;
  std::uint64_t size_ = 0;
  bool named_large_ = false;
  store::OwnedHandle large_;
};

/// The name of the form that a set has: see store::Form.
constexpr store::Form sorted_set_form(bool packed, bool named_large) {
  if (packed) return named_large ? store::Form::packed_large : store::Form::packed_small;
  return named_large ? store::Form::tree_large : store::Form::tree_small;
}
constexpr bool named_large(store::Form form) { return form == store::Form::packed_large || form == store::Form::tree_large; }

}  // namespace pinfold::types
