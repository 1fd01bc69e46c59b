#include "pinfold/server/log_format.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <limits>
#include <string>
#include <string_view>

#include "pinfold/base/json.hpp"
#include "pinfold/base/text.hpp"

namespace pinfold::server {

namespace {

struct LevelRow {
  EventLog::Level level;
  spdlog::level::level_enum theirs;
  std::string_view name;
};
// In the order of EventLog::Level.
constexpr LevelRow kLevels[] = {
    {EventLog::Level::debug, spdlog::level::trace, "debug"},
    {EventLog::Level::verbose, spdlog::level::debug, "verbose"},
    {EventLog::Level::notice, spdlog::level::info, "notice"},
    {EventLog::Level::warning, spdlog::level::warn, "warning"},
};

// Local time with its distance from UTC: "2026-05-01T10:00:00.123+02:00".
std::string shown_time(std::chrono::system_clock::time_point at) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count();
  const std::time_t seconds = ms / 1000;
  std::tm local{};
  localtime_r(&seconds, &local);
  std::array<char, 64> day{};
  std::strftime(day.data(), day.size(), "%Y-%m-%dT%H:%M:%S", &local);
  const long minutes = local.tm_gmtoff / 60;
  std::array<char, 96> text{};
  const int size = std::snprintf(text.data(), text.size(), "%s.%03d%c%02ld:%02ld", day.data(), static_cast<int>(ms % 1000),
                                 minutes < 0 ? '-' : '+', std::labs(minutes) / 60, std::labs(minutes) % 60);
  return {text.data(), static_cast<std::size_t>(size)};
}

}  // namespace

spdlog::level::level_enum spdlog_level(EventLog::Level level) { return kLevels[static_cast<std::size_t>(level)].theirs; }

void LogFormat::format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& to) {
  std::string_view level = "warning";  // what spdlog calls an error
  for (const LevelRow& row : kLevels) {
    if (row.theirs == message.level) level = row.name;
  }
  const std::string_view text(message.payload.data(), message.payload.size());
  std::string line;
  if (json_->load(std::memory_order_relaxed)) {
    line.append("{\"time\":\"").append(shown_time(message.time)).append("\",\"level\":\"").append(level).append("\",\"message\":\"");
    append_json_bytes(line, text, std::numeric_limits<std::size_t>::max());
    line.append("\"}\n");
  } else {
    line.append(shown_time(message.time)).append(" ").append(level).append(" ").append(one_line(text)).append("\n");
  }
  to.append(line.data(), line.data() + line.size());
}

}  // namespace pinfold::server
