// The log of the operator: the form of its lines, its queue, its file, and the thread that writes.

#include "pinfold/server/operator_log.hpp"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "pinfold/server/log_format.hpp"
#include "pinfold/server/log_writer.hpp"

namespace pinfold::server {
namespace {

// A directory of its own, which is removed at the end.
class Directory {
 public:
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "pinfold-log-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  std::string file(std::string_view name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

std::string content(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::shared_ptr<LogFile> opened(const std::string& path) {
  auto file = std::make_shared<LogFile>("logfile", path);
  REQUIRE(file->open() == std::nullopt);
  return file;
}

class Nobody final : public Sleeper {
 public:
  int woken = 0;

 private:
  void wake_now() override { ++woken; }
};

void say(OperatorLog& log, std::string_view text) { log.log({"pinfold", spdlog::level::info, {text.data(), text.size()}}); }

// What stands behind the time.
std::string shown(bool json, std::string_view text) {
  const std::string line = log_line(json, {}, spdlog::level::warn, text);
  REQUIRE(line.ends_with("\n"));
  const std::string_view mark = json ? "\"message\":" : " warning ";
  const std::size_t at = line.find(mark) + mark.size();
  return line.substr(at, line.size() - at - 1);
}

TEST_CASE("a line shows text as it is, and spells out what cannot be seen") {
  CHECK(shown(false, "user 'José'") == "user 'José'");
  CHECK(shown(true, "user 'José' \"a\\b\"") == R"("user 'José' \"a\\b\""})");
  CHECK(shown(false, "a\nb\x1b[2J") == R"(a\u{a}b\u{1b}[2J)");
  for (const bool json : {false, true}) {
    const std::string escape = json ? "\\\\" : "\\";
    const std::string end = json ? "\"}" : "";
    const std::string begin = json ? "\"" : "";
    CHECK(shown(json, "\x85|\x9b") == begin + escape + "x85|" + escape + "x9b" + end);
    CHECK(shown(json, "\xc2\x85|\xe2\x80\xae|\xe2\x80\xa8") == begin + escape + "u{85}|" + escape + "u{202e}|" + escape + "u{2028}" + end);
  }
  CHECK(shown(false, std::string(100'000, 'x')).size() < 9000);
}

TEST_CASE("until the start lines are in the file at once, and then they wait") {
  const Directory directory;
  OperatorLog log(opened(directory.file("log")));
  say(log, "early");
  CHECK(content(directory.file("log")).ends_with(" notice early\n"));
  Nobody writer;
  LogCounts counts;
  log.start(writer, counts);
  CHECK(counts.written == 1);
  say(log, "late");
  say(log, "later");
  CHECK(writer.woken == 1);
  CHECK(content(directory.file("log")).ends_with(" notice early\n"));
  const std::vector<std::string> lines = log.take(false);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].ends_with(" notice late\n"));
}

TEST_CASE("lines that cannot be written at the start are lost, and counted") {
  OperatorLog log(opened("/dev/full"));
  say(log, "early");
  Nobody writer;
  LogCounts counts;
  log.start(writer, counts);
  CHECK(counts.lost == 1);
  const std::vector<std::string> lines = log.take(false);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find("warning 1 line of the log was lost here") != std::string::npos);
}

TEST_CASE("so many lines wait, and so many bytes, and how many were lost is told once where they are missing") {
  const std::size_t size = GENERATE(10U, 4000U);
  const Directory directory;
  OperatorLog log(opened(directory.file("log")));
  Nobody writer;
  LogCounts counts;
  log.start(writer, counts);
  constexpr std::size_t said = 2000;
  for (std::size_t i = 0; i < said; ++i) say(log, std::string(size, 'x'));
  CHECK(counts.failing());
  std::vector<std::string> lines = log.take(false);
  std::size_t bytes = 0;
  for (const std::string& line : lines) bytes += line.size();
  CHECK(bytes <= OperatorLog::most_waiting_bytes);
  CHECK(lines.size() <= OperatorLog::most_waiting + 1);
  CHECK(lines.size() > (size == 10 ? OperatorLog::most_waiting : 50));
  CHECK(counts.lost == said - (lines.size() - 1));
  CHECK(lines.back().find("warning " + std::to_string(counts.lost) + " lines of the log were lost here") != std::string::npos);
  CHECK_FALSE(counts.failing());
  CHECK(log.take(false).empty());
}

TEST_CASE("a FIFO that nobody reads is refused at once, and one that is read is a log") {
  const Directory directory;
  const std::string path = directory.file("fifo");
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  LogFile file("logfile", path);
  CHECK(file.open() == "cannot write the log (logfile): " + path + ": no process reads it, and a FIFO needs one");
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  REQUIRE(reader >= 0);
  CHECK(file.open() == std::nullopt);
  CHECK(file.write("a line\n"));
  char text[16];
  CHECK(::read(reader, text, sizeof text) == 7);
  ::close(reader);
}

// Fills a FIFO, so that a write to it does not return.
class FullFifo {
 public:
  explicit FullFifo(const std::string& path) {
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    fd_ = ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    const std::string page(4096, '.');
    while (::write(fd_, page.data(), page.size()) > 0) {
    }
  }
  ~FullFifo() { ::close(fd_); }
  FullFifo(const FullFifo&) = delete;
  FullFifo& operator=(const FullFifo&) = delete;

