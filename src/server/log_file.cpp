#include "pinfold/server/log_file.hpp"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

namespace pinfold::server {

LogFile::~LogFile() {
  if (fd_ >= 0) ::close(fd_);
}

std::optional<std::string> LogFile::open() {
  const bool is_file = !path_.empty();
  const int opened =
      is_file ? ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, permissions_) : ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
  if (opened < 0) {
    const std::string error = std::generic_category().message(errno);
    return "cannot write the log (" + setting_ + "): " + (is_file ? path_ : "standard output") + ": " + error;
  }
  const std::lock_guard lock(mutex_);
  if (fd_ >= 0) ::close(fd_);
  fd_ = opened;
  rest_begun_ = 0;  // the new file gets the whole of a line that the old one has in part
  return std::nullopt;
}

// Writes as much as the file takes.
std::size_t LogFile::write_some(std::string_view text) {
  std::size_t written = 0;
  error_ = 0;
  while (written < text.size() && error_ == 0) {
    const ssize_t size = ::write(fd_, text.data() + written, text.size() - written);
    if (size > 0) {
      written += static_cast<std::size_t>(size);
    } else if (size == 0) {
      error_ = ENOSPC;
    } else if (errno != EINTR) {
      error_ = errno;
    }
  }
  return written;
}

bool LogFile::write_rest() {
  rest_begun_ += write_some(std::string_view(rest_).substr(rest_begun_));
  if (rest_begun_ < rest_.size()) return false;
  rest_.clear();
  rest_begun_ = 0;
  return true;
}

bool LogFile::write_locked(std::string_view lines) {
  if (!rest_.empty() && !write_rest()) return false;
  const std::size_t written = write_some(lines);
  if (written == lines.size()) return true;
  if (written == 0) return false;
  const std::size_t line_break = lines.substr(0, written).rfind('\n');
  const std::size_t begin = line_break == std::string_view::npos ? 0 : line_break + 1;
  rest_ = lines.substr(begin);
  rest_begun_ = written - begin;
  return true;
}

bool LogFile::write(std::string_view lines) {
  const std::lock_guard lock(mutex_);
  return write_locked(lines);
}

bool LogFile::complete() {
  const std::lock_guard lock(mutex_);
  return rest_.empty();
}

std::string LogFile::error() {
  const std::lock_guard lock(mutex_);
  return std::generic_category().message(error_);
}

void LogFile::sink_it_(const spdlog::details::log_msg& message) {
  spdlog::memory_buf_t line;
  formatter_->format(message, line);
  static_cast<void>(write_locked({line.data(), line.size()}));
}

}  // namespace pinfold::server
