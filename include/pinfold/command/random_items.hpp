#pragma once
// Replies with items of a collection that are picked at random: HRANDFIELD, SRANDMEMBER, ZRANDMEMBER.

#include <cstdint>
#include <optional>

#include "pinfold/command/call.hpp"
#include "pinfold/command/collection_reply.hpp"
#include "pinfold/store/collection.hpp"
#include "pinfold/types/run.hpp"

namespace pinfold::command {

/// What is to be picked.
struct RandomPicks {
  std::uint64_t count = 0;
  bool distinct = true;     // no item twice, so no more than there are
  std::uint64_t words = 1;  // what an item adds to the number that the header of the array announces
  ItemWriter write = nullptr;
};

/// The count of such a command: a negative one asks for items that may be picked again.
RandomPicks picks_of(std::int64_t count);

/// Writes an array of items, each picked with the same probability. Many are picked and written by a task, on a snapshot, with one bit of
/// memory for each item of the collection if they must be distinct. Inside EXEC, many are refused with an error.
/// O(picks * log items); for a run O(picks + items).
Outcome reply_random_items(Call& call, const types::Run& run, RandomPicks picks);
Outcome reply_random_items(Call& call, const store::Collection& collection, RandomPicks picks);

}  // namespace pinfold::command
