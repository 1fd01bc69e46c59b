#include "pinfold/base/sleeper.hpp"

#include <cassert>
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

void WakeLater::afterwards(void (*work)()) {
  if (outermost == nullptr) return work();
  for (auto& one : outermost->works_) {
    if (one == nullptr || one == work) {
      one = work;
      return;
    }
  }
  assert(false && "most_works is too small");
}

WakeLater::WakeLater() : outermost_(outermost == nullptr) {
  if (outermost_) outermost = this;
}

WakeLater::~WakeLater() {
  if (!outermost_) return;
  outermost = nullptr;
  for (void (*const work)() : works_) {
    if (work != nullptr) work();
  }
  while (first_ != nullptr) {
    Sleeper& sleeper = *std::exchange(first_, first_->next_);
    sleeper.put_off_.store(false);
    work::system_call();
    sleeper.wake_now();
  }
}

}  // namespace pinfold
