#pragma once
// Unions, intersections and differences of sorted sets and sets, in short steps. A set is as a sorted set whose scores are all 1.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/sliced_sort.hpp"
#include "pinfold/store/memory.hpp"
#include "pinfold/types/set.hpp"
#include "pinfold/types/sorted_set.hpp"

namespace pinfold::types {

enum class ScoredOperation : std::uint8_t { union_of_all, intersection, difference };
enum class Aggregate : std::uint8_t { sum, least, most };

/// A member of a result. The element lies in one of the operands.
struct ScoredMember {
  const char* element = nullptr;
  double score = 0;
  std::uint64_t hash = 0;
};

/// Whether one member stands before another in a sorted set.
bool stands_before(const ScoredMember& a, const ScoredMember& b);

/// Members by their hashes: an open table of numbers, of up to 2^32 members in an array. Not thread-safe.
class MemberTable {
 public:
  static std::uint64_t memory_for(std::uint64_t members);
  /// Makes room for members. Returns false if there is no memory. The pages are taken as they are used.
  bool reserve(std::uint64_t members);
  std::uint64_t size() const { return size_; }
  ScoredMember* members() { return members_.get(); }
  /// The member with this text, or null.
  ScoredMember* find(const store::Element& element, std::uint64_t hash);
  /// Adds a member that is not there. There must be room.
  void add(const ScoredMember& member);

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::uint64_t slot_of(std::uint64_t hash) const { return hash & mask_; }

  std::unique_ptr<ScoredMember[], Free> members_;
  std::unique_ptr<std::uint32_t[], Free> slots_;  // the number of a member, from 1; 0: none
  std::uint64_t mask_ = 0;
  std::uint64_t size_ = 0;
};

/// One of the sets that are combined: a view, or after keep() a snapshot. Not thread-safe.
class Operand {
 public:
  /// An empty set.
  Operand() = default;
  /// A value of the type zset or set.
  explicit Operand(const store::Value& value);
  Operand(const Operand&) = delete;
  Operand& operator=(const Operand&) = delete;

  double weight = 1;

  std::uint64_t size() const { return size_; }
  /// Keeps the set as it is now, to be read with nothing locked.
  void keep(store::Memory& memory);
  /// The bytes that keep() copies.
  std::size_t kept_bytes() const { return bytes_.size(); }
  /// The reference that keep() has made to a collection.
  const store::OwnedHandle& pin() const { return kept_; }
  /// The bytes that prepare() and index() take.
  std::uint64_t index_memory() const;
  /// How many members one look-up goes through.
  std::uint64_t looked_through() const { return large_ != nullptr ? 1 : size_; }
  /// To be called before what follows, and not before keep(). O(members), but O(1) for a large set.
  void prepare();

  /// Calls `visit(const char* element, double score)` for `count` members from a position on, while it returns true.
  template <class Visit>
  void visit(std::uint64_t from, std::uint64_t count, Visit&& visit) const {
    const auto visit_item = [&](const char* item) {
      if (kind_ == store::TreeKind::set) return visit(item, 1.0);
      return visit(item + sizeof(double), store::ScoredItem(item).score());
    };
    if (large_ != nullptr) {
      store::Tree::Path path = large_->items.at(from);
      large_->items.visit(path, count, visit_item);
      return;
    }
    work::entries(count);
    const Run run(kind_, bytes_);
    if (count == 0) return;
    const char* item = run.at(from);
    for (; count > 0 && visit_item(item); --count) item = run.next(item);
  }
  /// The score of a member; nothing if it is not there. A packed set must have been made ready for many look-ups (index()), or is gone
  /// through.
  std::optional<double> score(const store::Element& member, std::uint64_t hash);
  /// Makes a packed set ready for many look-ups. Returns false if there is no memory. O(members).
  bool index();

 private:
  store::TreeKind kind_ = store::TreeKind::scored;
  std::uint64_t size_ = 0;
  std::string_view bytes_;  // a packed set
  std::string own_;         // its bytes, if they are not where they were found
  bool numbers_ = false;    // whether these are plain numbers still, and not a run
  const store::Collection* large_ = nullptr;
  store::OwnedHandle kept_;
  MemberTable table_;
};

/// The work on one result. advance() does a piece of it, until all is done. Operands and results may be read with nothing locked.
/// Not thread-safe.
class ScoredAlgebra {
 public:
  explicit ScoredAlgebra(ScoredOperation operation) : operation_(operation) {}

  // To be called before anything else.
  void aggregate_with(Aggregate aggregate) { aggregate_ = aggregate; }
  std::deque<Operand>& operands() { return operands_; }
  /// How many members are looked at, about.
  std::uint64_t cost() const;
  /// How many members the result has at most.
  std::uint64_t most_results() const;
  /// The memory that the work takes.
  std::uint64_t memory() const;
  /// For results of which only so many are counted, and that are not looked at: they get no order.
  void count_up_to(std::uint64_t most) {
    only_counted_ = true;
    most_ = most;
  }

  enum class Progress : std::uint8_t { more, done, no_memory };
  /// Works until the time `end_us` of monotonic_us().
  Progress advance(std::int64_t end_us);

  std::uint64_t size() const { return size_; }
  /// The results by score and member, after Progress::done.
  const ScoredMember* results() const { return results_; }

 private:
  enum class Stage : std::uint8_t { begin, prepare, collect, sort, done };
  bool begin();
  bool prepare_next();
  std::uint64_t at_once() const;
  bool collect_some();
  void add_to_union(const char* element, double score);
  bool look_for(const char* element, double score);
  void add(const ScoredMember& member);
  bool begin_sorting();

  const ScoredOperation operation_;
  Aggregate aggregate_ = Aggregate::sum;
  std::deque<Operand> operands_;
  std::vector<Operand*> order_;  // in which they are read
  bool only_counted_ = false;
  std::uint64_t most_ = UINT64_MAX;

  Stage stage_ = Stage::begin;
  std::size_t prepared_ = 0;    // operands that are ready
  bool indexed_ = false;        // whether so many members are looked for that packed operands get an index
  std::size_t operand_ = 0;     // whose members are visited
  std::uint64_t position_ = 0;  // in the operand
  MemberTable table_;           // a union
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<ScoredMember[], Free> listed_;  // other results
  std::unique_ptr<ScoredMember[], Free> spare_;   // for merging
  ScoredMember* results_ = nullptr;
  std::uint64_t size_ = 0;
  bool in_order_ = true;

  std::optional<SlicedSort<ScoredMember, decltype(&stands_before)>> sort_;
};

}  // namespace pinfold::types
