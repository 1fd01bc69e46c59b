#pragma once
// The background worker: one thread for work that no request should wait for. It removes expired entries, frees dead memory,
// sweeps for purges, answers leases that run out, samples rates, simulates caches of other sizes and passes on what threads have
// noted for the log.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

#include "pinfold/base/sleeper.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/server/switch_reminder.hpp"

namespace pinfold::server {

/// start() and stop() are for the main thread; wake() (Sleeper) for any.
class Background final : public Sleeper {
 public:
  explicit Background(command::Engine& engine) : engine_(engine), reminder_(engine) {}
  ~Background() override { stop(); }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  /// To be called before other threads use the keyspace.
  void start();
  /// Ends the worker and writes the last lines of the log. Nobody wakes it from then on but threads that are about to: it is to be
  /// destroyed when they have ended. Does nothing if the worker has ended or was not started.
  void stop();

 private:
  void run();
  bool step(std::int64_t budget_us);
  void note_latencies(const store::BackgroundTimes& times);
  void tend_cache();
  void tell_of_work();
  void keep_figures(std::int64_t now_us);
  void tend_working_set();
  void write_events(bool all = false);
  void wake_now() override;

  command::Engine& engine_;
  SwitchReminder reminder_;
  std::uint64_t resident_at_start_ = 0;
  // For tell_of_work().
  std::int64_t worked_us_ = 0;  // since it was called last
  std::int64_t told_us_ = 0;
  std::uint64_t told_expired_ = 0;
  std::uint64_t told_evicted_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace pinfold::server
