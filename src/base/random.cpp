#include "pinfold/base/random.hpp"

#include "pinfold/base/siphash.hpp"

namespace pinfold {

std::uint64_t random_u64() {
  // splitmix64 (Steele, Lea and Flood, 2014). It has one word of state and passes the usual statistical tests.
  thread_local std::uint64_t state = random_hash_key().k0;
  std::uint64_t z = state += 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

std::uint64_t random_below(std::uint64_t bound) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((static_cast<Wide>(random_u64()) * bound) >> 64);
}

}  // namespace pinfold
