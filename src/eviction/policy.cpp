#include "pinfold/eviction/policy.hpp"

#include <algorithm>
#include <limits>

#include "pinfold/base/work.hpp"

namespace pinfold::eviction {

namespace {

constexpr double least_share = 0.01;
constexpr double most_share = 0.3;
// A key that comes back within this part of a cache's worth of evictions would have been a hit in a slightly larger queue.
constexpr double soon = 0.1;
constexpr double remembered_of_main = 0.25;
// The highest chance to stay. With it an entry goes round the small queue eight times on average; more copying would cost more than
// it gains.
constexpr double longest_stay = 0.875;
// One step of the frequency decays in this many times `lfu-decay-time`. In Redis a hundred hits bring the counter to ten, and it is
// back at zero after ten times that setting.
constexpr std::uint32_t decay_scale = 10;

std::uint64_t of(const Occupancy& bytes, Queue queue) { return bytes[static_cast<unsigned>(queue)]; }

}  // namespace

void Policy::set_kind(Kind kind) {
  kind_ = kind;
  if (is_lfu(kind)) return;
  left_small_.clear();
  left_main_.clear();
}

Queue Policy::admit(Candidate& candidate) {
  if (candidate.negative) return Queue::negative;
  if (is_volatile(kind_) && candidate.expires_at == 0) return Queue::pinned;
  if (kind_ == Kind::noeviction) return Queue::small;
  if (!is_lfu(kind_)) return Queue::main;
  return admit_lfu(candidate.hash);
}

Queue Policy::admit_lfu(std::uint64_t hash) {
  if (const auto age = left_small_.take(hash)) {
    const auto away = static_cast<double>(*age);
    if (away <= soon * entries_) small_share_ = std::min(most_share, small_share_ + 1 / entries_);
    return away <= std::min(entries_, main_pass()) ? Queue::main : Queue::small;
  }
  if (const auto age = left_main_.take(hash)) {
    if (static_cast<double>(*age) <= soon * remembered_of_main * entries_) {
      small_share_ = std::max(least_share, small_share_ - 1 / (remembered_of_main * entries_));
    }
    return Queue::main;
  }
  return Queue::small;
}

// How many entries leave the small queue while the main queue is read once. The main queue keeps an unused entry for that long.
double Policy::main_pass() const {
  return pace_read_ > 0 ? pace_left_ / pace_read_ * main_bytes_ : std::numeric_limits<double>::infinity();
}

// Returns a random number in [0, 1), from xorshift64 (Marsaglia, 2003) with a seed from the system. Clients cannot foresee it.
double Policy::chance() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return static_cast<double>(random_ >> 11) * 0x1p-53;
}

Queue Policy::requeue(Queue at, Candidate& candidate) {
  if (candidate.negative || at == Queue::negative) return admit(candidate);
  if (is_volatile(kind_) && candidate.expires_at == 0) return Queue::pinned;
  return at == Queue::pinned ? Queue::main : at;
}

bool Policy::reads(Queue queue) const {
  if (kind_ == Kind::noeviction || queue == Queue::negative) return false;
  return queue != Queue::pinned || !is_volatile(kind_);
}

Victim Policy::victim(const Occupancy& bytes, bool negatives_first) {
  if (kind_ == Kind::noeviction) return {};
  const std::uint64_t small = of(bytes, Queue::small);
  const std::uint64_t main = of(bytes, Queue::main);
  const std::uint64_t pinned = reads(Queue::pinned) ? of(bytes, Queue::pinned) : 0;
  const bool others = small + main + pinned > 0;
  if (of(bytes, Queue::negative) > 0 && (negatives_first || !others)) return {Pick::oldest, Queue::negative};
  if (!others) return {};
  if (is_random(kind_)) return {Pick::random};
  if (kind_ == Kind::volatile_ttl) return {Pick::soonest};
  if (pinned > 0) return {Pick::oldest, Queue::pinned};
  if (is_lru(kind_)) return {Pick::oldest, small > 0 ? Queue::small : Queue::main};
  main_bytes_ = static_cast<double>(main);
  const bool small_gives = main == 0 || static_cast<double>(small) > small_share_ * static_cast<double>(small + main);
  return {Pick::oldest, small_gives ? Queue::small : Queue::main};
}

