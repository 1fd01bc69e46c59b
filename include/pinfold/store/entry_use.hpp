#pragma once
// How many entries of a kind there are, and what they occupy.

#include <cstdint>

namespace pinfold::store {

struct EntryUse {
  std::uint64_t keys = 0;
  std::uint64_t bytes = 0;  // with their blocks, without their share of the index
};

}  // namespace pinfold::store
