#pragma once
// Wakes threads that sleep until there is work for them. A wake is a system call, so it is put off while locks are held.

#include <array>
#include <atomic>
#include <cstddef>

namespace pinfold {

/// A thread that can be woken. Must outlive every wake(), and every WakeLater of the threads that call wake().
class Sleeper {
 public:
  /// Wakes the sleeper, at once or, if the calling thread has a WakeLater, when that ends. The work must be in its place before the
  /// call. Any thread may call it. Allocates nothing.
  void wake();

  virtual ~Sleeper() = default;

 private:
  friend class WakeLater;
  virtual void wake_now() = 0;

  std::atomic<bool> put_off_{false};  // it is in the list of some WakeLater, whose wake will do for others too
  Sleeper* next_ = nullptr;           // in that list
};

/// While one exists, the wakes of its thread are put off until it is destroyed. If several are nested, the outermost counts. To be made
/// before the thread takes locks under which it may wake somebody, and destroyed when it has released them.
class WakeLater {
 public:
  WakeLater();
  ~WakeLater();
  WakeLater(const WakeLater&) = delete;
  WakeLater& operator=(const WakeLater&) = delete;

  /// Has `work` called when this thread's outermost WakeLater ends, when it has released its locks: once, however often it is asked for.
  /// Without a WakeLater it is called at once. It must not throw. There may be `most_works` different ones. Allocates nothing.
  static void afterwards(void (*work)());
  static constexpr std::size_t most_works = 2;

 private:
  friend class Sleeper;
  const bool outermost_;
  Sleeper* first_ = nullptr;
  std::array<void (*)(), most_works> works_{};
};

}  // namespace pinfold
