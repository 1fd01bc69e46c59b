#include "pinfold/server/background.hpp"

#include <algorithm>
#include <chrono>

namespace pinfold::server {

void Background::start() {
  thread_ = std::thread([this] { run(); });
}

void Background::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Background::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const std::int64_t period_us = 1'000'000 / std::max<std::int64_t>(engine_.settings.integer(config::Id::hz), 1);
    const std::int64_t start = monotonic_us();
    // A quarter of one core at most, as Redis' active expiry; less if there is less to do.
    engine_.keyspace.background_step(unix_ms(), period_us / 4);
    engine_.rates.sample(engine_.stats, monotonic_us());
    const std::int64_t left = period_us - (monotonic_us() - start);
    lock.lock();
    wake_.wait_for(lock, std::chrono::microseconds(std::max<std::int64_t>(left, 1000)), [this] { return stopping_; });
  }
}

}  // namespace pinfold::server
