#pragma once
// What the commands of sorted sets share: numbers and ranges of their arguments, replies, and the end of long removals.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pinfold/command/call.hpp"
#include "pinfold/command/collection_reply.hpp"
#include "pinfold/types/sorted_set.hpp"

namespace pinfold::command {

/// The number that a score is, with the strictness of Redis: no NaN, no space before it, and nothing behind it.
std::optional<double> parse_score(std::string_view text);
/// One end of a range of scores: "1.5", "(1.5", "-inf". As lenient as Redis: an empty number is 0.
std::optional<types::ScoreBound> parse_score_bound(std::string_view text);
/// One end of a range of members: "[a", "(a", "-", "+". The member is a part of `text`.
std::optional<types::LexBound> parse_lex_bound(std::string_view text);

constexpr std::string_view bad_score = "ERR value is not a valid float";
constexpr std::string_view bad_score_bound = "ERR min or max is not a float";
constexpr std::string_view bad_lex_bound = "ERR min or max not valid string range item";

/// The error for a number of keys, at `at` of the arguments, that is no number above 0, or else `too_many`.
std::string key_count_error(Args args, std::size_t at, std::string_view too_many);

/// The sorted set under a key, for reading; an empty one if there is none. Valid until the next write to the shard. Throws WrongType.
inline types::SortedSet read_sorted_set(Call& call, const store::Key& key) {
  store::Database db = call.db();
  return types::SortedSet(types::find_collection(db, key, store::Type::zset));
}

/// Writes what is replied for a member: of its score, or of nothing if there is no such member.
using ScoreWriter = void (*)(resp::Reply& reply, std::optional<double> score);
/// Replies with an array of what `write` says about each argument behind the key: at once, or as a task if they are many.
Outcome reply_scores(Call& call, ScoreWriter write);

/// How members and their scores are shown.
enum class ScoredReply : std::uint8_t {
  members,
  flat,    // each member and then its score
  nested,  // pairs of them
};
/// With scores, RESP3 has pairs where RESP2 has a flat list.
inline ScoredReply scored_reply(const Call& call, bool with_scores) {
  if (!with_scores) return ScoredReply::members;
  return call.reply.protocol() >= 3 ? ScoredReply::nested : ScoredReply::flat;
}
/// Writes a member, its score, or both.
ItemWriter scored_writer(ScoredReply how);
/// A reply with `count` members from a position on.
ItemsReply scored_items(ScoredReply how, std::uint64_t from, std::uint64_t count, bool reverse);
/// Writes the header and the members at some positions: at once, or as a task if they are many.
Outcome reply_members(Call& call, const types::SortedSet& set, types::Positions positions, bool reverse, ScoredReply how);

/// Pays the debt of a set from which a command has removed many members (types/sorted_set.hpp), with short holds of the lock, and then
/// replies how many they were. Not inside EXEC: there the debt is left to later writes.
Outcome pay_and_reply(Call& call, const store::Key& key, std::uint64_t removed);

/// What is taken from one end of a sorted set.
struct ScoredPop {
  bool highest = false;
  std::uint64_t count = 1;
  ScoredReply how = ScoredReply::flat;
  bool with_key = false;  // the reply begins with the key, as that of ZMPOP and BZPOPMIN
};
/// What ZMPOP and BZMPOP take, whose words behind the keys begin at `first`. Nothing after an error reply.
std::optional<ScoredPop> parse_scored_pop(Call& call, std::size_t first);
/// ZPOPMIN and its like for one key: removes the members and replies with them. Returns nothing if there is no such key; then nothing
/// was replied. Throws WrongType. For the blocking commands as well.
std::optional<Outcome> pop_scored(Call& call, const store::Key& key, const ScoredPop& pop);

}  // namespace pinfold::command
