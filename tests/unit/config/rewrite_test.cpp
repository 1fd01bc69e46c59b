#include <cerrno>

#include "temporary.hpp"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "pinfold/config/replace_file.hpp"
#include "pinfold/config/settings.hpp"
#include "pinfold/config/yaml.hpp"

namespace {

// The calls that this program makes to the disk, in order. `directory_error` is the error of syncing a directory, 0 for none.
std::vector<std::string> disk;
int directory_error = 0;

}  // namespace

// Replaces the function of the C library.
extern "C" int fsync(int fd) {
  struct stat status {};
  ::fstat(fd, &status);
  const bool directory = S_ISDIR(status.st_mode);
  disk.emplace_back(directory ? "sync directory" : "sync file");
  if (!directory || directory_error == 0) return static_cast<int>(::syscall(SYS_fsync, fd));
  errno = directory_error;
  return -1;
}

extern "C" int rename(const char* from, const char* to) noexcept {
  disk.emplace_back("rename");
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

namespace pinfold::config {
namespace {

using Changes = std::vector<std::pair<Id, std::string>>;

// Returns the file after these changes at run time and a rewrite. `error` gets the error of the rewrite.
std::string rewritten(const std::string& text, const Changes& changes, std::string* error = nullptr) {
  const TemporaryDirectory directory;
  Settings settings;
  REQUIRE(settings.load_file(directory.write("x.yaml", text)) == std::nullopt);
  for (const auto& [id, value] : changes) REQUIRE(settings.set(id, value, false) == std::nullopt);
  const std::string said = settings.rewrite().value_or("");
  if (error != nullptr) {
    *error = said;
  } else {
    CHECK(said.empty());
    Settings again;
    CHECK(again.load_file(directory.path() + "/x.yaml") == std::nullopt);
    for (const auto& [id, value] : changes) CHECK(again.show(id) == settings.show(id));
  }
  return directory.read("x.yaml");
}

TEST_CASE("rewrite: a setting keeps the other name that the file has for it") {
  CHECK(rewritten("commandlog-execution-slower-than: 5\n", {{Id::slowlog_log_slower_than, "7"}}) ==
        "commandlog-execution-slower-than: 7\n");
}

TEST_CASE("without a file there is nothing to rewrite") {
  Settings settings;
  CHECK(settings.rewrite().value_or("") == "The server is running without a config file");
}

TEST_CASE("nothing changed leaves every byte as it is") {
  const std::string text = "  # odd\n\nport:   7000 # seven\nmaxmemory: \"64mb\"\nenable-debug-command: true\nthreads: auto";
  CHECK(rewritten(text, {}) == text + "\n");  // only the last line gets an end
}

TEST_CASE("changes are made in place, comments and order stay") {
  CHECK(rewritten("# head\n"
                  "timeout: 10   # why ten\n"
                  "\n"
                  "maxmemory: \"64mb\"\t# quoted\n"
                  "requirepass: 'it''s' # single\n"
                  "logfile: # null\n",
                  {{Id::timeout, "77"}, {Id::maxmemory, "1gb"}, {Id::requirepass, "new"}, {Id::logfile, "/l"}}) ==
        "# head\n"
        "timeout: 77   # why ten\n"
        "\n"
        "maxmemory: 1gb\t# quoted\n"
        "requirepass: new # single\n"
        "logfile: /l # null\n");
}

TEST_CASE("a setting that differs from its default and has no line gets one") {
  CHECK(rewritten("port: 1\n", {{Id::maxclients, "500"}, {Id::timeout, "0"}, {Id::bind, "* ::*"}}) ==
        "port: 1\nbind: \"* ::*\"\nmaxclients: 500\n");
  CHECK(rewritten("", {{Id::hz, "50"}}) == "hz: 50\n");
}

TEST_CASE("a line stays when its setting is back at the default") {
  CHECK(rewritten("timeout: 10\n", {{Id::timeout, "0"}}) == "timeout: 0\n");
}

TEST_CASE("any text is read back as it was written") {
  for (const std::string value : {"a\"b\\c", "# no comment", "yes", "~", "null", "123",  "a: b", "- x", "",  " ", "'q'",      "{}",
                                  "grün",    "a\r\nb\x7f",   "%",   "@", "`",    "!tag", "&a",   "*a",  "|", ">", "\xff\xfe", "\xc3"}) {
    INFO(value);
    rewritten("port: 1\n", {{Id::requirepass, value}});
    rewritten("requirepass: old\n", {{Id::requirepass, value}});
  }
}

TEST_CASE("a mark of UTF-8 stays before the first line, which may change") {
  CHECK(rewritten("\xEF\xBB\xBFtimeout: 10 # why ten\nhz: 20\n", {{Id::timeout, "7"}}) == "\xEF\xBB\xBFtimeout: 7 # why ten\nhz: 20\n");
  CHECK(rewritten("\xEF\xBB\xBFlogfile: # none\n", {{Id::logfile, "/l"}}) == "\xEF\xBB\xBFlogfile: /l # none\n");
}

// Returns the file after a rewrite that changes users. Its users are then those with the changes made.
std::string with_users(const std::string& text, const std::vector<UserChange>& changes, std::string* error = nullptr) {
  const TemporaryDirectory directory;
  Settings settings;
  REQUIRE(settings.load_file(directory.write("x.yaml", text)) == std::nullopt);
  settings.on_rewrite_users([&](const std::vector<UserText>&) { return changes; });
  const std::string said = settings.rewrite().value_or("");
  if (error != nullptr)
    *error = said;
  else
    CHECK(said.empty());
  return directory.read("x.yaml");
}

TEST_CASE("a user whose name is longer than YAML's keys is written, changed and deleted") {
  const auto quotes = [](std::size_t count) {
    std::string text = "\"";
    for (std::size_t i = 0; i < count; ++i) text += "\\\"";
    return text + "\"";
  };
  const std::string name(512, '"');
  const std::string before = "users:\n ? " + quotes(512) + "\n : \"on +get\"\n b: \"on\"\nport: 1\n";
  CHECK(with_users("users:\nport: 1\n", {{name, "on"}}) == "users:\n  ? " + quotes(512) + "\n  : on\nport: 1\n");
  CHECK(with_users("users:\n", {{name.substr(1), "on"}}) == "users:\n  " + quotes(511) + ": on\n");
  CHECK(with_users(before, {{name, "off"}}) == "users:\n ? " + quotes(512) + "\n : off\n b: \"on\"\nport: 1\n");
  CHECK(with_users(before, {{name, std::nullopt}}) == "users:\n b: \"on\"\nport: 1\n");
  CHECK(with_users(before, {{"c", "on"}}) == "users:\n ? " + quotes(512) + "\n : \"on +get\"\n b: \"on\"\n c: on\nport: 1\n");
  CHECK(with_users("users:\n ? a\n :\n - on\n - off\n b: on\n", {{"a", "off"}}) == "users:\n a: off\n b: on\n");
}

TEST_CASE("a file does not grow beyond the largest that is read") {
  std::string error;
  CHECK(with_users("port: 1\n", {{"a", std::string(largest_settings_file, 'x')}}, &error) == "port: 1\n");
  CHECK_THAT(error, Catch::StartsWith("cannot change ") && Catch::EndsWith("x.yaml: it would be larger than 67108864 bytes"));
}

TEST_CASE("a change of one class of the output limits writes all classes") {
  CHECK(rewritten("", {{Id::client_output_buffer_limit, "normal 1mb 0 0"}}) ==
        "client-output-buffer-limit: \"normal 1048576 0 0 slave 268435456 67108864 60 pubsub 33554432 "
        "8388608 60\"\n");
}

TEST_CASE("a file in a form that cannot be edited safely is left alone") {
  const std::string not_alone = ", because not all values are on lines of their own";
  for (const auto& [text, expected] : {std::pair<std::string, std::string>{"{port: 1, timeout: 2}\n", not_alone},
                                       {"timeout: >-\n  5\n", ": its value is not on a line of its own"},
                                       {"unixsocket: \"a\nb: 1\"\n", not_alone},
                                       {"unixsocket: \"a\n  port: 1\"\n", not_alone},
                                       {"unixsocket: \"a\ntimeout: 1\"\n", not_alone}}) {
    INFO(text);
    std::string error;
    CHECK(rewritten(text, {{Id::timeout, "7"}, {Id::unixsocket, "c"}}, &error) == text);
    CHECK_THAT(error, Catch::StartsWith("cannot change ") && Catch::Contains(expected));
    CHECK(error.find('\n') == std::string::npos);
  }
}

TEST_CASE("the file keeps its permissions, and a link to it stays a link") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("real.yaml", "timeout: 1\n");
  ::chmod(path.c_str(), 0640);
  const std::string link = directory.path() + "/link.yaml";
  std::filesystem::create_symlink(path, link);
  Settings settings;
  REQUIRE_FALSE(settings.load_file(link));
  REQUIRE_FALSE(settings.set(Id::timeout, "2", true));
  CHECK(settings.rewrite() == std::nullopt);
  CHECK(directory.read("real.yaml") == "timeout: 2\n");
  CHECK(std::filesystem::is_symlink(link));
  struct stat status {};
  ::stat(path.c_str(), &status);
  CHECK((status.st_mode & 07777) == 0640);
  CHECK(std::distance(std::filesystem::directory_iterator(directory.path()), {}) == 2);
}

TEST_CASE("the new file and then its name are on the disk before the rewrite returns") {
  disk.clear();
  CHECK(rewritten("timeout: 1\n", {{Id::timeout, "2"}}) == "timeout: 2\n");
  CHECK(disk == std::vector<std::string>{"sync file", "rename", "sync directory"});
  std::string error;
  directory_error = EIO;
  CHECK(rewritten("timeout: 1\n", {{Id::timeout, "2"}}, &error) == "timeout: 2\n");
  CHECK_THAT(error, Catch::Contains("is replaced, but may not survive a crash: cannot sync '"));
  directory_error = EINVAL;  // the error of file systems that cannot do that
  CHECK(rewritten("timeout: 1\n", {{Id::timeout, "2"}}, &error) == "timeout: 2\n");
  CHECK(error.empty());
  directory_error = 0;
}

TEST_CASE("a file that is gone is not written again") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("x.yaml", "timeout: 1\n");
  Settings settings;
  REQUIRE_FALSE(settings.load_file(path));
  std::filesystem::remove(path);
  CHECK_THAT(settings.rewrite().value_or(""), Catch::Contains("cannot read"));
}

TEST_CASE("a file is replaced or made by a path that is relative to the working directory, and its directory is synced") {
  const TemporaryDirectory directory;
  struct Back {
    ~Back() { std::filesystem::current_path(before); }
    const std::filesystem::path before = std::filesystem::current_path();
  } const back;
  directory.write("inner/old", "old");
  std::filesystem::current_path(directory.path());
  for (const std::string path : {"new", "./new2", "inner/new", "inner/../new3", "inner/old"}) {
    INFO(path);
    disk.clear();
    CHECK(replace_file(path, "text") == std::nullopt);
    CHECK(disk == std::vector<std::string>{"sync file", "rename", "sync directory"});
    CHECK(directory.read(path) == "text");
  }
}

TEST_CASE("the file that comes with Pinfold has every setting at its default") {
  const Settings defaults;
  Settings settings;
  const std::string path = PINFOLD_SOURCE_DIR "/config/pinfold.yaml";
  REQUIRE(settings.load_file(path) == std::nullopt);
  const TemporaryDirectory directory;
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  for (const Setting& setting : settings_table()) {
    INFO(setting.name);
    CHECK(settings.show(setting.id) == defaults.show(setting.id));
    const bool constant = setting.id == Id::save || setting.id == Id::appendonly;
    const bool listed = text.find("\n" + std::string(setting.name) + ":") != std::string::npos;
    CHECK(listed != constant);
  }
}

}  // namespace
}  // namespace pinfold::config
