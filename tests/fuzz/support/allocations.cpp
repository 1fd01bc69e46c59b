#include "allocations.hpp"

#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <new>

#include <malloc.h>
#include <sys/mman.h>

namespace {

bool watched = false;
std::uint32_t before_failure = 0;  // allocations that succeed before the next ones fail
std::uint32_t to_fail = 0;
std::uint64_t failures = 0;
std::int64_t taken = 0;
std::int64_t most_taken = 0;

bool fails() {
  if (!watched || to_fail == 0) return false;
  if (before_failure > 0) {
    --before_failure;
    return false;
  }
  --to_fail;
  ++failures;
  errno = ENOMEM;
  return true;
}

void* note(void* block) {
  if (!watched || block == nullptr) return block;
  taken += static_cast<std::int64_t>(malloc_usable_size(block));
  if (taken > most_taken) most_taken = taken;
  return block;
}

void note_freed(void* block) {
  if (watched && block != nullptr) taken -= static_cast<std::int64_t>(malloc_usable_size(block));
}

}  // namespace

namespace fuzz {

void Allocations::fail(std::uint32_t nth, std::uint32_t count) {
  before_failure = nth > 0 ? nth - 1 : 0;
  to_fail = nth > 0 ? count : 0;
}
std::uint64_t Allocations::failed() { return failures; }
std::int64_t Allocations::bytes() { return taken; }
std::int64_t Allocations::peak() { return most_taken; }
void Allocations::reset() {
  spare();
  failures = 0;
  taken = most_taken = 0;
}

Watched::Watched() { watched = true; }
Watched::~Watched() { watched = false; }

Unwatched::Unwatched() : before_(watched) { watched = false; }
Unwatched::~Unwatched() { watched = before_; }

}  // namespace fuzz

extern "C" {

void* __real_malloc(std::size_t);
void* __real_calloc(std::size_t, std::size_t);
void* __real_realloc(void*, std::size_t);
void __real_free(void*);
void* __real_mmap(void*, std::size_t, int, int, int, off_t);
void* __real_mremap(void*, std::size_t, std::size_t, int, ...);

void* __wrap_malloc(std::size_t size) { return fails() ? nullptr : note(__real_malloc(size)); }
void* __wrap_calloc(std::size_t count, std::size_t size) { return fails() ? nullptr : note(__real_calloc(count, size)); }
void* __wrap_realloc(void* block, std::size_t size) {
  if (fails()) return nullptr;
  note_freed(block);
  return note(__real_realloc(block, size));
}
void __wrap_free(void* block) {
  note_freed(block);
  __real_free(block);
}
void* __wrap_mmap(void* at, std::size_t size, int access, int flags, int fd, off_t offset) {
  return fails() ? MAP_FAILED : __real_mmap(at, size, access, flags, fd, offset);
}
void* __wrap_mremap(void* at, std::size_t before, std::size_t size, int flags, ...) {
  if (size > before && fails()) return MAP_FAILED;
  va_list rest;
  va_start(rest, flags);
  void* const wanted = (flags & MREMAP_FIXED) != 0 ? va_arg(rest, void*) : nullptr;
  va_end(rest);
  return __real_mremap(at, before, size, flags, wanted);
}

}  // extern "C"

void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept { return __wrap_malloc(size); }
void* operator new(std::size_t size) {
  void* const block = __wrap_malloc(size);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
void* operator new[](std::size_t size, const std::nothrow_t& /*tag*/) noexcept { return __wrap_malloc(size); }
void* operator new[](std::size_t size) { return operator new(size); }
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t& /*tag*/) noexcept {
  return fails() ? nullptr : note(std::aligned_alloc(static_cast<std::size_t>(alignment), size));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  void* const block = operator new(size, alignment, std::nothrow);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
void operator delete(void* block) noexcept { __wrap_free(block); }
void operator delete(void* block, std::size_t /*size*/) noexcept { __wrap_free(block); }
void operator delete(void* block, const std::nothrow_t& /*tag*/) noexcept { __wrap_free(block); }
void operator delete[](void* block) noexcept { __wrap_free(block); }
void operator delete[](void* block, std::size_t /*size*/) noexcept { __wrap_free(block); }
void operator delete[](void* block, const std::nothrow_t& /*tag*/) noexcept { __wrap_free(block); }
void operator delete(void* block, std::align_val_t /*alignment*/) noexcept { __wrap_free(block); }
void operator delete(void* block, std::size_t /*size*/, std::align_val_t /*alignment*/) noexcept { __wrap_free(block); }
void operator delete(void* block, std::align_val_t /*alignment*/, const std::nothrow_t& /*tag*/) noexcept { __wrap_free(block); }
