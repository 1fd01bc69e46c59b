// Loaded into a server with LD_PRELOAD: its clocks are off by what a file says (tests/support/clock.py), which both sides map;
// CLOCK_FILE names it. The file has two numbers, in seconds: by how much the wall clock is off, and by how much both clocks are ahead
// because time is said to have passed.

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
};
std::atomic<const Shifts*> shifts{nullptr};
using Wait = int (*)(pthread_cond_t*, pthread_mutex_t*, clockid_t, const timespec*);
std::atomic<Wait> wait_until{nullptr};

[[gnu::constructor]] void begin() {
  const char* const path = std::getenv("CLOCK_FILE");
  if (path == nullptr) return;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  void* const page = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (page != MAP_FAILED) shifts = static_cast<const Shifts*>(page);
}

bool is_wall(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE; }

std::int64_t shift(clockid_t clock) {
  const Shifts* const now = shifts.load(std::memory_order_relaxed);
  if (now == nullptr) return 0;
  const std::int64_t both = now->both.load(std::memory_order_relaxed);
  if (is_wall(clock)) return both + now->wall.load(std::memory_order_relaxed);
  return clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE ? both : 0;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* to) {
  const long result = syscall(SYS_clock_gettime, clock, to);
  if (result == 0) to->tv_sec += shift(clock);
  return static_cast<int>(result);
}

int gettimeofday(timeval* to, void* zone) {
  const long result = syscall(SYS_gettimeofday, to, zone);
  if (result == 0) to->tv_sec += shift(CLOCK_REALTIME);
  return static_cast<int>(result);
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
  return wait(condition, mutex, clock, &shifted);
}

}  // extern "C"
