#pragma once
// The form of the log's lines (log-format):
//
//   2026-05-01T10:00:00.123+00:00 warning closing client 7 ...
//   {"time":"2026-05-01T10:00:00.123+00:00","level":"warning","message":"closing client 7 ..."}
//
// Levels have the names of the setting loglevel: debug, verbose, notice, warning. No text can break a line or change how its reader sees
// it: it is shown as presentable() of base/json says, in both forms.

#include <chrono>
#include <string>
#include <string_view>

#include <spdlog/common.h>

#include "pinfold/base/event_log.hpp"

namespace pinfold::server {

/// The level of spdlog that stands for one of ours.
spdlog::level::level_enum spdlog_level(EventLog::Level level);

/// The line with its line break. Of a longer text, about 8 KB are shown. Throws std::bad_alloc.
std::string log_line(bool json, std::chrono::system_clock::time_point at, spdlog::level::level_enum level, std::string_view text);

}  // namespace pinfold::server
