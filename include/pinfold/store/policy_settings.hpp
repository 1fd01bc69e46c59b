#pragma once
// What every table of a keyspace follows when it evicts; changed at run time.

#include <atomic>
#include <cstdint>

#include "pinfold/eviction/kind.hpp"

namespace pinfold::store {

struct PolicySettings {
  std::atomic<eviction::Kind> kind;
  std::atomic<std::uint32_t> decay_minutes{1};  // lfu-decay-time
};

}  // namespace pinfold::store
