#pragma once
// What hashes and sets have in common: items that are found by their first element, a field or a member, as a run and as a tree.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "pinfold/store/collection.hpp"
#include "pinfold/store/element.hpp"
#include "pinfold/types/edit.hpp"
#include "pinfold/types/run.hpp"
#include "pinfold/types/texts.hpp"

namespace pinfold::types {

/// The item of a run of a hash (`pairs`) or set whose first element is `element`; null if there is none. O(items).
template <bool pairs>
const char* find_item(std::string_view run, const store::PackedElement& element);

/// The same in a tree. O(log items). The item is valid until the tree is changed.
inline const char* find_item(const store::Tree& tree, const store::PackedElement& element) {
  const store::Tree::Path path = tree.find(element, element.hash());
  return path.found() ? path.item() : nullptr;
}

/// A collection of its own with the items of a run; empty if there is no memory. O(items * log items).
store::OwnedHandle make_collection(BlockHeap& heap, store::Type type, const Run& run);

/// Copies the items of a tree of a hash or set, or of a scored tree, into `run`, if they are so few that the collection should become
/// packed again: far below the bounds of a packed collection, so that a collection whose size goes up and down is not converted each time.
/// O(1) if they are too many.
bool pack_again(const store::Tree& tree, RunBuffer& run);
/// The same up to the bounds of a packed collection, for one that has just been made.
bool pack_if_fits(const store::Tree& tree, RunBuffer& run);

/// The bytes that storing these texts in a tree takes, but for what has been received, and for copies of nodes (Edit::may_grow).
std::size_t tree_growth(const Texts::Need& need);

}  // namespace pinfold::types
