// Loaded into a server with LD_PRELOAD: its wall clock is off by what a file says (tests/support/clock.py), which both sides map;
// CLOCK_FILE names it. The clock that never goes back is the system's.

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <ctime>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

namespace {

std::atomic<const std::atomic<std::int64_t>*> shift_seconds{nullptr};

[[gnu::constructor]] void begin() {
  const char* const path = std::getenv("CLOCK_FILE");
  if (path == nullptr) return;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  void* const page = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (page != MAP_FAILED) shift_seconds = static_cast<const std::atomic<std::int64_t>*>(page);
}

std::int64_t shift() {
  const auto* const seconds = shift_seconds.load(std::memory_order_relaxed);
  return seconds != nullptr ? seconds->load(std::memory_order_relaxed) : 0;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* to) {
  const long result = syscall(SYS_clock_gettime, clock, to);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) to->tv_sec += shift();
  return static_cast<int>(result);
}

int gettimeofday(timeval* to, void* zone) {
  const long result = syscall(SYS_gettimeofday, to, zone);
  if (result == 0) to->tv_sec += shift();
  return static_cast<int>(result);
}

std::time_t time(std::time_t* to) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (to != nullptr) *to = now.tv_sec;
  return now.tv_sec;
}

}  // extern "C"
