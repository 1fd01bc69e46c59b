#pragma once
// How many entries of one kind (of one policy, or negative ones) a table has, and how many bytes they occupy.

#include <cstdint>

namespace pinfold::store {

struct EntryUse {
  std::uint64_t keys = 0;   // how many entries
  std::uint64_t bytes = 0;  // in the log and in blocks of their own, without their share of the index
};

}  // namespace pinfold::store
