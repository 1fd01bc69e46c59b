#pragma once
// Room that one thread was given and is about to take.
//
// Between the check that bytes fit and their allocation other threads check, too: without a promise all of them would find the
// same bytes free. What the thread then takes is taken off its promise, so nothing counts twice.

#include <algorithm>
#include <cstdint>

namespace pinfold::store {

class Memory;

/// A promise of bytes to the thread that made it, which also has to end it. They nest.
class Room {
 public:
  /// Less is not promised: many such requests together take a few hundred KB more than there is.
  static constexpr std::uint64_t least = 64 * 1024;

  Room() = default;
  ~Room() { release(); }
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;

  /// Promises `bytes`, if they fit beside what is there and what was promised to others. Not while it holds a promise.
  bool take(Memory& memory, std::uint64_t bytes);
  void release();

  /// This thread has taken bytes of `memory`.
  static void consume(const Memory& memory, std::uint64_t bytes) {
    if (innermost != nullptr) [[unlikely]]
      consume_promised(memory, bytes);
  }
  /// What this thread was promised there.
  static std::uint64_t promised_here(const Memory& memory);

 private:
  static void consume_promised(const Memory& memory, std::uint64_t bytes);

  static inline constinit thread_local Room* innermost = nullptr;

  Memory* memory_ = nullptr;
  std::uint64_t left_ = 0;
  Room* outer_ = nullptr;
};

}  // namespace pinfold::store
