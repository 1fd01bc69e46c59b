#include "pinfold/base/sleeper.hpp"

#include <utility>

#include "pinfold/base/work.hpp"

namespace pinfold {

namespace {
constinit thread_local WakeLater* outermost = nullptr;
}  // namespace

void Sleeper::wake() {
  if (outermost == nullptr) {
    work::system_call();
    return wake_now();
  }
  // Another thread has put off a wake of this sleeper and has not done it yet. That wake comes after this work is in its place, so it
  // will do.
  if (put_off_.exchange(true)) return;
  next_ = std::exchange(outermost->first_, this);
}

WakeLater::WakeLater() : outermost_(outermost == nullptr) {
  if (outermost_) outermost = this;
}

WakeLater::~WakeLater() {
  if (!outermost_) return;
  outermost = nullptr;
  while (first_ != nullptr) {
    Sleeper& sleeper = *std::exchange(first_, first_->next_);
    sleeper.put_off_.store(false);
    work::system_call();
    sleeper.wake_now();
  }
}

}  // namespace pinfold
