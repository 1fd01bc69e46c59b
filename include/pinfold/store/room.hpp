#pragma once
// Room: free memory that is reserved for one thread until the thread allocates it.
//
// Between the check that bytes fit and their allocation, other threads check too. Without a promise all of them would
// count on the same free bytes. What the thread allocates is deducted from its promise, so nothing is counted twice.

#include <algorithm>
#include <cstdint>

namespace pinfold::store {

class Memory;

/// A promise of bytes in a Memory. It belongs to the thread that has called take(), and the same thread has to end it
/// with release() or the destructor. The promises of one thread nest like scopes: the last one is ended first.
class Room {
 public:
  /// In bytes. A request for less gets no promise. Many such requests at once may exceed the limit by a few hundred KB.
  static constexpr std::uint64_t least = 64 * 1024;

  Room() = default;
  ~Room() { release(); }
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;

  /// Promises `bytes` if they fit together with what is used and what is promised to others. Otherwise returns false
  /// and promises nothing. Only if this object holds no promise. O(1).
  bool take(Memory& memory, std::uint64_t bytes);
  /// Ends the promise: what is left of it is free for others.
  void release();

  /// Notes that this thread has allocated `bytes` of `memory`. They are deducted from its promises there, from the innermost
  /// one first.
  static void consume(const Memory& memory, std::uint64_t bytes) {
    if (innermost != nullptr) [[unlikely]]
      consume_promised(memory, bytes);
  }
  /// The bytes of `memory` that are promised to this thread.
  static std::uint64_t promised_here(const Memory& memory);

 private:
  static void consume_promised(const Memory& memory, std::uint64_t bytes);

  static inline constinit thread_local Room* innermost = nullptr;  // of this thread's promises

  Memory* memory_ = nullptr;
  std::uint64_t left_ = 0;  // bytes that are promised and not allocated yet
  Room* outer_ = nullptr;
};

}  // namespace pinfold::store
