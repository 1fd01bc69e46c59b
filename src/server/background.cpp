#include "pinfold/server/background.hpp"

#include <algorithm>
#include <chrono>
#include <new>

#include <spdlog/spdlog.h>

#include "pinfold/command/memory_report.hpp"

namespace pinfold::server {

namespace {
// A quarter of one core at most by default, as Redis' active expiry; seven tenths at the highest effort.
std::int64_t share_percent(std::int64_t effort) { return 20 + 5 * effort; }
}  // namespace

void Background::start() {
  engine_.keyspace.on_work([this] { wake(); });
  engine_.cache.wake = [this] { wake(); };
  resident_at_start_ = command::resident_memory();
  thread_ = std::thread([this] { run(); });
}

void Background::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  write_events(true);
}

void Background::wake_now() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_all();
}

// True if more work is waiting. What cannot be done for want of memory is tried again later.
bool Background::step(std::int64_t budget_us) {
  try {
    const MonoMs now = monotonic_ms();
    if (engine_.cache.next_alarm() <= now) engine_.cache.run_alarms(now);
    engine_.cache.tell_waiting();
    const bool more = engine_.keyspace.background_step(unix_ms(), budget_us);
    engine_.cache.tell_finished();
    return more;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

// Writes what threads have noted for the log; at the end also how much was left out of it in the last second.
void Background::write_events(bool all) {
  for (const EventLog::Line& line : engine_.events.take(all)) {
    const auto level = EventLog::warns(line.kind) ? spdlog::level::warn : spdlog::level::info;
    spdlog::default_logger_raw()->log(line.at, spdlog::source_loc{}, level, line.text);
  }
}

void Background::tend_cache() {
  try {
    engine_.cache.tend(monotonic_ms());
  } catch (const std::bad_alloc&) {  // the next time
  }
}

void Background::run() {
  using std::chrono::microseconds;
  // Work comes in slices this short, so that a request that finds the core taken does not wait long.
  constexpr std::int64_t slice_us = 250;
  constexpr std::int64_t measured_every_us = 5000;
  std::int64_t measured_us = 0;
  std::int64_t sampled_us = 0;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    woken_ = false;
    lock.unlock();
    const std::int64_t start = monotonic_us();
    const bool more = step(slice_us);
    const std::int64_t worked = monotonic_us() - start;
    const std::int64_t period_us = 1'000'000 / std::max<std::int64_t>(engine_.settings.integer(config::Id::hz), 1);
    if (start - measured_us >= measured_every_us) {
      const std::uint64_t resident = command::resident_memory();
      engine_.keyspace.memory().observe_growth(resident - std::min(resident, resident_at_start_), engine_.clients.idle_bytes());
      measured_us = start;
    }
    if (start - sampled_us >= period_us) {
      engine_.rates.sample(engine_.stats, start);
      tend_cache();
      write_events();
      sampled_us = start;
    }
    lock.lock();
    // However much there is to do, only a share of one core goes into it.
    const std::int64_t percent = share_percent(engine_.settings.integer(config::Id::active_expire_effort));
    // But a lease that runs out is not to be waited for.
    const auto until_alarm = [this] {
      return microseconds(std::clamp<std::int64_t>(engine_.cache.next_alarm() - monotonic_ms(), 0, 1000) * 1000);
    };
    const auto rest = microseconds(worked * (100 - percent) / percent);
    changed_.wait_for(lock, std::min(rest, until_alarm()), [this] { return stopping_; });
    if (more) continue;
    changed_.wait_for(lock, std::min(microseconds(period_us), until_alarm()), [this] { return stopping_ || woken_; });
  }
}

}  // namespace pinfold::server
