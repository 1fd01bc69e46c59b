#pragma once
// Sorted sets that a command makes and stores under another key: ZUNIONSTORE, ZRANGESTORE, GEOSEARCHSTORE and their like.

#include <cstdint>
#include <string>

#include "pinfold/command/call.hpp"
#include "pinfold/command/task.hpp"
#include "pinfold/store/gradual_room.hpp"
#include "pinfold/types/sorted_set.hpp"

namespace pinfold::command {

/// Stores what was built under a key, whose shard is locked, in the place of what was there, without a deadline. Removes the key if
/// nothing was built. Replies with the number of members.
Outcome store_built(Call& call, store::Database db, const store::Key& key, types::SortedSetBuilder& built);

/// Builds and stores a long set in short steps. Nothing is locked but the key, in the end.
class StoringTask : public Task {
 protected:
  StoringTask(Call& call, const store::Key& key);

  /// A member of the result.
  struct Member {
    const char* element = nullptr;
    double score = 0;
    std::uint64_t hash = 0;  // of the element
  };
  /// Gives the members of the result one after the other, in their order. Returns false at the end. What it points to must stay.
  virtual bool next(Member& member) = 0;

  /// Adds members until the time `end_us` of monotonic_us(), and in the end stores them. What a step returns.
  Outcome build(Call& call, std::int64_t end_us);

 private:
  const std::string key_;
  const unsigned db_;
  store::GradualRoom room_;
  types::SortedSetBuilder built_;
};

}  // namespace pinfold::command
