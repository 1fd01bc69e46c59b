#pragma once
// How long a thread has waited for locks of shards and for room in memory, so that a slow command can tell this from its execution.
//
// The waits themselves are rare, and a command that has met none pays two instructions. After a wait the command is looked at when it ends,
// however short it was, so that its waits are not taken for those of the next one.

#include <cstdint>
#include <limits>

namespace pinfold {

/// In ticks of ThreadClock. Each thread has its own (thread_waits), and no other thread uses it.
class ThreadWaits {
 public:
  struct Ticks {
    std::uint64_t locks = 0;
    std::uint64_t room = 0;
  };

  /// A command that has taken at least so many ticks is looked at when it ends.
  std::uint64_t look_after() const { return look_after_; }
  /// Sets that for commands that have not waited.
  void set_look_after(std::uint64_t ticks) { look_after_ = usual_ = ticks; }

  void add_lock(std::uint64_t ticks) {
    taken_.locks += ticks;
    add(ticks);
  }
  void add_room(std::uint64_t ticks) {
    taken_.room += ticks;
    room_total_ += ticks;
    add(ticks);
  }
  /// All waits of the thread since it began.
  std::uint64_t total() const { return total_; }
  /// Those for room among them.
  std::uint64_t room_total() const { return room_total_; }
  /// The waits since the last take(): those of one request.
  Ticks take() {
    look_after_ = usual_;
    const Ticks taken = taken_;
    taken_ = Ticks();
    return taken;
  }
  /// Forgets waits that belong to no request.
  void forget() { take(); }

 private:
  void add(std::uint64_t ticks) {
    total_ += ticks;
    look_after_ = 0;
  }

  std::uint64_t look_after_ = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t total_ = 0;
  std::uint64_t room_total_ = 0;
  std::uint64_t usual_ = std::numeric_limits<std::uint64_t>::max();
  Ticks taken_;
};

inline constinit thread_local ThreadWaits thread_waits;

}  // namespace pinfold
