#pragma once
// The one thread that does what no request should wait for: taking back expired and dead memory, sampling rates.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

#include "pinfold/base/sleeper.hpp"
#include "pinfold/command/engine.hpp"

namespace pinfold::server {

class Background final : public Sleeper {
 public:
  explicit Background(command::Engine& engine) : engine_(engine) {}
  ~Background() { stop(); }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  void start();
  void stop();

 private:
  void run();
  bool step(std::int64_t budget_us);
  void tend_cache();
  void write_events(bool all = false);
  void wake_now() override;

  command::Engine& engine_;
  std::uint64_t resident_at_start_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace pinfold::server
