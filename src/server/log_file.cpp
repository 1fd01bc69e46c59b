#include "pinfold/server/log_file.hpp"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace pinfold::server {

LogFile::~LogFile() {
  if (fd_ >= 0) ::close(fd_);
}

// Opening a FIFO waits until somebody reads it, unless it is told not to. Writing may wait: that holds up nobody but the thread that
// writes, and a line is then never cut.
int LogFile::open_path() const {
  const int opened = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, permissions_);
  if (opened >= 0) ::fcntl(opened, F_SETFL, O_APPEND);
  return opened;
}

std::optional<std::string> LogFile::open() {
  const int opened = is_standard_output() ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0) : open_path();
  if (opened < 0) {
    const std::string error = errno == ENXIO ? "no process reads it, and a FIFO needs one" : std::generic_category().message(errno);
    return "cannot write the log (" + setting_ + "): " + (is_standard_output() ? "standard output" : path_) + ": " + error;
  }
  if (fd_ >= 0) ::close(fd_);
  fd_ = opened;
  rest_begun_ = 0;  // the new file gets the whole of a line that the old one has in part
  return std::nullopt;
}

// Writes as much as the file takes. Standard output may be a pipe or a terminal that another process has told not to block.
std::size_t LogFile::write_some(std::string_view text) {
  std::size_t written = 0;
  error_ = 0;
  while (written < text.size() && error_ == 0) {
    const ssize_t size = ::write(fd_, text.data() + written, text.size() - written);
    if (size > 0) {
      written += static_cast<std::size_t>(size);
    } else if (size == 0) {
      error_ = ENOSPC;
    } else if (errno == EAGAIN) {
      pollfd room{.fd = fd_, .events = POLLOUT, .revents = 0};
      ::poll(&room, 1, -1);
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

bool LogFile::write(std::string_view lines) {
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

std::string LogFile::error() const { return std::generic_category().message(error_); }

}  // namespace pinfold::server
