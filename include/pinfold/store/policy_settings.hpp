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
  std::atomic<std::uint32_t> decay_minutes{1};        // lfu-decay-time
  std::atomic<bool> serve_stale{false};               // entries outlast their deadlines
  std::array<std::atomic<Standing>, 256> standing{};  // by the slot of an entry's cache policy
  // Bytes beyond which such entries go first; 0: any number.
  std::array<std::atomic<std::uint64_t>, 256> quota{};
  std::atomic<std::uint64_t> negative_quota{0};
  std::atomic<bool> has_standing{false};  // any of these says something

  /// Whether negative entries of so many bytes are to go before anything else.
  bool negatives_first(std::uint64_t bytes) const {
    const std::uint64_t most = negative_quota.load(std::memory_order_relaxed);
    return most != 0 && bytes > most;
  }
};

}  // namespace pinfold::store
