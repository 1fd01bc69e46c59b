#pragma once
// The thread that writes a log: one for the operator's (server/operator_log), one for the audit log (base/audit_log). Each has a thread of
// its own so that a disk that hangs or is full, or a pipe that nobody reads, holds up nobody: not clients, not the background worker, not
// new connections, not the end of the server.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "pinfold/base/log_lines.hpp"
#include "pinfold/base/sleeper.hpp"
#include "pinfold/server/log_file.hpp"

namespace pinfold::server {

/// start() and stop() are for the main thread, wake() (Sleeper) and reopen() for any. `lines` must outlive it.
class LogWriter final : public Sleeper {
 public:
  /// What is told to somebody. Called by the writer's thread.
  struct Events {
    std::function<void(const std::optional<std::string>& error)> opened_anew;  // with an error, it goes on in the old file
    std::function<void(const std::string& error)> fails;                       // once, when writes begin to fail
    std::function<void()> works_again;
  };

  /// `patience`: how long stop() waits for a write that does not return.
  LogWriter(LogLines& lines, std::shared_ptr<LogFile> file, std::chrono::milliseconds patience, Events events)
      : log_(lines), file_(std::move(file)), patience_(patience), events_(std::move(events)) {}
  ~LogWriter() override { static_cast<void>(stop()); }
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  void start();
  /// Writes what waits, if that is possible, and ends the thread. Returns false if a write does not return: then the thread is still
  /// there, and neither this object nor the lines may be destroyed.
  [[nodiscard]] bool stop();
  /// Opens the file anew before the next line, and then tries to write at once.
  void reopen();

 private:
  void run();
  void work(bool last);
  void wake_now() override;
  bool write_waiting();
  void tell(bool written);

  LogLines& log_;
  const std::shared_ptr<LogFile> file_;
  const std::chrono::milliseconds patience_;
  const Events events_;
  std::vector<std::string> lines_;  // taken, and not written before the line `next_`
  std::size_t next_ = 0;
  bool failing_ = false;
  std::atomic<bool> reopen_{false};
  std::mutex mutex_;  // guards the next three
  bool woken_ = false;
  bool stopping_ = false;
  bool stopped_ = false;
  std::condition_variable changed_;
  std::thread thread_;
};

}  // namespace pinfold::server
