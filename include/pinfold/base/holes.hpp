#pragma once
// Finds holes in a map of bits: the lowest run of clear bits that is long enough. O(log words).
//
// It is a binary tree over the words of the map. Each node keeps the number of clear bits at the start and at the end of its part, and
// the length of the longest run of clear bits in it. The leaves are the words themselves. It takes 12 bytes per word. Not thread-safe.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pinfold {

class Holes {
 public:
  /// For a map of `words` words in which all bits are clear. The number must be a power of two.
  explicit Holes(std::size_t words);

  /// To be called when the words [first, end) of the map have changed.
  void update(std::span<const std::uint64_t> map, std::size_t first, std::size_t end);
  /// The length of the longest hole.
  std::size_t longest() const { return nodes_[1].longest; }
  /// The bit at which the lowest hole of at least `bits` bits begins. Requires longest() >= bits.
  std::size_t find(std::span<const std::uint64_t> map, std::size_t bits) const;

 private:
  struct Node {
    std::uint32_t before = 0;  // clear bits at its start
    std::uint32_t behind = 0;  // clear bits at its end
    std::uint32_t longest = 0;
  };

  static Node node_of(std::uint64_t word);
  static Node join(const Node& left, const Node& right, std::uint32_t half);
  Node node(std::span<const std::uint64_t> map, std::size_t at) const { return at < words_ ? nodes_[at] : node_of(map[at - words_]); }

  const std::size_t words_;
  std::vector<Node> nodes_;  // the root is 1, the children of n are 2n and 2n + 1; a child from words_ on is a word of the map
};

}  // namespace pinfold
