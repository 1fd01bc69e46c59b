// Loaded into a server with LD_PRELOAD: its clocks are off by what a file says (tests/support/clock.py), which both sides map;
// CLOCK_FILE names it. The file has three numbers. In seconds: by how much the wall clock is off, and by how much both clocks are ahead
// because time is said to have passed. In nanoseconds: where the monotonic clock is held, or 0. While it is held, time passes only as this
// number is raised (tests/benchmark/instructions.py).

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <ctime>

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

namespace {

struct Shifts {
  std::atomic<std::int64_t> wall;
  std::atomic<std::int64_t> both;
  std::atomic<std::int64_t> held;
};
constexpr std::int64_t second_ns = 1'000'000'000;
std::int64_t wall_ahead_ns = 0;  // of the monotonic clock, when the library was loaded
std::atomic<const Shifts*> shifts{nullptr};
using Wait = int (*)(pthread_cond_t*, pthread_mutex_t*, clockid_t, const timespec*);
std::atomic<Wait> wait_until{nullptr};

std::int64_t real_ns(clockid_t clock) {
  timespec now{};
  syscall(SYS_clock_gettime, clock, &now);
  return now.tv_sec * second_ns + now.tv_nsec;
}

[[gnu::constructor]] void begin() {
  wall_ahead_ns = real_ns(CLOCK_REALTIME) - real_ns(CLOCK_MONOTONIC);
  const char* const path = std::getenv("CLOCK_FILE");
  if (path == nullptr) return;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  void* const page = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (page != MAP_FAILED) shifts = static_cast<const Shifts*>(page);
}

bool is_wall(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE; }
bool is_monotonic(clockid_t clock) { return clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE; }

// Where the clock is held; 0 if it runs.
std::int64_t held_at(clockid_t clock) {
  const Shifts* const now = shifts.load(std::memory_order_relaxed);
  const std::int64_t held = now != nullptr ? now->held.load(std::memory_order_relaxed) : 0;
  if (held == 0 || is_monotonic(clock)) return held;
  return is_wall(clock) ? held + wall_ahead_ns : 0;
}

std::int64_t shift(clockid_t clock) {
  const Shifts* const now = shifts.load(std::memory_order_relaxed);
  if (now == nullptr) return 0;
  const std::int64_t both = now->both.load(std::memory_order_relaxed);
  if (is_wall(clock)) return both + now->wall.load(std::memory_order_relaxed);
  return is_monotonic(clock) ? both : 0;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* to) {
  if (const std::int64_t held = held_at(clock); held != 0) {
    *to = {held / second_ns + shift(clock), held % second_ns};
    return 0;
  }
  const long result = syscall(SYS_clock_gettime, clock, to);
  if (result == 0) to->tv_sec += shift(clock);
  return static_cast<int>(result);
}

int gettimeofday(timeval* to, void* zone) {
  static_cast<void>(zone);
  timespec now{};
  const int result = clock_gettime(CLOCK_REALTIME, &now);
  if (result == 0) *to = {now.tv_sec, now.tv_nsec / 1000};
  return result;
}

std::time_t time(std::time_t* to) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (to != nullptr) *to = now.tv_sec;
  return now.tv_sec;
}

// The kernel's clocks are not ahead: a wait is to last as long as it was meant to.
int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock, const timespec* until) {
  Wait wait = wait_until.load(std::memory_order_relaxed);
  if (wait == nullptr) wait_until = wait = reinterpret_cast<Wait>(dlsym(RTLD_NEXT, "pthread_cond_clockwait"));
  timespec shifted = *until;
  shifted.tv_sec -= shift(clock);
  if (const std::int64_t held = held_at(clock); held != 0) {
    const std::int64_t real = real_ns(clock) + shifted.tv_sec * second_ns + shifted.tv_nsec - held;
    shifted = {real / second_ns, real % second_ns};
  }
  return wait(condition, mutex, clock, &shifted);
}

}  // extern "C"
