#pragma once
// Switches for an incident: which keys are bypassed, and which new keys are admitted. A setting is for all keys, a field of a
// policy for the policy's keys. Of the two the stricter one counts. docs/cache-commands.md says what clients see.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "pinfold/cache/policies.hpp"
#include "pinfold/store/key_switches.hpp"

namespace pinfold::cache {

/// The settings `admit` and `bypass`. A plain value.
struct Switches {
  unsigned admit_percent = 100;  // of the keys that are not stored yet, how many percent may be stored
  bool bypass = false;
};

/// What switches have done, since the start or the last reset. Thread-safe.
struct SwitchCounters {
  std::atomic<std::uint64_t> reads_bypassed{0};
  std::atomic<std::uint64_t> writes_bypassed{0};
  std::atomic<std::uint64_t> writes_not_admitted{0};

  void reset();
};

/// The counters over all keys, and by the slot of the key's policy (0: none).
struct SwitchCounts {
  SwitchCounters all;
  std::array<SwitchCounters, 256> by_slot;

  void reset();
};

/// Whether a key with this hash is among the `percent` percent that are admitted. A key that is admitted at one percentage is
/// admitted at every higher one.
bool is_admitted(std::uint64_t hash, unsigned percent);

/// The switches that are on, for the store. Immutable, and thread-safe to use. The cache replaces it with all shards locked.
class SwitchSet final : public store::KeySwitches {
 public:
  /// The switches of the settings and of the policies; null if none of them is on. `policies` may be null. Both references must
  /// outlive the result. Throws std::bad_alloc.
  static std::unique_ptr<const SwitchSet> make(const Switches& settings, const PolicySet* policies, SwitchCounts& counts);

  bool bypasses(const store::Key& key) const override;
  bool admits(const store::Key& key) const override;
  void count(const store::Key& key, Event event) const override;

 private:
  SwitchSet(const Switches& settings, const PolicySet* policies, bool by_policy, SwitchCounts& counts)
      : settings_(settings), policies_(policies), by_policy_(by_policy), counts_(counts) {}

  const Switches settings_;
  const PolicySet* const policies_;
  const bool by_policy_;  // whether a policy has a switch on
  SwitchCounts& counts_;
};

}  // namespace pinfold::cache
