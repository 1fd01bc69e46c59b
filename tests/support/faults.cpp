// Loaded into a server with LD_PRELOAD, or linked into a unit test. For a server, the schedule is a file that both sides map
// (tests/support/faults.py), named by FAULTS_FILE.
//
// Of the heap, what fails is malloc and its relatives as the program and its libraries call them; what the C library
// allocates inside itself goes another way. Of mappings, only anonymous ones fail.

#include "faults.hpp"

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
}

namespace {

using faults::heap;
using faults::Kind;
using faults::mapping;
using faults::Schedule;

std::atomic<Schedule*> schedule{nullptr};

std::uint64_t mix(std::uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

bool fails(Kind kind, std::size_t size) {
  Schedule* const s = schedule.load(std::memory_order_relaxed);
  if (s == nullptr) return false;
  const std::uint32_t chance = s->chance.load(std::memory_order_relaxed);
  if (chance == 0 || (s->kinds.load(std::memory_order_relaxed) & kind) == 0 || size < s->least.load(std::memory_order_relaxed)) {
    return false;
  }
  const std::uint64_t call = s->calls.fetch_add(1, std::memory_order_relaxed);
  if (mix(s->seed.load(std::memory_order_relaxed) + call) >> 32 > chance) return false;
  s->failed.fetch_add(1, std::memory_order_relaxed);
  errno = ENOMEM;
  return true;
}

[[gnu::constructor]] void begin() {
  const char* const path = std::getenv("FAULTS_FILE");
  if (path == nullptr) return;
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  const long page = syscall(SYS_mmap, nullptr, std::size_t{4096}, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
  close(fd);
  if (page != -1) schedule = reinterpret_cast<Schedule*>(page);
}

}  // namespace

void faults::follow(Schedule* other) { schedule = other; }

extern "C" {

void* malloc(std::size_t size) { return fails(heap, size) ? nullptr : __libc_malloc(size); }
void* calloc(std::size_t count, std::size_t size) { return fails(heap, count * size) ? nullptr : __libc_calloc(count, size); }
void* realloc(void* block, std::size_t size) { return fails(heap, size) ? nullptr : __libc_realloc(block, size); }
void* memalign(std::size_t alignment, std::size_t size) { return fails(heap, size) ? nullptr : __libc_memalign(alignment, size); }
void* aligned_alloc(std::size_t alignment, std::size_t size) { return memalign(alignment, size); }
int posix_memalign(void** block, std::size_t alignment, std::size_t size) {
  void* const made = memalign(alignment, size);
  if (made == nullptr) return ENOMEM;
  *block = made;
  return 0;
}

void* mmap(void* at, std::size_t size, int access, int flags, int fd, off_t offset) {
  if ((flags & MAP_ANONYMOUS) != 0 && fails(mapping, size)) return MAP_FAILED;
  return reinterpret_cast<void*>(syscall(SYS_mmap, at, size, access, flags, fd, offset));
}
void* mmap64(void* at, std::size_t size, int access, int flags, int fd, off_t offset) { return mmap(at, size, access, flags, fd, offset); }
void* mremap(void* at, std::size_t before, std::size_t size, int flags, ...) {
  if (size > before && fails(mapping, size)) return MAP_FAILED;
  va_list rest;
  va_start(rest, flags);
  void* const wanted = va_arg(rest, void*);
  va_end(rest);
  return reinterpret_cast<void*>(syscall(SYS_mremap, at, before, size, flags, wanted));
}

}  // extern "C"
