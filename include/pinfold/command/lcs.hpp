#pragma once
// The longest common subsequence of two strings, bit-parallel.

#include <cstddef>
#include <cstdint>
#include <memory>
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

/// The search for it, which can be made in pieces. The strings must stay where they are. Memory as below.
class LcsSearch {
 public:
  LcsSearch();
  ~LcsSearch();

  /// Bytes that a search of strings of these sizes takes, at most.
  static std::uint64_t memory(std::size_t a, std::size_t b, bool with_matches);

  /// False if memory is exhausted.
  bool begin(std::string_view a, std::string_view b, bool with_matches);
  /// Goes on with about so many steps of 64 columns; true when all is done.
  bool advance(std::size_t steps);
  /// What was found. After the end, once.
  Lcs result();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Of all longest common subsequences the one that Redis' LCS picks: going back from both ends it skips a
/// byte of `b` unless only skipping one of `a` keeps the length. Without `with_matches` only the length is
/// found. Time O(|a| x |b| / 64), memory O(min(256, |a|) x |b| / 8) and, with matches, |a| x |b| / 8 bytes
/// more. Nothing if memory is exhausted.
std::optional<Lcs> longest_common_subsequence(std::string_view a, std::string_view b, bool with_matches);

}  // namespace pinfold::command
