#include "pinfold/types/texts.hpp"

#include <algorithm>

namespace pinfold::types {

Texts::Need Texts::need(std::size_t first) const {
  Need need;
  for (std::size_t i = first; i < texts_.size(); ++i) {
    const std::size_t size = texts_[i].size();
    if (size <= store::most_inline_element) {
      need.packed += size + 2;
      continue;
    }
    constexpr std::size_t pointer_and_hash = 17;
    need.packed += pointer_and_hash;
    need.inline_only = false;
    if (const Blob block = received(i, false)) {
      need.received += block.memory();
    } else {
      need.blocks += Blob::memory_for(size);
    }
  }
  return need;
}

bool Texts::any_longer_than(std::size_t bytes) const {
  return std::ranges::any_of(texts_, [bytes](std::string_view text) { return text.size() > bytes; });
}

}  // namespace pinfold::types
