#include "pinfold/server/background.hpp"

#include <algorithm>
#include <chrono>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "pinfold/command/diagnosis.hpp"
#include "pinfold/command/figures.hpp"
#include "pinfold/server/log_format.hpp"
#include "pinfold/store/lock_account.hpp"

namespace pinfold::server {

namespace {
// The share of one core that the worker may take: a quarter by default, as Redis' active expiry, and seven tenths at the highest effort.
std::int64_t share_percent(std::int64_t effort) { return 20 + 5 * effort; }

// What fails for want of memory is done the next time.
template <class Work>
void unless_memory_is_short(Work&& work) {
  try {
    work();
  } catch (const std::bad_alloc&) {
  }
}
}  // namespace

void Background::start() {
  engine_.keyspace.set_background(this);
  resident_at_start_ = command::resident_memory();
  thread_ = std::thread([this] { run(); });
}

void Background::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  engine_.keyspace.set_background(nullptr);  // the keyspace and the engine are destroyed after this, and still lock shards
  write_events(true);
}

void Background::wake_now() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_all();
}

// Works for about `budget_us` microseconds. Returns true if more work is waiting.
bool Background::step(std::int64_t budget_us) {
  const MonoMs now = monotonic_ms();
  if (engine_.cache.next_alarm() <= now) engine_.cache.run_alarms(now);
  engine_.cache.tell_waiting();
  store::BackgroundTimes times;
  const bool more = engine_.keyspace.background_step(unix_ms(), budget_us, &times);
  note_latencies(times);
  engine_.cache.tell_finished();
  engine_.tracking.announce_orphans();
  const bool left = engine_.keyspace_events.publish_left();
  return engine_.working_set.step() || more || left;
}

void Background::note_latencies(const store::BackgroundTimes& times) {
  using Event = command::LatencyMonitor::Event;
  const std::int64_t threshold = engine_.settings.integer(config::Id::latency_monitor_threshold);
  if (threshold <= 0) return;
  const auto note = [&](Event event, std::int64_t us) {
    if (us / 1000 >= threshold) engine_.latency.add(event, static_cast<std::uint64_t>(us / 1000), unix_ms() / 1000);
  };
  note(Event::eviction_cycle, times.evicting_us);
  note(Event::expire_cycle, times.expiring_us);
}

// Passes the lines that threads have noted on to the log. With `all`, at the end of the server, also how many were left out in this second.
void Background::write_events(bool all) {
  for (const EventLog::Line& line : engine_.events.take(all)) {
    const auto level = spdlog_level(EventLog::level_of(line.kind));
    spdlog::default_logger_raw()->log(line.at, spdlog::source_loc{}, level, line.text);
  }
}

// A line for the log about the last second, if anything was removed in it. Locks the shards one after the other.
void Background::tell_of_work() {
  constexpr std::int64_t second_us = 1'000'000;
  const std::int64_t now = monotonic_us();
  if (!engine_.events.wants(EventLog::Kind::background) || now - told_us_ < second_us) return;
  const store::KeyspaceStats keys = engine_.keyspace.stats();
  // After CONFIG RESETSTAT the counts begin anew.
  const std::uint64_t expired = keys.expired - std::min(keys.expired, told_expired_);
  const std::uint64_t evicted = keys.evicted - std::min(keys.evicted, told_evicted_);
  const std::int64_t worked_ms = std::exchange(worked_us_, 0) / 1000;
  told_us_ = now;
  told_expired_ = keys.expired;
  told_evicted_ = keys.evicted;
  if (expired == 0 && evicted == 0) return;
  engine_.events.note(EventLog::Kind::background, [&] {
    return "since the last such line " + std::to_string(expired) + " keys have expired and " + std::to_string(evicted) +
           " were evicted; the background worker was busy for " + std::to_string(worked_ms) + " ms";
  });
}

void Background::tend_cache() {
  engine_.cache.tend(monotonic_ms());
  engine_.cache.tracking.tend(unix_ms());
  engine_.tracking.announce_orphans();
  reminder_.look(monotonic_ms());
}

// Keeps the figures that later ones are compared with.
void Background::keep_figures(std::int64_t now_us) {
  const store::HoldCause cause("keep-figures");
  if (engine_.history.is_due(now_us)) engine_.history.add(now_us, command::collect_for_diagnosis(engine_));
}

void Background::tend_working_set() {
  std::vector<std::uint64_t> busy_ns;
  for (unsigned i = 0; i < engine_.stats.thread_count(); ++i) busy_ns.push_back(engine_.stats.busy_ns(i));
  engine_.working_set.tick(engine_.settings.flag(config::Id::metrics), monotonic_ms(), busy_ns);
}

void Background::run() {
  using std::chrono::microseconds;
  // Slices of work are this short, so that a request does not wait long if the worker has its core.
  constexpr std::int64_t slice_us = 250;
  constexpr std::int64_t measured_every_us = 5000;
  std::int64_t measured_us = 0;
  std::int64_t sampled_us = 0;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    woken_ = false;
    lock.unlock();
    const std::int64_t start = monotonic_us();
    bool more = false;
    unless_memory_is_short([&] { more = step(slice_us); });
    const std::int64_t worked = monotonic_us() - start;
    worked_us_ += worked;
    const std::int64_t period_us = 1'000'000 / std::max<std::int64_t>(engine_.settings.integer(config::Id::hz), 1);
    if (start - measured_us >= measured_every_us) {
      const std::uint64_t resident = command::resident_memory();
      engine_.keyspace.memory().observe_growth(resident - std::min(resident, resident_at_start_), engine_.clients.idle_bytes());
      measured_us = start;
    }
    if (start - sampled_us >= period_us) {
      engine_.rates.sample(engine_.stats, start);
      unless_memory_is_short([&] { tend_cache(); });
      tell_of_work();
      unless_memory_is_short([&] { keep_figures(start); });
      write_events();
      unless_memory_is_short([&] { tend_working_set(); });
      sampled_us = start;
    }
    lock.lock();
    // The worker rests between slices, so that it takes only its share of one core.
    const std::int64_t percent = share_percent(engine_.settings.integer(config::Id::active_expire_effort));
    // It rests no longer than until the next alarm, so that clients do not wait for a lease that has run out.
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
