#pragma once
// HSCAN, SSCAN and ZSCAN: going through a collection, some items at each call.
//
// A small collection is returned as a whole, with the cursor 0, as Redis does. In a tree, items are in the order of their hashes, and the
// cursor is a hash: each call returns whole leaves, and the next one begins with the hash at which the next leaf begins. So an item that is
// there from the first call to the last is returned at least once, whatever is added and removed meanwhile.
//
// Items are compared with a pattern only when nothing is locked, or as far as the budget of EXEC goes.

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "pinfold/command/call.hpp"
#include "pinfold/command/pattern.hpp"
#include "pinfold/store/tree.hpp"

namespace pinfold::command {

/// Which items a call returns, and how.
struct CollectionScan {
  std::uint64_t cursor = 0;
  std::uint64_t count = 10;
  std::unique_ptr<const Pattern> pattern;  // null: all match
  bool no_values = false;
};

/// Reads the options behind the cursor. Nothing if they are wrong; then the error has been replied. `takes_no_values`: NOVALUES is one.
std::optional<CollectionScan> take_collection_scan(Call& call, std::uint64_t cursor, bool takes_no_values);
/// The reply if there is no such key.
resp::Written reply_empty_scan(Call& call);

/// Writes an item, and what belongs to it, as elements of the array. Returns how many they are.
using ScanWriter = std::uint64_t (*)(resp::Reply& reply, const char* item, bool no_values);

/// Items one behind the other, as they lie in runs: a small collection.
struct ScannedItems {
  store::TreeKind kind{};
  std::string_view bytes;
};
/// A call for a small collection.
Outcome reply_scan(Call& call, CollectionScan scan, const ScannedItems& items, ScanWriter write);
/// A call for a tree of a hash or set, or the tree of hashes of a sorted set.
Outcome reply_scan(Call& call, CollectionScan scan, const store::Tree& tree, ScanWriter write);

}  // namespace pinfold::command
