#pragma once
// Replies with elements of collections: one, or very many.

#include <cstddef>
#include <cstdint>
#include <utility>

#include "pinfold/command/call.hpp"
#include "pinfold/command/task.hpp"
#include "pinfold/store/kept_tree.hpp"
#include "pinfold/types/run.hpp"

namespace pinfold::command {

/// Writes an element as a bulk string. A text in a block of its own is sent from there, without a copy.
resp::Written reply_element(resp::Reply& reply, const store::Element& element);

/// How many elements a command may look at while their shard is locked. If it has to look at more, it does so in a task, on a snapshot.
constexpr std::uint64_t most_locked_items = 384;
/// The same for this call: inside EXEC and scripts it is what is left of the budget for all their commands.
std::uint64_t most_locked_items_of(const Call& call);
/// How many bytes of elements it may read so.
std::uint64_t most_read_bytes_of(const Call& call);
/// For a command that has to look at more than most_locked_items_of(). Inside EXEC, which cannot wait for a task, it replies with an error
/// and returns true.
bool refuse_many_inside_exec(Call& call, std::uint64_t items);

/// Writes what an item of a tree or run is in a reply.
using ItemWriter = void (*)(resp::Reply& reply, const char* item);

/// A part of a collection, as a reply shows it.
struct ItemsReply {
  enum class Header : std::uint8_t { array, map, set };
  std::uint64_t from = 0;   // position of the first item
  std::uint64_t count = 0;  // items; from + count must not be more than there are
  bool reverse = false;     // from the last one of these to the first
  Header header = Header::array;
  std::uint64_t headed = 0;  // what the header announces: the size of the array or set, the pairs of the map
  ItemWriter write = nullptr;
};

/// Writes the header and the items of a packed collection.
resp::Written reply_items(Call& call, const types::Run& run, const ItemsReply& what);
/// Writes the header and the items of a large collection: at once if they are few, otherwise in pieces and from a snapshot, by a task.
/// Inside EXEC, many are refused with an error. O(log items of the collection + items).
Outcome reply_items(Call& call, const store::Collection& collection, const ItemsReply& what);
/// For a task: the items of a collection as they are now.
store::KeptTree keep_items(Call& call, const store::Collection& collection);
/// For a task: what a command has cut out of a collection.
store::KeptTree keep_tree(Call& call, store::Tree&& tree);
/// For a tree that is the command's own (what it has cut out of a collection): it is freed in pieces afterwards. Not inside EXEC if
/// there are more than most_locked_items_of().
Outcome reply_items(Call& call, store::Tree&& tree, const ItemsReply& what);

/// The same for a task that does more than reply: writes the header and the items of a snapshot in pieces, and frees it.
class ItemsInPieces {
 public:
  ItemsInPieces(store::KeptTree&& tree, const ItemsReply& what) : tree_(std::move(tree)), what_(what) {}
  /// Writes the next piece. What the step of the task returns.
  Outcome step(Call& call, Task& task);
  /// For Task::pinned() and Task::loose().
  const store::KeptTree& tree() const { return tree_; }

 private:
  store::KeptTree tree_;
  ItemsReply what_;
};

}  // namespace pinfold::command
