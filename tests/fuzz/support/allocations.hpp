#pragma once
// Counts the memory that the code under test takes, and lets allocations of it fail.
//
// A target that links allocations.cpp has operators new and delete of its own. Its references to malloc, calloc, realloc, free, mmap and
// mremap, and those of the rooms, lead here as well (--wrap, in tests/fuzz/CMakeLists.txt). All that is only looked at while a Watched
// exists: what the target itself and the fuzzer allocate never fails and is not counted. There is one thread.

#include <cstddef>
#include <cstdint>

namespace fuzz {

class Allocations {
 public:
  /// The `nth` allocation from now on (1 is the next one) fails, and so do all others up to `count` of them. 0: none fails.
  static void fail(std::uint32_t nth, std::uint32_t count = 1);
  /// No allocation fails any more.
  static void spare() { fail(0, 0); }
  /// How many have failed since the last reset().
  static std::uint64_t failed();
  /// The bytes that were allocated while a Watched existed, less those that were freed. Mappings are not counted.
  static std::int64_t bytes();
  /// The most that bytes() has been since the last reset().
  static std::int64_t peak();
  static void reset();
};

/// While one exists, allocations are counted and may fail.
class Watched {
 public:
  Watched();
  ~Watched();
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
};

/// While one exists within a Watched, allocations neither fail nor count.
class Unwatched {
 public:
  Unwatched();
  ~Unwatched();
  Unwatched(const Unwatched&) = delete;
  Unwatched& operator=(const Unwatched&) = delete;

 private:
  bool before_;
};

}  // namespace fuzz
