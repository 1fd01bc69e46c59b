#pragma once
// Counts of why entries were evicted and how long they had been there, and of the times to live that writes have set.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace pinfold::store {

/// Why an entry was evicted.
enum class EvictionCause : std::uint8_t {
  memory,     // the eviction policy (maxmemory-policy) has chosen it
  quota,      // its cache policy occupied more than its max-memory
  first_out,  // its cache policy has the priority first-out
  negative,   // it was a negative entry
  count,
};

/// Counts of seconds, in buckets whose ends are powers of two: bucket 0 is less than 1 s, bucket n is from 2^(n-1) to 2^n s, and the last
/// one has all that is longer (97 days).
struct SecondCounts {
  static constexpr std::size_t buckets = 25;
  std::array<std::uint64_t, buckets> of{};
  std::uint64_t seconds = 0;  // the sum

  void add(std::uint64_t each, std::uint64_t count = 1) {
    const auto bucket = static_cast<std::size_t>(std::bit_width(each));
    of[bucket < buckets ? bucket : buckets - 1] += count;
    seconds += each * count;
  }
  SecondCounts& operator+=(const SecondCounts& other) {
    for (std::size_t i = 0; i < buckets; ++i) of[i] += other.of[i];
    seconds += other.seconds;
    return *this;
  }
};
using TtlCounts = SecondCounts;

/// Of the entries that a shard has evicted. Guarded by the shard's lock.
struct Departures {
  /// The counts of EvictionCause::memory stay 0: it is what is left of all.
  std::array<std::uint64_t, static_cast<std::size_t>(EvictionCause::count)> by_cause{};
  std::array<std::uint64_t, 256> by_policy{};  // by slot, since the slot was given to a policy; [0] stays 0
  /// For how long they had lain where they were evicted: since they were written, or kept by an eviction before. That of a segment is
  /// taken for its entries.
  SecondCounts ages;
  /// For how long they had not been read or written, of those that keep when that was: not under the LFU policies.
  SecondCounts idle_times;

  Departures& operator+=(const Departures& other) {
    for (std::size_t i = 0; i < by_cause.size(); ++i) by_cause[i] += other.by_cause[i];
    for (std::size_t i = 0; i < by_policy.size(); ++i) by_policy[i] += other.by_policy[i];
    ages += other.ages;
    idle_times += other.idle_times;
    return *this;
  }
};

}  // namespace pinfold::store
