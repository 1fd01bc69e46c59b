#pragma once
// The hit ratio that a cache would have with a quarter, a half, twice and four times its memory, from a sample of its keys.
//
// Five Miniatures, one for each amount of memory, see all accesses to the sampled keys. The sample is chosen by the hashes of keys, so
// all accesses to a key are in it or none. It begins with all keys. It is halved when the largest Miniature is full, or when there are too
// many accesses: so memory and work are bounded, and a small cache is simulated as a whole.
//
// A sample has more or fewer of the hottest keys than its part, and these decide much of the hit ratio. So the ratio is not taken from the
// sample alone. The hit ratio with the present memory is known, because the server counts every hit and miss. Of the Miniatures only the
// proportion of their misses is used: misses with f times the memory = the server's misses x misses of Miniature f / misses of
// Miniature 1. Hot keys hit in all of them and drop out. docs/working-set.md has the figures.

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "pinfold/eviction/miniature.hpp"
#include "pinfold/eviction/sampled_access.hpp"

namespace pinfold::eviction {

/// Values that were changed while they were in the cache: after how much time, and for how long they might have stayed.
struct ChangeAges {
  double changes = 0;       // of keys with a deadline; weighted, as all counts here
  std::int64_t age_ms = 0;  // the median time between two writes of a key, to a power of two
  std::int64_t ttl_ms = 0;  // the median time that the deadline of these keys was set to
};

/// Entries that were written and not read since.
struct UnreadEntries {
  double keys = 0;          // the share of all entries that the sample has
  double bytes = 0;         // the share of their bytes
  std::int64_t age_ms = 0;  // how long ago they were written, on average
};

/// Not thread-safe. A time is that of the accesses.
class MissRatioCurve {
 public:
  static constexpr std::array<double, 5> factors = {0.25, 0.5, 1, 2, 4};
  static constexpr std::size_t present = 2;  // the index of the present memory

  /// Simulates at most `most_entries` entries with the present memory, and four times as many with four times the memory.
  MissRatioCurve(Kind kind, std::uint32_t most_entries, std::uint64_t seed);

  void set_kind(Kind kind);
  /// The memory of the whole cache, in the unit of SampledAccess::bytes. nullopt: there is no limit, and the memory is `used`; then more
  /// memory changes nothing.
  void set_capacity(std::optional<std::uint64_t> capacity, std::uint64_t used);

  /// Which keys are sampled: those with a sample_position() up to this threshold.
  std::uint64_t threshold() const { return sample_threshold(halvings_); }
  /// How often the sample was halved.
  unsigned halvings() const { return halvings_; }
  /// Halves the sample. O(entries).
  void halve();
  /// Begins anew, with a larger sample or, if `halvings` is halvings(), the same. The counts stay, because the time of filling counts
  /// nothing.
  void enlarge(unsigned halvings);

  /// An access to a key. Accesses to other keys than sampled ones are ignored.
  void note(const SampledAccess& access);
  /// Reads of the whole cache, as the server has counted them.
  void count(double hits, double misses);
  /// Whether the Miniatures hold what the cache holds, as far as can be known. `entries` and `bytes` are those of the whole cache.
  /// Until then note() counts nothing. Must be called now and then.
  bool filled(std::uint64_t entries, std::uint64_t bytes);
  /// Multiplies all counts by `factor`, so that they tell of the recent past.
  void fade(double factor);

  /// The hit ratio with factors[index] times the memory, from 0 to 1. Only if reads() is not 0.
  double hit_ratio(std::size_t index) const;
  /// How many reads the sample has counted, and how many of them have missed with the present memory.
  double reads() const { return reads_; }
  double misses() const { return sampled_misses_; }
  /// Entries in the sample with the present memory. The more, the more exact is the curve.
  std::uint32_t entries() const { return caches_[present].entries(); }
  /// Of the largest Miniature, as a part of the most it may have.
  double fullness() const;
  /// Whether the Miniature is as full as it can be. A larger one that is not shows what is known so far: its hit ratio may still rise.
  bool full(std::size_t index) const { return caches_[index].has_evicted(); }
  ChangeAges change_ages() const;
  /// O(entries).
  UnreadEntries unread(UnixMs now) const;

  /// Bytes that the object takes beside itself.
  std::size_t memory() const;
  static std::size_t most_memory(std::uint32_t most_entries);

 private:
  using Histogram = std::array<double, 40>;  // by the power of two of milliseconds

  void note_change(const SampledAccess& access);
  void store(std::size_t index, const Miniature::Entry& entry);
  void apply_capacity();
  static std::int64_t median(const Histogram& histogram);

  std::uint32_t most_entries_;
  std::vector<Miniature> caches_;
  std::optional<std::uint64_t> capacity_;
  std::uint64_t used_ = 0;
  unsigned halvings_ = 0;
  bool counting_ = true;
  double since_enlarged_ = 0;  // reads of sampled keys
  // Counts that fade. Misses of the Miniatures have the weight of the keys that they stand for.
  std::array<double, factors.size()> misses_{};
  double sampled_misses_ = 0;
  double reads_ = 0;
  double hits_of_all_ = 0;
  double misses_of_all_ = 0;
  Histogram ages_{};
  Histogram ttls_{};
};

}  // namespace pinfold::eviction
