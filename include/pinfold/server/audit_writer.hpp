#pragma once
// The thread that writes the audit log (base/audit_log.hpp). It has a thread of its own so that a disk that hangs or is full holds up
// nobody: not clients, not the background worker, not new connections.

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "pinfold/base/audit_log.hpp"
#include "pinfold/base/sleeper.hpp"
#include "pinfold/server/log_file.hpp"

namespace pinfold::server {

/// start() and stop() are for the main thread, wake() (Sleeper) and reopen() for any. `log` must outlive it.
class AuditWriter final : public Sleeper {
 public:
  AuditWriter(AuditLog& log, std::shared_ptr<LogFile> file) : log_(log), file_(std::move(file)) {}
  ~AuditWriter() override { static_cast<void>(stop()); }
  AuditWriter(const AuditWriter&) = delete;
  AuditWriter& operator=(const AuditWriter&) = delete;

  void start();
  /// Writes what waits, if that is possible, and ends the thread. Returns false if a write does not return within ten seconds: then
  /// the thread is still there, and neither this object nor the log may be destroyed.
  [[nodiscard]] bool stop();
  /// Opens the file anew before the next line, and then tries to write at once.
  void reopen();

 private:
  void run();
  void work(bool last);
  void wake_now() override;
  void open_anew();
  bool write_waiting();
  void tell(bool written);

  AuditLog& log_;
  const std::shared_ptr<LogFile> file_;
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