std::optional<Queue> Policy::keep(const Reading& reading, Candidate& candidate) {
  if (reading.from == Queue::negative) {
    if (candidate.frequency <= reading.pressure) return std::nullopt;
    candidate.frequency -= reading.pressure + 1;
    return Queue::negative;
  }
  if (is_volatile(kind_) && candidate.expires_at == 0) return Queue::pinned;
  if (reading.pressure >= most_frequency || is_random(kind_)) return std::nullopt;
  if (kind_ == Kind::volatile_ttl) {
    if (candidate.expires_at <= reading.cutoff) return std::nullopt;
    return Queue::main;
  }
  candidate.frequency -= std::min(candidate.frequency, reading.pressure);
  if (is_lfu(kind_)) {
    return reading.from == Queue::small ? keep_small(reading.pressure, candidate) : keep_main(candidate);
  }
  if (candidate.frequency == 0) return std::nullopt;
  candidate.frequency = 0;
  return Queue::main;
}

std::optional<Queue> Policy::keep_small(unsigned pressure, Candidate& candidate) {
  if (candidate.frequency == most_frequency) {
    candidate.frequency = 0;
    return Queue::main;
  }
  if (candidate.frequency > 0) {
    --candidate.frequency;
    return Queue::small;
  }
  // An unused entry goes with a chance of its size over the mean size. So all unused entries take the same bytes times passes.
  const double stay = std::min(longest_stay, 1 - static_cast<double>(candidate.bytes) / mean_bytes_);
  if (pressure == 0 && stay > 0 && chance() < stay) return Queue::small;
  return std::nullopt;
}

std::optional<Queue> Policy::keep_main(Candidate& candidate) {
  pace_read_ += static_cast<double>(candidate.bytes);
  if (pace_read_ > main_bytes_) {
    pace_read_ /= 2;
    pace_left_ /= 2;
  }
  if (decay_minutes_ > 0 && candidate.frequency > 1) {
    // At least 1 is left: how often the entry was used decays, but not that it was used.
    candidate.frequency -= std::min(candidate.frequency - 1, candidate.minutes / decay_minutes_ / decay_scale);
  }
  if (candidate.frequency == 0) return std::nullopt;
  --candidate.frequency;
  return Queue::main;
}

void Policy::evicted(Queue from, const Candidate& candidate) {
  if (!is_lfu(kind_) || from == Queue::negative) return;
  if (from == Queue::small) {
    ++pace_left_;
    left_small_.remember(candidate.hash);
  } else if (chance() < remembered_of_main) {
    left_main_.remember(candidate.hash);
  }
}

void Policy::fit(std::uint64_t entries, std::uint64_t bytes) {
  if (!is_lfu(kind_)) return;
  constexpr std::uint64_t least = 64;
  entries_ = static_cast<double>(std::max(entries, least));
  mean_bytes_ = static_cast<double>(bytes) / static_cast<double>(std::max<std::uint64_t>(entries, 1));
  // The ghosts get room to grow, because each of several resizings in a row loses what the one before it had kept.
  const auto fit_ghost = [least](Ghost& ghost, std::uint64_t wanted) {
    wanted = std::max(wanted, least);
    if (ghost.capacity() < wanted || ghost.capacity() > wanted * 3) ghost.resize(wanted + wanted / 2);
  };
  fit_ghost(left_small_, entries);
  fit_ghost(left_main_, static_cast<std::uint64_t>(static_cast<double>(entries) * remembered_of_main));
}

UnixMs nearer_half(std::span<UnixMs> deadlines) {
  if (deadlines.empty()) return 0;
  work::bytes(deadlines.size_bytes());
  const auto middle = deadlines.begin() + static_cast<std::ptrdiff_t>((deadlines.size() - 1) / 2);
  std::nth_element(deadlines.begin(), middle, deadlines.end());
  const bool tied = std::find(std::next(middle), deadlines.end(), *middle) != deadlines.end();
  if (!tied) return *middle;
  // Many deadlines equal the middle one. If there are nearer ones, only those are the nearer half.
  UnixMs cutoff = std::numeric_limits<UnixMs>::min();
  for (auto at = deadlines.begin(); at != middle; ++at) {
    if (*at < *middle) cutoff = std::max(cutoff, *at);
  }
  return cutoff == std::numeric_limits<UnixMs>::min() ? *middle : cutoff;
}

}  // namespace pinfold::eviction
