#pragma once
// Makes the system refuse memory, for tests: by chance, as a schedule says that can be changed at any time.

#include <atomic>
#include <cstdint>

namespace faults {

enum Kind : std::uint32_t { heap = 1, mapping = 2 };

struct Schedule {
  std::atomic<std::uint32_t> chance;  // of a failure, in 2^-32; 0: none
  std::atomic<std::uint32_t> kinds;   // which calls, as bits of Kind
  std::atomic<std::uint64_t> seed;
  std::atomic<std::uint64_t> least;  // smaller requests do not fail
  std::atomic<std::uint64_t> calls;  // since the start, while there was a chance
  std::atomic<std::uint64_t> failed;
};

/// Obeys this schedule from now on.
void follow(Schedule* schedule);

}  // namespace faults
