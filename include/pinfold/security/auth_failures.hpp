#pragma once
// Limits how often an address may give a wrong password.
//
// Each address has an allowance of so many failures a minute, which fills up again evenly (the generic cell rate algorithm, ITU-T
// I.371): it may fail so often at once, and after that once each time a part of the minute has passed. Only failures count, so an
// application that connects often is not concerned, and the right password does not give the allowance back to somebody who
// guesses at another user's.
//
// The memory is a fixed table. If more addresses fail at the same time than it has room for, it forgets those that have failed
// least. So an address at its limit stays there, but one that is seen for the first time can always fail once.

#include <array>
#include <cstdint>
#include <mutex>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/siphash.hpp"

namespace pinfold::security {

/// Thread-safe. All functions are O(1), and allocate nothing.
class AuthFailures {
 public:
  /// The largest limit that can be kept.
  static constexpr std::int64_t most_per_minute = 1'000'000;

  /// Milliseconds after which a client of this origin (origin_of) may try again; 0: at once. `per_minute` is the limit, above 0. Several
  /// threads may ask before the first of them notes a failure, so there may be a failure more for each thread.
  std::int64_t wait_ms(std::uint64_t origin, std::int64_t per_minute, MonoMs now) const;
  /// Notes that a client of this origin gave a wrong password.
  void note(std::uint64_t origin, std::int64_t per_minute, MonoMs now);

 private:
  // An origin, and when its whole allowance will be there again. A place is free if that is over.
  struct Place {
    std::uint64_t origin = 0;
    std::int64_t restored_us = 0;
  };
  static constexpr std::size_t ways = 8;
  static constexpr std::size_t sets = 256;
  using Set = std::array<Place, ways>;

  std::size_t set_of(std::uint64_t origin) const;

  const HashKey key_ = random_hash_key();
  mutable std::mutex mutex_;  // guards table_
  std::array<Set, sets> table_{};
};

}  // namespace pinfold::security
