#pragma once
// The log of the operator, between spdlog and the file. At the start of the server its lines are written at once, so that they are on the
// terminal if the start fails. From start() on, no thread that logs a line writes it: lines wait for the log's writer, of which
// nobody waits. What finds no room is counted, and a line says how many are missing where they would stand.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <spdlog/sinks/sink.h>

#include "pinfold/base/log_counts.hpp"
#include "pinfold/base/log_lines.hpp"
#include "pinfold/base/sleeper.hpp"
#include "pinfold/server/log_file.hpp"

namespace pinfold::server {

/// Thread-safe.
class OperatorLog final : public spdlog::sinks::sink, public LogLines {
 public:
  static constexpr std::size_t most_waiting = 1024;
  /// With what each takes beside its text. The writer may have as much again.
  static constexpr std::size_t most_waiting_bytes = 256 * 1024;

  explicit OperatorLog(std::shared_ptr<LogFile> file) : file_(std::move(file)) {}

  /// From now on lines wait for `writer`, which is woken when the first one does, and are counted in `counts`. Both must outlive all
  /// threads that log. Called before there are other threads.
  void start(Sleeper& writer, LogCounts& counts);
  void set_json(bool on) { json_.store(on, std::memory_order_relaxed); }
  /// Counts a line that could not be made.
  void lose();

  // As a sink. O(length of the line), without a system call but for waking the writer.
  void log(const spdlog::details::log_msg& message) override;
  void flush() override {}
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

  // For the writer.
  std::vector<std::string> take(bool last) override;
  void report(bool written, std::uint64_t lines) override;

 private:
  void write_now(const std::string& line);
  bool add(std::string line);

  const std::shared_ptr<LogFile> file_;  // the writer's after start()
  std::atomic<bool> json_{false};
  Sleeper* writer_ = nullptr;
  LogCounts at_start_;
  LogCounts* counts_ = &at_start_;
  std::atomic<std::uint64_t> lost_untold_{0};
  std::mutex mutex_;  // guards the next two
  std::vector<std::string> waiting_;
  std::size_t waiting_bytes_ = 0;
};

}  // namespace pinfold::server
