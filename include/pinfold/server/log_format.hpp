#pragma once
// The form of the log's lines (log-format):
//
//   2026-05-01T10:00:00.123+00:00 warning closing client 7 ...
//   {"time":"2026-05-01T10:00:00.123+00:00","level":"warning","message":"closing client 7 ..."}
//
// Levels have the names of the setting loglevel: debug, verbose, notice, warning. No text can break a line: control characters are
// escaped, in JSON all bytes that are no printable ASCII.

#include <atomic>
#include <memory>

#include <spdlog/formatter.h>

#include "pinfold/base/event_log.hpp"

namespace pinfold::server {

/// The level of spdlog that stands for one of ours.
spdlog::level::level_enum spdlog_level(EventLog::Level level);

/// Thread-safe.
class LogFormat final : public spdlog::formatter {
 public:
  /// `json` may change while the formatter is in use; its clones share it.
  explicit LogFormat(std::shared_ptr<const std::atomic<bool>> json) : json_(std::move(json)) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& to) override;
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<LogFormat>(json_); }

 private:
  const std::shared_ptr<const std::atomic<bool>> json_;
};

}  // namespace pinfold::server
