#include "pinfold/server/log_file.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

namespace pinfold::server {

std::optional<std::string> LogFile::open() {
  std::unique_ptr<std::FILE, Close> opened(std::fopen(path_.c_str(), "ae"));
  if (opened == nullptr) return "cannot write the log: " + path_ + ": " + std::strerror(errno);
  const std::lock_guard lock(mutex_);
  file_ = std::move(opened);
  return std::nullopt;
}

void LogFile::sink_it_(const spdlog::details::log_msg& message) {
  spdlog::memory_buf_t line;
  formatter_->format(message, line);
  std::fwrite(line.data(), 1, line.size(), file_.get());
}

void LogFile::flush_() { std::fflush(file_.get()); }

}  // namespace pinfold::server
