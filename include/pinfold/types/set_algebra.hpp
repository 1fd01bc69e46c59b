#pragma once
// Intersections, unions and differences of sets.

#include <cstdint>
#include <utility>
#include <vector>

#include "pinfold/types/set.hpp"

namespace pinfold::types {

/// `concatenation`: the members of all sets, those of several sets more than once. For who adds them to a set.
enum class SetOperation : std::uint8_t { intersection, union_of_all, concatenation, difference };

/// Goes through the members of a result in slices. Each member of the smallest set (intersection), of the first one (difference) or of all
/// sets (union) is visited, and looked for in the other sets. Takes no memory for the result, and can begin anew. The sets must stay as
/// they are. Not thread-safe.
class SetCombination {
 public:
  /// There must be one set at least.
  SetCombination(SetOperation operation, std::vector<Set> sets);

  /// How many members are visited, and how many look-ups that takes at most.
  std::uint64_t visits() const;
  std::uint64_t look_ups() const;
  /// The bytes of all sets that are visited, about. Those of trees include what other trees share.
  std::uint64_t bytes() const;

  /// Visits up to `most` members, and calls `found(const Member&, PackedElement&)` with those of the result, while it returns true. Returns
  /// true if there is more to visit.
  template <class Found>
  bool advance(std::uint64_t most, Found&& found) {
    while (most > 0 && source_ < sources_) {
      const Set& set = sets_[source_];
      bool more = true;
      const std::uint64_t visited = set.visit(position_, most, [&](const Member& member) {
        PackedElement element = member.packed();
        if (belongs(element)) more = found(member, element);
        return more;
      });
      position_ += visited;
      most -= visited;
      if (!more) return false;
      if (position_ < set.size()) continue;
      ++source_;
      position_ = 0;
    }
    return source_ < sources_;
  }
  void begin_anew() { source_ = position_ = 0; }

 private:
  using PackedElement = store::PackedElement;
  bool belongs(const PackedElement& member) const;

  const SetOperation operation_;
  std::vector<Set> sets_;
  std::size_t sources_;  // so many of the sets are visited
  bool hashed_;          // one of the sets is a tree
  std::size_t source_ = 0;
  std::uint64_t position_ = 0;
};

}  // namespace pinfold::types
