#pragma once
// What every table of a keyspace follows when it evicts; changed at run time.

#include <array>
#include <atomic>
#include <cstdint>

#include "pinfold/eviction/kind.hpp"

namespace pinfold::store {

/// How soon entries go when memory is needed.
enum class Standing : std::uint8_t { normal, first, last };

struct PolicySettings {
  std::atomic<eviction::Kind> kind;
  std::atomic<std::uint32_t> decay_minutes{1};  // lfu-decay-time
  std::atomic<bool> serve_stale{false};         // entries outlast their deadlines
  std::array<std::atomic<Standing>, 256> standing{};  // by the slot of an entry's cache policy
  std::atomic<Standing> negative_standing{Standing::normal};
};

}  // namespace pinfold::store
