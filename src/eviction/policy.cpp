#include "pinfold/eviction/policy.hpp"

#include <algorithm>

namespace pinfold::eviction {

namespace {

constexpr std::uint64_t small_share = 10;  // the small queue is a tenth

std::uint64_t of(const Occupancy& bytes, Queue queue) { return bytes[static_cast<unsigned>(queue)]; }

}  // namespace

void Policy::set_kind(Kind kind) {
  kind_ = kind;
  if (!is_lfu(kind)) ghost_ = {};
}

Queue Policy::admit(Candidate& candidate) {
  if (is_volatile(kind_) && candidate.expires_at == 0) return Queue::pinned;
  if (kind_ == Kind::noeviction) return Queue::small;
  if (!is_lfu(kind_)) return Queue::main;
  return ghost_.take(candidate.hash) ? Queue::main : Queue::small;
}

Queue Policy::requeue(Queue at, const Candidate& candidate) const {
  if (is_volatile(kind_) && candidate.expires_at == 0) return Queue::pinned;
  return at == Queue::pinned ? Queue::main : at;
}

bool Policy::reads(Queue queue) const {
  if (kind_ == Kind::noeviction) return false;
  return queue != Queue::pinned || !is_volatile(kind_);
}

Victim Policy::victim(const Occupancy& bytes) {
  const std::uint64_t small = of(bytes, Queue::small);
  const std::uint64_t main = of(bytes, Queue::main);
  const std::uint64_t pinned = reads(Queue::pinned) ? of(bytes, Queue::pinned) : 0;
  if (kind_ == Kind::noeviction || small + main + pinned == 0) return {};
  if (is_random(kind_)) return {Pick::random};
  if (kind_ == Kind::volatile_ttl) return {Pick::soonest};
  if (pinned > 0) return {Pick::oldest, Queue::pinned};
  if (is_lru(kind_)) return {Pick::oldest, small > 0 ? Queue::small : Queue::main};
  return {Pick::oldest, main == 0 || small * small_share > small + main ? Queue::small : Queue::main};
}

std::optional<Queue> Policy::keep(const Reading& reading, Candidate& candidate) {
  if (is_volatile(kind_) && candidate.expires_at == 0) return Queue::pinned;
  if (reading.pressure >= most_frequency || is_random(kind_)) return std::nullopt;
  if (kind_ == Kind::volatile_ttl) {
    if (candidate.expires_at <= reading.cutoff) return std::nullopt;
    return Queue::main;
  }
  candidate.frequency -= std::min(candidate.frequency, reading.pressure);
  if (is_lfu(kind_)) return keep_lfu(reading.from, candidate);
  if (candidate.frequency == 0) return std::nullopt;
  candidate.frequency = 0;
  return Queue::main;
}

std::optional<Queue> Policy::keep_lfu(Queue from, Candidate& candidate) const {
  if (from == Queue::small) {
    const bool proved = candidate.frequency >= 2;
    candidate.frequency = 0;
    if (!proved) return std::nullopt;
    return Queue::main;
  }
  if (candidate.frequency == 0) return std::nullopt;
  --candidate.frequency;
  return Queue::main;
}

void Policy::evicted(Queue from, const Candidate& candidate) {
  if (from == Queue::small && is_lfu(kind_)) ghost_.remember(candidate.hash);
}

void Policy::fit(std::uint64_t entries, std::uint64_t) {
  if (!is_lfu(kind_)) return;
  if (ghost_.capacity() < entries * 3 / 4 || ghost_.capacity() > entries * 2 + 128) ghost_.reset(entries);
}

UnixMs nearer_half(std::span<UnixMs> deadlines) {
  if (deadlines.empty()) return 0;
  const auto middle = deadlines.begin() + static_cast<std::ptrdiff_t>((deadlines.size() - 1) / 2);
  std::nth_element(deadlines.begin(), middle, deadlines.end());
  return *middle;
}

}  // namespace pinfold::eviction
