#pragma once
// What the commands of lists share, those that wait and those that do not. All functions are called with the shards of the call's keys
// locked.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pinfold/command/call.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/types/list.hpp"

namespace pinfold::command {

/// The list under a key, to be changed. Throws store::WrongType. With a `draft`: see types::Edit.
types::ListEdit edit_list(Call& call, store::Database& db, const store::Key& key, types::Draft* draft = nullptr);

/// LEFT or RIGHT, in any case; nothing for another word.
std::optional<types::End> parse_end(std::string_view word);

/// The keys, the end and the number of elements of LMPOP and BLMPOP.
struct MultiPop {
  types::End end = types::End::left;
  std::uint64_t count = 1;
};
/// The errors of commands with a number of keys in front of them: LMPOP, and BLMPOP with its timeout before that.
std::string no_list_keys(const Row& row, Args args);
std::string no_blocking_list_keys(const Row& row, Args args);
/// Reads what stands behind the keys, from the argument `at` on. Nothing: the error was replied.
std::optional<MultiPop> parse_multi_pop(Call& call, std::size_t at);

/// Replies the element at one end of a list that has elements, and removes it. With `with_key` the reply is an array of the key and the
/// element.
Outcome pop_one(Call& call, const store::Key& key, types::End end, bool with_key = false);
/// Replies up to `count` elements, and removes them: an array, or with `with_key` an array of the key and that array. The list must have
/// elements.
Outcome pop_many(Call& call, const store::Key& key, types::End end, std::uint64_t count, bool with_key);
/// Takes an element from one end of a list that has elements, adds it at an end of another list, and replies it. If both are one list, it
/// is rotated.
Outcome move_element(Call& call, const store::Key& source, const store::Key& destination, types::End from, types::End to);

}  // namespace pinfold::command
