#pragma once
// The log file. It can be opened anew while it is in use, because programs that rotate logs rename the file and send SIGHUP.
// Thread-safe.

#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <spdlog/sinks/base_sink.h>

namespace pinfold::server {

class LogFile : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit LogFile(std::string path) : path_(std::move(path)) {}

  /// Opens the file at its path, to append to it. Returns an error, or nothing. After an error, the file that was open before stays in
  /// use.
  std::optional<std::string> open();

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override;

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  const std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace pinfold::server
