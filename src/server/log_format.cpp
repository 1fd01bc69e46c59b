#include "pinfold/server/log_format.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>

#include "pinfold/base/json.hpp"

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

std::string log_line(bool json, std::chrono::system_clock::time_point at, spdlog::level::level_enum level, std::string_view text) {
  constexpr std::size_t longest_text = 8 * 1024;
  std::string_view name = "warning";  // what spdlog calls an error
  for (const LevelRow& row : kLevels) {
    if (row.theirs == level) name = row.name;
  }
  const std::string shown = presentable(text, longest_text);
  if (!json) return shown_time(at).append(" ").append(name).append(" ").append(shown).append("\n");
  JsonWriter line;
  line.begin_object().add("time", shown_time(at)).add("level", name).add("message", shown).end_object();
  return std::move(line).text().append("\n");
}

}  // namespace pinfold::server
