#pragma once
// The settings of eviction that all tables of a keyspace share. They are changed at run time.

#include <array>
#include <atomic>
#include <cstdint>

#include "pinfold/base/clock.hpp"
#include "pinfold/eviction/kind.hpp"

namespace pinfold::store {

/// How soon entries under a cache policy are evicted: as usual, after all others (for up to half of maxmemory), or before all
/// others.
enum class Priority : std::uint8_t { normal, protect, first_out };

/// Thread-safe: each setting is atomic by itself. A cache policy (cache/policies.hpp) is known here by its slot, a
/// number from 1 to 255 that entries keep; slot 0 is for entries without a policy.
struct PolicySettings {
  std::atomic<eviction::Kind> kind;
  std::atomic<std::uint32_t> decay_minutes{1};        // the setting lfu-decay-time
  std::atomic<bool> serve_stale{false};               // the setting serve-stale: expired entries are kept
  std::array<std::atomic<Priority>, 256> priority{};  // by the slot of the entry's policy
  // By slot: the bytes above which entries of the policy are evicted first. 0: no bound.
  std::array<std::atomic<std::uint64_t>, 256> quota{};
  std::atomic<std::uint64_t> negative_quota{0};        // the same for negative entries, in bytes
  std::array<std::atomic<bool>, 256> keeps_expired{};  // by slot: serve-stale of the policy
  // Until when entries may have been served after their deadlines by a serve-stale that is off now, in MonoMs; never() while one is being
  // switched off. A thread for which serves_stale() has returned false after that sees this.
  std::atomic<std::int64_t> served_stale_until{0};
  std::atomic<bool> has_policies{false};  // false: no policy exists, so `priority` and `quota` need not be read

  /// Whether an entry whose policy has this slot is kept, and served as stale, although its time is up: because of serve-stale,
  /// the setting or the policy's.
  bool serves_stale(std::uint8_t slot) const {
    return serve_stale.load(std::memory_order_acquire) || keeps_expired[slot].load(std::memory_order_acquire);
  }
  /// Sets a serve-stale: the setting, or that of a policy.
  void set_serve_stale(std::atomic<bool>& of, bool on) {
    const bool ends = !on && of.load(std::memory_order_relaxed);
    if (ends) served_stale_until.store(MonoMs::never().ms, std::memory_order_relaxed);
    of.store(on, std::memory_order_release);
    if (ends) served_stale_until.store(monotonic_ms().ms, std::memory_order_relaxed);
  }
  /// Whether negative entries (which say that the origin has no value) are to be evicted before all others if they occupy
  /// `bytes` bytes.
  bool negatives_first(std::uint64_t bytes) const {
    const std::uint64_t most = negative_quota.load(std::memory_order_relaxed);
    return most != 0 && bytes > most;
  }
};

}  // namespace pinfold::store