  std::string drain() {
    std::string all;
    char text[4096];
    for (ssize_t size = 0; (size = ::read(fd_, text, sizeof text)) > 0;) all.append(text, static_cast<std::size_t>(size));
    return all;
  }

 private:
  int fd_ = -1;
};

LogWriter::Events no_events() {
  return {.opened_anew = [](const std::optional<std::string>&) {}, .fails = [](const std::string&) {}, .works_again = [] {}};
}

TEST_CASE("the end waits for a write that does not return as long as it was told, and no longer") {
  const Directory directory;
  FullFifo fifo(directory.file("fifo"));
  const auto file = opened(directory.file("fifo"));
  OperatorLog log(file);
  LogCounts counts;
  LogWriter writer(log, file, std::chrono::milliseconds(50), no_events());
  log.start(writer, counts);
  writer.start();
  // The writer may take what waits at any time, but once.
  std::uint64_t said = 0;
  for (; !counts.failing(); ++said) say(log, "a line");
  CHECK_FALSE(writer.stop());
  // Somebody reads after all.
  std::string read;
  while (!writer.stop()) read += fifo.drain();
  read += fifo.drain();
  CHECK(read.find(" lost here: it could not be written") != std::string::npos);
  CHECK(counts.lost > 0);
  CHECK(counts.written + counts.lost >= said);
}

TEST_CASE("a file that cannot be written is told of once, keeps its lines, and goes on when it can") {
  const Directory directory;
  const std::string path = directory.file("log");
  std::filesystem::create_symlink("/dev/full", path);
  const auto file = opened(path);
  OperatorLog log(file);
  LogCounts counts;
  std::atomic<int> failures = 0;
  std::atomic<int> recoveries = 0;
  LogWriter::Events events = no_events();
  std::string why;
  events.fails = [&](const std::string& error) {
    why = error;
    ++failures;
  };
  events.works_again = [&] { ++recoveries; };
  LogWriter writer(log, file, std::chrono::seconds(10), events);
  log.start(writer, counts);
  writer.start();
  say(log, "first");
  while (failures == 0) std::this_thread::yield();
  for (std::size_t i = 0; i < OperatorLog::most_waiting + 10; ++i) say(log, "next");
  CHECK(counts.failing());
  std::filesystem::remove(path);
  writer.reopen();
  while (recoveries == 0) std::this_thread::yield();
  CHECK(writer.stop());
  const std::string text = content(path);
  CHECK(text.find(" notice first\n") != std::string::npos);
  const std::string lost = " warning 10 lines of the log were lost here: it could not be written, or not as fast as they came\n";
  CHECK(text.find(lost) != std::string::npos);
  CHECK(failures == 1);
  CHECK(why == "No space left on device");
  CHECK(recoveries == 1);
  CHECK_FALSE(counts.failing());
  CHECK(counts.lost == 10);
}

}  // namespace
}  // namespace pinfold::server
