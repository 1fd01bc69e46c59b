#pragma once
// The longest common subsequence of two strings, bit-parallel.

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

namespace pinfold::command {

/// A run of bytes that both strings have in their common subsequence.
struct LcsMatch {
  std::size_t a;  // where it starts in the first string
  std::size_t b;  // and in the second
  std::size_t size;
};

struct Lcs {
  std::size_t length = 0;
  std::vector<LcsMatch> matches;  // from the end of the strings to their start, as LCS IDX lists them
};

/// Of all longest common subsequences the one that Redis' LCS picks: going back from both ends it skips a
/// byte of `b` unless only skipping one of `a` keeps the length. Without `with_matches` only the length is
/// found. Time O(|a| x |b| / 64), memory O(min(256, |a|) x |b| / 8) and, with matches, |a| x |b| / 8 bytes
/// more. Nothing if memory is exhausted.
std::optional<Lcs> longest_common_subsequence(std::string_view a, std::string_view b, bool with_matches);

}  // namespace pinfold::command
