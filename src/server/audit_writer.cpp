#include "pinfold/server/audit_writer.hpp"

#include <chrono>
#include <climits>
#include <new>
#include <optional>

#include <spdlog/spdlog.h>

namespace pinfold::server {

void AuditWriter::start() {
  log_.start(*this);
  thread_ = std::thread([this] { run(); });
}

bool AuditWriter::stop() {
  constexpr auto patience = std::chrono::seconds(10);
  if (!thread_.joinable()) return true;
  {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    if (!changed_.wait_for(lock, patience, [this] { return stopped_; })) return false;
  }
  thread_.join();
  return true;
}

void AuditWriter::reopen() {
  reopen_.store(true);
  wake_now();
}

void AuditWriter::wake_now() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_all();
}

void AuditWriter::open_anew() {
  if (const std::optional<std::string> failed = file_->open()) {
    spdlog::warn("SIGHUP: audit log: {}; it goes on in the old file", *failed);
    return;
  }
  spdlog::info("SIGHUP: the audit log was opened anew");
  log_.note(AuditLog::Kind::server, [](AuditLine& line) { line.add("action", "opened anew"); });
}

// Writes the lines that were taken. Returns false if they cannot all be written now.
bool AuditWriter::write_waiting() {
  std::string chunk;
  while (next_ < lines_.size()) {
    // A pipe takes so many bytes at once or none of them, so nothing that others write to it comes in between.
    std::size_t end = next_;
    chunk.clear();
    do {
      chunk += lines_[end++];
    } while (end < lines_.size() && chunk.size() + lines_[end].size() <= PIPE_BUF);
    if (!file_->write(chunk)) return false;
    log_.report(true, end - next_);
    next_ = end;
  }
  lines_.clear();
  next_ = 0;
  return file_->complete() || file_->write({});
}

void AuditWriter::tell(bool written) {
  log_.report(written, 0);
  if (failing_ == !written) return;
  failing_ = !written;
  if (failing_) {
    spdlog::warn("the audit log cannot be written: {}; lines wait, and those that find no room are counted", file_->error());
  } else {
    spdlog::info("the audit log can be written again");
  }
}

// What fails for want of memory is tried again. `last`: the server stops.
void AuditWriter::work(bool last) {
  try {
    if (reopen_.exchange(false)) open_anew();
    if (lines_.empty()) lines_ = log_.take(last);
    tell(write_waiting());
  } catch (const std::bad_alloc&) {
  }
}

void AuditWriter::run() {
  constexpr auto look_again = std::chrono::seconds(1);  // for lines that were left out, and for a disk that has room again
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    // While it fails, new lines are no reason to try again.
    changed_.wait_for(lock, look_again, [this] { return stopping_ || reopen_.load() || (woken_ && !failing_); });
    woken_ = false;
    lock.unlock();
    work(false);
    lock.lock();
  }
  lock.unlock();
  work(true);
  if (!failing_) work(true);  // what was noted while the first was writing
  lock.lock();
  stopped_ = true;
  changed_.notify_all();
}

}  // namespace pinfold::server
