#pragma once
// Finds holes in a map of bits: the lowest run of clear bits that is long enough, in as many steps as the map has doublings.
//
// A binary tree over the words of the map. Each node knows how many clear bits its part begins with and ends with, and the longest run
// of them in it; the leaves are the words themselves. 12 bytes a word. Not thread-safe.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pinfold {

class Holes {
 public:
  /// Of a map of so many words, a power of two, in which all bits are clear.
  explicit Holes(std::size_t words);

  /// Words [first, end) of the map have changed.
  void update(std::span<const std::uint64_t> map, std::size_t first, std::size_t end);
  /// The length of the longest hole.
  std::size_t longest() const { return nodes_[1].longest; }
  /// Where the lowest hole of at least `bits` begins; only if the longest is that long.
  std::size_t find(std::span<const std::uint64_t> map, std::size_t bits) const;

 private:
  struct Node {
    std::uint32_t before = 0;  // clear bits at its start
    std::uint32_t behind = 0;  // and at its end
    std::uint32_t longest = 0;
  };

  static Node node_of(std::uint64_t word);
  static Node join(const Node& left, const Node& right, std::uint32_t half);
  Node node(std::span<const std::uint64_t> map, std::size_t at) const { return at < words_ ? nodes_[at] : node_of(map[at - words_]); }

  const std::size_t words_;
  std::vector<Node> nodes_;  // the root is 1, the children of n are 2n and 2n + 1; those from words_ on are words
};

}  // namespace pinfold
