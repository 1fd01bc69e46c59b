#pragma once
// A file of lines that only grows: the log, or the audit log. It can be opened anew while it is in use, because programs that rotate
// logs rename the file and send SIGHUP. Thread-safe.
//
// A full disk may take only the first part of a line. The rest is kept, and written before anything else once there is room, so
// that no line is broken and none is joined to another.

#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

#include <spdlog/sinks/base_sink.h>

namespace pinfold::server {

class LogFile : public spdlog::sinks::base_sink<std::mutex> {
 public:
  /// `setting` is the name of the setting that names the file, for errors. An empty path is standard output. A file that does not exist is
  /// created with `permissions`, less the process' umask.
  LogFile(std::string_view setting, std::string path, mode_t permissions = 0666)
      : setting_(setting), path_(std::move(path)), permissions_(permissions) {}
  ~LogFile() override;

  /// Opens the file at its path, to append to it. Returns an error, or nothing. After an error, the file that was open before stays in
  /// use.
  std::optional<std::string> open();

  /// Appends lines, each with its line break. Returns false if they were not taken, not even in part, because they cannot be
  /// written now. With no lines, it only writes what is left. May take as long as the disk does.
  bool write(std::string_view lines);
  /// Whether all that was taken has been written.
  bool complete();
  /// Why the last write() has failed or is incomplete.
  std::string error();

 protected:
  /// A line that cannot be written is dropped: a server does not stop because of its log.
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override {}

 private:
  bool write_locked(std::string_view lines);
  bool write_rest();
  std::size_t write_some(std::string_view text);

  const std::string setting_;
  const std::string path_;
  const mode_t permissions_;
  int fd_ = -1;
  std::string rest_;            // the lines of which a part has been written, from the start of the first of these lines
  std::size_t rest_begun_ = 0;  // bytes of rest_ that are in the file
  int error_ = 0;
};

}  // namespace pinfold::server
