#include "pinfold/server/log_writer.hpp"

#include <climits>
#include <new>

namespace pinfold::server {

void LogWriter::start() {
  thread_ = std::thread([this] { run(); });
}

bool LogWriter::stop() {
  if (!thread_.joinable()) return true;
  {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    if (!changed_.wait_for(lock, patience_, [this] { return stopped_; })) return false;
  }
  thread_.join();
  return true;
}

void LogWriter::reopen() {
  reopen_.store(true);
  wake_now();
}

void LogWriter::wake_now() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_all();
}

// Writes the lines that were taken. Returns false if they cannot all be written now.
bool LogWriter::write_waiting() {
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

void LogWriter::tell(bool written) {
  log_.report(written, 0);
  if (failing_ == !written) return;
  failing_ = !written;
  if (failing_) {
    events_.fails(file_->error());
  } else {
    events_.works_again();
  }
}

// What fails for want of memory is tried again. `last`: the server stops.
void LogWriter::work(bool last) {
  try {
    if (reopen_.exchange(false)) events_.opened_anew(file_->open());
    if (lines_.empty()) lines_ = log_.take(last);
    tell(write_waiting());
  } catch (const std::bad_alloc&) {
  }
}

void LogWriter::run() {
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
