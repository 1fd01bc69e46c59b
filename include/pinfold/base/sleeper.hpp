#pragma once
// Threads that sleep until somebody has work for them, and wakes that are put off while locks are held: a wake is a system call.

#include <atomic>

namespace pinfold {

/// Somebody to be woken. Must outlive every wake() and every WakeLater of the threads that wake it.
class Sleeper {
 public:
  /// Wakes, or, if this thread has a WakeLater, has it do so. What there is to do must be to be found already. From any thread; takes no
  /// memory.
  void wake();

  virtual ~Sleeper() = default;

 private:
  friend class WakeLater;
  virtual void wake_now() = 0;

  std::atomic<bool> put_off_{false};  // a thread is to wake it when its WakeLater ends; which may stand for others, too
  Sleeper* next_ = nullptr;           // in that thread's list
};

/// While it lives, the wakes of this thread are put off to its end. They nest: the outermost counts. To be made before locks are taken
/// with which somebody may be woken, and to end when they have been given back.
class WakeLater {
 public:
  WakeLater();
  ~WakeLater();
  WakeLater(const WakeLater&) = delete;
  WakeLater& operator=(const WakeLater&) = delete;

 private:
  friend class Sleeper;
  const bool outermost_;
  Sleeper* first_ = nullptr;
};

}  // namespace pinfold
