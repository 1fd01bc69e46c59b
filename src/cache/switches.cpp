#include "pinfold/cache/switches.hpp"

#include <algorithm>

namespace pinfold::cache {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;

// The counter of an event.
std::atomic<std::uint64_t>& counter_of(SwitchCounters& counters, store::KeySwitches::Event event) {
  using Event = store::KeySwitches::Event;
  switch (event) {
    case Event::read_bypassed:
      return counters.reads_bypassed;
    case Event::write_bypassed:
      return counters.writes_bypassed;
    default:
      return counters.writes_not_admitted;
  }
}

}  // namespace

void SwitchCounters::reset() {
  for (auto* counter : {&reads_bypassed, &writes_bypassed, &writes_not_admitted}) counter->store(0, relaxed);
}

void SwitchCounts::reset() {
  all.reset();
  for (SwitchCounters& counters : by_slot) counters.reset();
}

bool is_admitted(std::uint64_t hash, unsigned percent) {
  // The bits of the hash choose shard and bucket. They are mixed, so that the keys that are admitted come from all of these
  // alike (the finalizer of SplitMix64).
  hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9;
  hash = (hash ^ hash >> 27) * 0x94d049bb133111eb;
  hash ^= hash >> 31;
  return (hash >> 32) * 100 >> 32 < percent;
}

std::unique_ptr<const SwitchSet> SwitchSet::make(const Switches& settings, const PolicySet* policies, SwitchCounts& counts) {
  const bool by_policy =
      policies != nullptr && std::ranges::any_of(policies->all(), [](const Policy& p) { return p.bypass || p.admit_percent < 100; });
  if (!by_policy && !settings.bypass && settings.admit_percent >= 100) return nullptr;
  return std::unique_ptr<const SwitchSet>(new SwitchSet(settings, policies, by_policy, counts));
}

bool SwitchSet::bypasses(const store::Key& key) const {
  if (settings_.bypass) return true;
  const Policy* const policy = by_policy_ ? policies_->match(key.text) : nullptr;
  return policy != nullptr && policy->bypass;
}

bool SwitchSet::admits(const store::Key& key) const {
  const Policy* const policy = by_policy_ ? policies_->match(key.text) : nullptr;
  const unsigned percent = policy != nullptr ? std::min(settings_.admit_percent, policy->admit_percent) : settings_.admit_percent;
  return percent >= 100 || is_admitted(key.hash, percent);
}

void SwitchSet::count(const store::Key& key, Event event) const {
  const Policy* const policy = policies_ != nullptr ? policies_->match(key.text) : nullptr;
  counter_of(counts_.all, event).fetch_add(1, relaxed);
  counter_of(counts_.by_slot[policy != nullptr ? policy->slot : 0], event).fetch_add(1, relaxed);
}

}  // namespace pinfold::cache
