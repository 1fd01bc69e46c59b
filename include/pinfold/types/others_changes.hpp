#pragma once
// What others have changed in a large set, hash or sorted set while a command was at work on a draft of it (draft.hpp).
//
// A write copies the nodes that it changes, because the draft's command has a reference to the collection. So the elements that were
// written are found in the leaves that the collection of then and that of now do not share.

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "pinfold/types/draft.hpp"
#include "pinfold/types/edit.hpp"

namespace pinfold::types {

/// Not thread-safe. Refers to both collections, which must stay and not be changed.
class OthersChanges {
 public:
  /// An element that has been added, changed or removed.
  struct Change {
    const char* before = nullptr;  // its item as it was; null: there was none
    const char* now = nullptr;
    store::Element element(store::Type type) const {
      const char* const item = now != nullptr ? now : before;
      return store::Element(type == store::Type::zset ? item + sizeof(double) : item);
    }
  };

  /// Compares `before` with `now`, which are of one type and no lists. Null if they differ in more than `most_leaves`.
  static std::unique_ptr<OthersChanges> between(const store::Collection& before, const store::Collection& now);
  static constexpr std::size_t most_leaves = 4096;

  /// Does a piece of the work. Returns whether all is known. O(items of a few leaves).
  bool go_on();
  /// When all is known.
  const std::vector<Change>& changes() const { return changes_; }
  /// Bytes of memory that it may take.
  std::uint64_t memory() const;

 private:
  OthersChanges(const store::Collection& before, const store::Collection& now) : before_(before), now_(now) {}

  const store::Collection& before_;
  const store::Collection& now_;
  std::vector<store::Tree::Leaf> leaves_before_;
  std::vector<store::Tree::Leaf> leaves_now_;
  std::unordered_set<std::string_view> only_before_;
  std::optional<std::unordered_set<std::string_view>::const_iterator> left_;  // which of these to look at next
  std::vector<Change> changes_;
};

/// Makes an element of a draft what it is in another collection of the same type: `item`, or nothing if that is null. Asks for room.
store::Stored put_item(store::Database& db, const store::Key& key, BlockHeap& heap, const Thresholds& thresholds, Draft& draft,
                       const store::Element& element, const char* item);

}  // namespace pinfold::types
