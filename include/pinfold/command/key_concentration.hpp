#pragma once
// How much of the traffic goes to how few of the keys, over the last minute or so.
//
// Keys that are asked for often are counted one by one, in a sketch like that of HotKeys, which is why a key needs no name here. For all
// others there is a sample of keys: those whose hash is below a limit, which falls while there are too many of them (as in SHARDS:
// Waldspurger et al., 2015). A key is in the sample or not, however often it is asked for, so the sample is a small picture of all keys.
// All counts are halved every half minute.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pinfold/command/key_sketch.hpp"

namespace pinfold::command {

/// What the KeyConcentration of all threads tell. A plain value.
class ConcentrationReport {
 public:
  struct Key {
    std::uint64_t hash = 0;
    std::uint64_t count = 0;
  };

  /// Adds what one thread knows. `head` is keys counted one by one, by KeySketch::id_of() their hashes; `sample` is all keys whose hashes
  /// are at most `limit`; `all` is all accesses.
  void add(const std::vector<Key>& head, const std::vector<Key>& sample, std::uint64_t limit, std::uint64_t all);
  /// After the last add().
  void settle();
  /// Which part of all accesses, from 0 to 1, goes to the `top` keys that are asked for most. After settle(). O(keys).
  double share_of_top(double top) const;

 private:
  std::vector<Key> head_;
  std::vector<Key> tail_;  // the sample without the keys of the head
  std::uint64_t limit_ = UINT64_MAX;
  std::uint64_t all_ = 0;
};

/// What one thread knows. Not thread-safe. Its size is fixed: about 49 KB.
class KeyConcentration {
 public:
  static constexpr std::size_t most_sampled = 1024;  // keys
  static constexpr std::int64_t halve_every_ms = 30'000;

  /// Counts a sampled access that stands for `weight` accesses. One in `one_in` (a power of two) is counted one by one, which is enough if
  /// there are many. `random` is any 64 random bits, of which the lower half is used. O(1) but for one call in many, which is
  /// O(most_sampled).
  void add(std::uint64_t hash, std::uint32_t weight, std::uint32_t one_in, std::uint64_t random) {
    if ((random & (one_in - 1)) == 0) [[unlikely]] {
      add_whole(hash, weight, one_in, random);
    } else if (hash <= low_limit_) [[unlikely]] {
      count(hash, std::uint64_t{weight} << scale);
    }
  }
  /// Halves all counts so many times.
  void halve(std::int64_t times);
  void add_to(ConcentrationReport& sum) const;

 private:
  static constexpr unsigned scale = 4;             // counts are in sixteenths, so that one access outlives some halvings
  static constexpr std::uint32_t least_known = 8;  // a key with fewer sampled accesses is not counted one by one
  static constexpr std::size_t places = 2 * most_sampled;
  struct Place {
    std::uint64_t hash = 0;
    std::uint64_t count = 0;  // 0: the place is free
  };

  void add_whole(std::uint64_t hash, std::uint32_t weight, std::uint32_t one_in, std::uint64_t random);
  void count(std::uint64_t hash, std::uint64_t count);
  void set_limit(std::uint64_t limit);
  Place& place_of(std::uint64_t hash);
  void rebuild();

  KeySketch sketch_;
  std::array<Place, places> places_{};
  std::size_t used_ = 0;
  std::uint64_t limit_ = UINT64_MAX;
  std::uint64_t low_limit_ = 0;  // limit_ if so few keys are below it that each sampled access to them can be counted, otherwise 0
  std::uint64_t all_ = 0;
  std::uint32_t weight_ = 1;  // of the last access that was counted one by one
};

}  // namespace pinfold::command
