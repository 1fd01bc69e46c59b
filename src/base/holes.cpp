#include "pinfold/base/holes.hpp"

#include <algorithm>
#include <bit>

#include "pinfold/base/work.hpp"

namespace pinfold {

namespace {
constexpr std::uint32_t word_bits = 64;
}  // namespace

Holes::Holes(std::size_t words) : words_(words), nodes_(words) {
  std::uint32_t bits = word_bits;
  for (std::size_t level = words / 2; level > 0; level /= 2) {
    bits *= 2;
    std::fill_n(nodes_.begin() + static_cast<std::ptrdiff_t>(level), level, Node{bits, bits, bits});
  }
}

Holes::Node Holes::node_of(std::uint64_t word) {
  std::uint32_t longest = 0;
  for (std::uint64_t clear = ~word; clear != 0; clear &= clear << 1) ++longest;
  return {static_cast<std::uint32_t>(std::countr_zero(word)), static_cast<std::uint32_t>(std::countl_zero(word)), longest};
}

// `half`: the number of bits of each of the two parts.
Holes::Node Holes::join(const Node& left, const Node& right, std::uint32_t half) {
  return {left.before == half ? half + right.before : left.before, right.behind == half ? half + left.behind : right.behind,
          std::max({left.longest, right.longest, left.behind + right.before})};
}

void Holes::update(std::span<const std::uint64_t> map, std::size_t first, std::size_t end) {
  std::uint32_t half = word_bits;
  std::size_t from = words_ + first;
  std::size_t last = words_ + end - 1;
  while (from > 1) {
    from /= 2;
    last /= 2;
    for (std::size_t at = from; at <= last; ++at) nodes_[at] = join(node(map, 2 * at), node(map, 2 * at + 1), half);
    half *= 2;
  }
}

std::size_t Holes::find(std::span<const std::uint64_t> map, std::size_t bits) const {
  std::size_t at = 1;
  std::size_t start = 0;  // the first bit of the node's part
  std::size_t half = words_ * word_bits / 2;
  for (; at < words_; half /= 2) {
    work::nodes();
    const Node left = node(map, 2 * at);
    if (left.longest >= bits) {
      at = 2 * at;
      continue;
    }
    if (left.behind + node(map, 2 * at + 1).before >= bits) return start + half - left.behind;
    at = 2 * at + 1;
    start += half;
  }
  // After this, each set bit begins a run of at least `bits` clear bits.
  std::uint64_t clear = ~map[at - words_];
  for (std::size_t n = 1; n < bits; ++n) clear &= ~map[at - words_] >> n;
  return start + static_cast<std::size_t>(std::countr_zero(clear));
}

}  // namespace pinfold
