#pragma once
// A file of lines that only grows: the log, or the audit log. It can be opened anew while it is in use, because programs that rotate
// logs rename the file and send SIGHUP. Used by one thread at a time: the main thread at the start, then by a LogWriter's.
//
// A full disk may take only the first part of a line. The rest is kept, and written before anything else once there is room, so
// that no line is broken and none is joined to another.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <sys/types.h>

namespace pinfold::server {

class LogFile {
 public:
  /// `setting` is the name of the setting that names the file, for errors. An empty path is standard output. A file that does not exist is
  /// created with `permissions`, less the process' umask.
  LogFile(std::string_view setting, std::string path, mode_t permissions = 0666)
      : setting_(setting), path_(std::move(path)), permissions_(permissions) {}
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  /// Opens the file at its path, to append to it. Returns an error, or nothing. After an error, the file that was open before stays in
  /// use. Does not wait: a FIFO that no process has open for reading is an error.
  std::optional<std::string> open();
  bool is_standard_output() const { return path_.empty(); }

  /// Appends lines, each with its line break. Returns false if they were not taken, not even in part, because they cannot be
  /// written now. With no lines, it only writes what is left. May take as long as the disk does, or for ever if it is a pipe that nobody
  /// reads.
  bool write(std::string_view lines);
  /// Whether all that was taken has been written.
  bool complete() const { return rest_.empty(); }
  /// Why the last write() has failed or is incomplete.
  std::string error() const;

 private:
  int open_path() const;
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
