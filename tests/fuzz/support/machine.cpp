#include "machine.hpp"

#include <cstring>
#include <ctime>

#include <sys/types.h>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/random.hpp"

namespace {

constexpr std::int64_t first_unix_us = 1'800'000'000'000'000;
constexpr std::int64_t first_mono_us = 1'000'000'000;
constexpr std::uint64_t first_state = 0x9df0'11d0'5eed;

std::int64_t now_us = 0;  // since the input began
std::int64_t wall_step_us = 0;
std::uint64_t state = first_state;

}  // namespace

namespace fuzz {

void begin_machine() {
  now_us = 0;
  wall_step_us = 0;
  state = first_state;
}

void pass_time(std::int64_t ms) { now_us += ms * 1000; }
void step_wall_clock(std::int64_t ms) { wall_step_us += ms * 1000; }

}  // namespace fuzz

namespace pinfold {

std::int64_t unix_us() { return first_unix_us + ++now_us + wall_step_us; }
UnixMs unix_ms() { return unix_us() / 1000; }
std::int64_t monotonic_us() { return first_mono_us + ++now_us; }
MonoMs monotonic_ms() { return {monotonic_us() / 1000}; }
void advance_clock_for_test(std::int64_t ms) { fuzz::pass_time(ms); }
void step_wall_clock_for_test(std::int64_t ms) { fuzz::step_wall_clock(ms); }

std::uint64_t random_u64() {  // splitmix64
  std::uint64_t z = state += 0x9e3779b97f4a7c15ULL;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
  return z ^ z >> 31;
}
std::uint64_t random_below(std::uint64_t bound) { return random_u64() % bound; }

}  // namespace pinfold

extern "C" {

ssize_t __wrap_getrandom(void* to, std::size_t size, unsigned /*flags*/) {
  std::memset(to, 0x5a, size);
  return static_cast<ssize_t>(size);
}
int __wrap_nanosleep(const timespec* time, timespec* /*left*/) {
  now_us += time->tv_sec * 1'000'000 + time->tv_nsec / 1000;
  return 0;
}

}  // extern "C"
