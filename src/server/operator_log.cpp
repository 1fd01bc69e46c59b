#include "pinfold/server/operator_log.hpp"

#include <chrono>
#include <new>

#include "pinfold/server/log_format.hpp"

namespace pinfold::server {

namespace {
constexpr auto relaxed = std::memory_order_relaxed;
}  // namespace

void OperatorLog::start(Sleeper& writer, LogCounts& counts) {
  counts.written.fetch_add(at_start_.written.load(relaxed), relaxed);
  counts.lost.fetch_add(at_start_.lost.load(relaxed), relaxed);
  counts_ = &counts;
  writer_ = &writer;
}

void OperatorLog::lose() {
  counts_->lost.fetch_add(1, relaxed);
  lost_untold_.fetch_add(1, relaxed);
}

void OperatorLog::write_now(const std::string& line) {
  if (!file_->write(line)) return lose();
  counts_->written.fetch_add(1, relaxed);
}

// Returns whether it is the first line that waits.
bool OperatorLog::add(std::string line) {
  const std::size_t bytes = line.size() + sizeof(std::string) + 32;
  const std::lock_guard lock(mutex_);
  if (waiting_.size() >= most_waiting || waiting_bytes_ + bytes > most_waiting_bytes) {
    counts_->full.store(true, relaxed);
    lose();
    return false;
  }
  waiting_.push_back(std::move(line));
  waiting_bytes_ += bytes;
  return waiting_.size() == 1;
}

void OperatorLog::log(const spdlog::details::log_msg& message) {
  try {
    std::string line = log_line(json_.load(relaxed), message.time, message.level, {message.payload.data(), message.payload.size()});
    if (writer_ == nullptr) return write_now(line);
    if (add(std::move(line))) writer_->wake();
  } catch (const std::bad_alloc&) {
    lose();
  }
}

// What is missing is missing behind the lines that waited.
std::vector<std::string> OperatorLog::take(bool) {
  std::vector<std::string> lines;
  const std::lock_guard lock(mutex_);
  lines.swap(waiting_);
  waiting_bytes_ = 0;
  counts_->full.store(false, relaxed);
  const std::uint64_t lost = lost_untold_.load(relaxed);
  if (lost == 0) return lines;
  try {
    lines.push_back(log_line(json_.load(relaxed), std::chrono::system_clock::now(), spdlog::level::warn,
                             std::to_string(lost) + (lost == 1 ? " line of the log was" : " lines of the log were") +
                                 " lost here: it could not be written, or not as fast as they came"));
    lost_untold_.fetch_sub(lost, relaxed);
  } catch (const std::bad_alloc&) {  // told the next time
  }
  return lines;
}

void OperatorLog::report(bool written, std::uint64_t lines) {
  counts_->failed.store(!written, relaxed);
  counts_->written.fetch_add(lines, relaxed);
}

}  // namespace pinfold::server
