#pragma once
// Finds the longest common subsequence of two strings, with bit-parallel steps.

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
  std::size_t b;  // where it starts in the second string
  std::size_t size;
};

struct Lcs {
  std::size_t length = 0;
  std::vector<LcsMatch> matches;  // from the end of the strings to their start, as LCS IDX lists them
};

/// A search that can be made in pieces. The strings must stay where they are meanwhile. It takes as much memory as
/// longest_common_subsequence() below.
class LcsSearch {
 public:
  LcsSearch();
  ~LcsSearch();

  /// The most bytes that a search of strings of these sizes takes.
  static std::uint64_t memory(std::size_t a, std::size_t b, bool with_matches);

  /// Returns false if memory is exhausted.
  bool begin(std::string_view a, std::string_view b, bool with_matches);
  /// Makes about `steps` steps of 64 columns. Returns true when the search is done.
  bool advance(std::size_t steps);
  /// Returns the result. To be called once, when the search is done.
  Lcs result();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Finds the longest common subsequence that Redis' LCS picks if there are several: going back from both ends it skips a byte
/// of `b`, unless only skipping a byte of `a` keeps the length. Without `with_matches`, it finds only the length. Time
/// O(|a| x |b| / 64). Memory O(min(256, |a|) x |b| / 8) and, with matches, |a| x |b| / 8 bytes more. Returns nothing if memory
/// is exhausted.
std::optional<Lcs> longest_common_subsequence(std::string_view a, std::string_view b, bool with_matches);

}  // namespace pinfold::command
