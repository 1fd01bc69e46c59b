#include "pinfold/base/sleeper.hpp"

#include <memory>
#include <thread>

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"

using namespace pinfold;

namespace {
class Counted final : public Sleeper {
 public:
  int woken = 0;

 private:
  void wake_now() override { ++woken; }
};
}  // namespace

TEST_CASE("a wake happens at once, or once for all wakes at the end of the outermost WakeLater") {
  Counted first;
  Counted second;
  first.wake();
  CHECK(first.woken == 1);
  {
    const work::Counting counting;
    auto outer = std::make_unique<WakeLater>();
    {
      const WakeLater inner;
      first.wake();
      second.wake();
      first.wake();
    }
    first.wake();
    CHECK(first.woken == 1);
    CHECK(second.woken == 0);
    CHECK(counting.counts().system_calls == 0);
    outer.reset();
    CHECK(counting.counts().system_calls == 2);
  }
  CHECK(first.woken == 2);
  CHECK(second.woken == 1);
  first.wake();
  CHECK(first.woken == 3);
}

TEST_CASE("a WakeLater of one thread does not put off the wakes of another thread") {
  Counted sleeper;
  const WakeLater later;
  std::thread other([&] { sleeper.wake(); });
  other.join();
  CHECK(sleeper.woken == 1);
}
