#pragma once
// What is learned from the accesses to keys while requests are served: which keys are hot.
//
// Each I/O thread has an AccessSampler, and tells it of every key that a request names. It looks at one access in a few, so that it costs a
// decrement and a branch otherwise. How few follows from the thread's rate: at most about 12 000 accesses a second are looked at, and all
// of them below that rate. In a sudden burst it becomes fewer at once. The distance between two of them is random, so that no pattern in
// the requests can hide from it.

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/counter.hpp"
#include "pinfold/base/spinning_mutex.hpp"
#include "pinfold/base/thread_clock.hpp"
#include "pinfold/command/hot_keys.hpp"
#include "pinfold/command/key_concentration.hpp"
#include "pinfold/config/settings.hpp"
#include "pinfold/store/memory.hpp"

namespace pinfold::command {

/// The sampler of one thread. note() is for that thread, all else for any thread.
///
/// Nobody waits for anybody on the way of a request: while another thread reads the samples, the accesses that would be sampled are not.
class alignas(64) AccessSampler {
 public:
  /// Takes no samples and no memory while the setting `metrics` is no. The memory is counted as Use::sampling. `random` is any
  /// number, `now` the time from which on accesses are counted.
  AccessSampler(const config::Settings& settings, store::Memory& memory, std::uint64_t random, MonoMs now);
  ~AccessSampler();
  AccessSampler(const AccessSampler&) = delete;
  AccessSampler& operator=(const AccessSampler&) = delete;

  /// A request has named this key in database `db`.
  void note(unsigned db, const store::Key& key, const ThreadClock& clock) {
    if (--countdown_ == 0) [[unlikely]]
      take(db, key, clock.last().mono);
  }
  /// The same for several keys. One that is named twice counts twice.
  void note(unsigned db, std::span<const store::Key> keys, const ThreadClock& clock) {
    for (const store::Key& key : keys) note(db, key, clock);
  }

  /// How many accesses were sampled since the start.
  std::uint64_t sampled() const { return sampled_.get(); }
  /// One access in how many is sampled at present. For the sampler's thread, and tests.
  std::uint32_t period() const { return period_; }

  /// What the samples tell. They are read with the sampler locked, for as long as it takes to copy them (about 60 KB at most).
  struct Samples {
    std::vector<CountedKey> keys;  // those in the table, in no order
    std::uint64_t all = 0;         // accesses in the window
    MonoMs window_began;
    ConcentrationReport concentration;
  };
  /// Adds those of this thread to `sum`, as of `now`. Frees the memory if `metrics` is no.
  void add_to(Samples& sum, MonoMs now);

 private:
  struct State {
    HotKeys hot;
    KeyConcentration concentration;
  };

  [[gnu::noinline]] void take(unsigned db, const store::Key& key, MonoMs now);
  bool begin_tick(MonoMs now);
  void set_period(std::uint64_t period);
  std::uint32_t next_distance();
  bool is_on(MonoMs now);
  void release();
  void advance(MonoMs now);

  std::uint32_t countdown_ = 1;
  std::uint32_t period_ = 1;
  std::uint32_t distances_ = 1;  // how many distances between samples there are
  std::uint32_t one_in_ = 1;     // one sample in how many is counted one by one for the concentration
  MonoMs tick_began_;
  std::uint64_t accesses_ = 0;  // since the tick began, as the samples tell
  std::uint32_t left_ = 1;      // samples, after which the period is doubled
  std::uint64_t random_;
  Counter sampled_;
  const config::Settings& settings_;
  store::Memory& memory_;
  SpinningMutex mutex_;           // guards what follows
  MonoMs tick_ends_;              // while it lies ahead there is a state
  MonoMs halved_;                 // when the concentration was, last
  std::unique_ptr<State> state_;  // null while `metrics` is no
};

/// The samplers of all I/O threads.
class Accesses {
 public:
  Accesses(const config::Settings& settings, store::Memory& memory, unsigned threads, MonoMs now);

  AccessSampler& of_thread(unsigned thread) { return *samplers_[thread]; }
  /// How many accesses were sampled since the start.
  std::uint64_t sampled() const;

  /// What the samples of all threads tell.
  struct Report {
    std::vector<CountedKey> keys;  // asked for in the last five seconds, those that were asked for most first
    std::uint64_t all = 0;         // accesses to all keys in that window
    double seconds = 0;            // how long the window is
    ConcentrationReport concentration;

    double rate(const CountedKey& key) const { return static_cast<double>(key.count) / seconds; }
    double share(const CountedKey& key) const { return all == 0 ? 0 : static_cast<double>(key.count) / static_cast<double>(all); }
  };
  /// Thread-safe. O(threads * slots).
  Report report(MonoMs now);

 private:
  std::vector<std::unique_ptr<AccessSampler>> samplers_;
};

}  // namespace pinfold::command
