#pragma once
// What the traffic says about the memory: the hit ratio that half or twice of it would give, entries that nobody reads, values that change
// long before their deadlines. From a sample of keys (eviction/miss_ratio_curve.hpp); docs/working-set.md explains it.
//
// Threads that serve clients only note the accesses to sampled keys (store/access_samples.hpp). The background worker simulates.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "pinfold/base/clock.hpp"
#include "pinfold/eviction/miss_ratio_curve.hpp"
#include "pinfold/store/changes.hpp"
#include "pinfold/store/keyspace.hpp"

namespace pinfold::command {

/// What is known at a moment. Counts are of the recent past: an access counts half after ten minutes.
struct WorkingSetEstimate {
  /// Why there are no hit ratios.
  enum class State : std::uint8_t {
    off,        // `metrics` is off
    no_policy,  // noeviction: there is nothing to simulate
    small,      // maxmemory is less than WorkingSet::least_memory
    warming,    // the sample does not hold yet what the cache holds, or there were too few reads
    known,
  };
  static constexpr auto factors = eviction::MissRatioCurve::factors;
  static constexpr std::size_t present = eviction::MissRatioCurve::present;

  State state = State::warming;
  std::array<double, factors.size()> hit_ratios{};  // with factors[i] times the memory; only if known
  std::array<bool, factors.size()> full{};          // whether a cache with that much memory would be full
  std::uint64_t memory = 0;                         // bytes of data with the factor 1: maxmemory, or what is used if there is no limit
  bool limited = false;                             // whether there is a maxmemory
  double reads = 0;                                 // of sampled keys
  double misses = 0;                                // of these, with the present memory
  std::uint32_t entries = 0;                        // in the sample with the present memory
  unsigned halvings = 0;                            // the sample is one key in 2^halvings
  std::uint64_t dropped = 0;                        // accesses to sampled keys that were not noted
  std::uint64_t sampling_bytes = 0;                 // memory that all of this takes
  eviction::ChangeAges changes;
  eviction::UnreadEntries unread;

  /// How far the hit ratios with other amounts of memory may be off, in points of .01, as replays of traces have shown. O(1).
  double uncertainty() const;
  /// The least memory that gives this hit ratio, in bytes, between a quarter and four times the present memory. nullopt: not even four
  /// times the memory gives it. Only if known.
  std::optional<std::uint64_t> memory_for(double hit_ratio) const;
};

class WorkingSet {
 public:
  explicit WorkingSet(store::Keyspace& keyspace);
  ~WorkingSet();
  WorkingSet(const WorkingSet&) = delete;
  WorkingSet& operator=(const WorkingSet&) = delete;

  // These two are for the background worker, with nothing locked.

  /// Simulates up to 256 accesses. Returns true if more are waiting.
  bool step();
  /// Follows the settings and the keyspace, and publishes what is known. To be called often; it does something once a second, and when `on`
  /// (the setting `metrics`) has changed. `busy_ns` is how long each thread that serves clients has been busy so far, of which the largest
  /// growth counts. What cannot be done for want of memory is tried again the next time.
  void tick(bool on, MonoMs now, std::span<const std::uint64_t> busy_ns = {});

  /// What was known at the last tick. Any thread may ask.
  WorkingSetEstimate estimate() const;

  /// With a lower maxmemory nothing is simulated: it would take too much of the memory.
  static constexpr std::uint64_t least_memory = std::uint64_t{8} << 20;
  /// How much memory the sampling may take, in bytes: at most a thirty-second of `limit` (maxmemory; 0: none), and less than 3 MB.
  static std::size_t most_memory(std::uint64_t limit);
  /// At most that many accesses per second are simulated; if there are more, the sample is halved.
  static constexpr double most_per_second = 16384;
  /// While a thread is busy for more than half of its time, at most one key in 2^5 is sampled. What is noted then costs about ten
  /// instructions per request, if nine in ten are reads.
  static constexpr unsigned halvings_when_busy = 5;

 private:
  class Removals;  // tells of purges, flushes and exchanges of databases

  void start();
  void stop();
  void follow_keyspace(double seconds);
  void follow_rate(double seconds, double busy);
  double take_busy(std::span<const std::uint64_t> busy_ns, double seconds);
  void publish(WorkingSetEstimate::State state);
  void account();

  store::Keyspace& keyspace_;
  std::vector<std::unique_ptr<Removals>> removals_;
  // Used by the background worker only.
  std::optional<eviction::MissRatioCurve> curve_;
  std::uint32_t most_entries_ = 0;  // of the curve
  std::vector<eviction::SampledAccess> taken_;
  std::size_t done_ = 0;  // of taken_
  MonoMs ticked_{};
  std::uint64_t accesses_ = 0;          // since the last tick
  std::uint64_t dropped_ = 0;           // as of the last tick
  std::vector<std::uint64_t> busy_ns_;  // as of the last tick
  double quiet_seconds_ = 0;            // for how long the sample could have been larger
  std::optional<store::KeyspaceStats> counted_;
  std::int64_t accounted_ = 0;
  bool was_on_ = false;
  mutable std::mutex mutex_;  // guards published_
  WorkingSetEstimate published_;
};

}  // namespace pinfold::command
