// CONFIG REWRITE: writes the present settings into the file that they came from, and leaves everything else in it as it is.
//
// The file is edited as text, because a YAML library that writes a document loses its comments. Only values that stand on one
// line are understood. To be safe, the new text is parsed before it replaces the file. If it does not have the values that it
// should, the file stays as it was.

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pinfold/base/text.hpp"
#include "pinfold/config/settings.hpp"
#include "pinfold/config/values.hpp"
#include "pinfold/config/yaml.hpp"

namespace pinfold::config {
namespace {

using Error = std::optional<std::string>;

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

std::string join_lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text.append(line).append("\n");
  return text;
}

// Writes a scalar: bare if no reader of YAML can take it for anything else, and in double quotes if one could. Only a password may hold
// control characters (see values.cpp). A password that is not UTF-8 cannot be written in YAML; the check of the new text finds that.
std::string yaml_scalar(std::string_view value) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  const auto harmless = [](char c) {
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || c == '-' || c == '_' || c == '/' || c == '.';
  };
  const bool bare = !value.empty() && value[0] != '-' && value[0] != '.' && std::ranges::all_of(value, harmless);
  if (bare && !iequals(value, "null")) return std::string(value);
  std::string text = "\"";
  for (const char c : value) {
    if (is_control(c)) {
      constexpr std::string_view digits = "0123456789abcdef";
      text.append("\\x").append(1, digits[static_cast<unsigned char>(c) >> 4]).append(1, digits[c & 15]);
      continue;
    }
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + '"';
}

// The end of the scalar that starts at `at`: after its closing quote, or before the comment or the end of the line.
std::size_t scalar_end(std::string_view line, std::size_t at) {
  const char quote = at < line.size() ? line[at] : '\0';
  if (quote == '"' || quote == '\'') {
    for (std::size_t i = at + 1; i < line.size(); ++i) {
      if (quote == '"' && line[i] == '\\')
        ++i;
      else if (line[i] == quote && quote == '\'' && i + 1 < line.size() && line[i + 1] == quote)
        ++i;
      else if (line[i] == quote)
        return i + 1;
    }
    return line.size();
  }
  std::size_t end = std::min({line.size(), line.find(" #", at), line.find("\t#", at)});
  while (end > at && is_space(line[end - 1])) --end;
  return end;
}

// Puts `value` in the place of the entry's old one.
void replace_value(std::vector<std::string>& lines, const YamlEntry& entry, std::string_view value) {
  if (entry.null) {
    std::string& line = lines[entry.line - 1];
    const std::size_t colon = line.find(':', line.find(entry.name) + entry.name.size());
    if (colon != std::string::npos) line.insert(colon + 1, " " + yaml_scalar(value));
    return;
  }
  if (entry.value_line > lines.size()) return;
  std::string& line = lines[entry.value_line - 1];
  if (entry.value_column > line.size()) return;
  line.replace(entry.value_column, scalar_end(line, entry.value_column) - entry.value_column, yaml_scalar(value));
}

std::string system_error(const std::string& doing, const std::string& path) {
  return "cannot " + doing + " '" + path + "': " + std::generic_category().message(errno);
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno != EINTR) return false;
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
  return ::fsync(fd) == 0;
}

// Syncs the directory, so that the renamed file is on the disk under its name. If the directory may not be read, or if the file system
// does not sync directories, the system writes the name to the disk at a time of its own.
Error sync_directory_of(const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  const auto failed = [&] { return path + " is replaced, but may not survive a crash: " + system_error("sync", directory); };
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno == EACCES ? Error() : failed();
  const bool synced = ::fsync(fd) == 0 || errno == EINVAL;
  Error error = synced ? Error() : failed();
  ::close(fd);
  return error;
}

// Writes a new file beside the old one and renames it, so that a crash leaves the old file or the new one.
Error replace_file(const std::string& path, std::string_view text) {
  // If the path is a symbolic link, the file that it points to is replaced, not the link.
  std::error_code problem;
  const std::string target = std::filesystem::canonical(path, problem).string();
  struct stat old {};
  if (problem || ::stat(target.c_str(), &old) != 0) return system_error("find", path);
  std::string temporary = target + ".XXXXXX";
  const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);  // no other user can read it until it gets its mode
  if (fd < 0) return system_error("write beside", target);
  // The new file gets the old owner if the system lets us set it. If not, it belongs to us, as after an edit with any editor.
  const bool owned = ::fchown(fd, old.st_uid, old.st_gid) == 0 || errno == EPERM;
  const bool written = owned && ::fchmod(fd, old.st_mode & 07777) == 0 && write_all(fd, text);
  const bool closed = ::close(fd) == 0;
  if (written && closed && ::rename(temporary.c_str(), target.c_str()) == 0) return sync_directory_of(target);
  Error error = system_error("replace", target);
  ::unlink(temporary.c_str());
  return error;
}

}  // namespace

std::optional<std::string> Settings::rewrite() {
  const std::lock_guard writing(file_mutex_);
  const std::vector<State> now = states();  // a copy, so that changes of settings do not wait for the disk
  if (file_.empty()) return "The server is running without a config file";
  std::string text;
  if (Error error = read_whole(file_, text)) return error;
  std::vector<YamlEntry> entries;
  std::vector<std::vector<YamlEntry>> policies;  // not rewritten
  if (Error error = parse_yaml(text, file_, entries, policies)) return error;

  std::vector<std::string> lines = split_lines(text);
  for (const Setting& setting : settings_table()) {
    const State& state = now[static_cast<std::size_t>(setting.id)];
    const auto entry = std::ranges::find_if(entries, [&](const YamlEntry& e) { return iequals(e.name, setting.name); });
    if (entry == entries.end()) {
      if (!is_default(setting.id, state)) lines.push_back(std::string(setting.name) + ": " + yaml_scalar(state.given));
    } else if (!same_value(setting.id, state, yaml_value(setting, *entry))) {
      replace_value(lines, *entry, state.given);
    }
  }

  const std::string result = join_lines(lines);
  if (result == text) return std::nullopt;
  if (Error error = check_rewritten(result, now)) return error;
  return replace_file(file_, result);
}

std::optional<std::string> Settings::check_rewritten(const std::string& text, const std::vector<State>& now) const {
  std::vector<YamlEntry> entries;
  std::vector<std::vector<YamlEntry>> policies;  // not rewritten
  if (Error error = parse_yaml(text, file_, entries, policies)) return error;
  for (const Setting& setting : settings_table()) {
    const auto entry = std::ranges::find_if(entries, [&](const YamlEntry& e) { return iequals(e.name, setting.name); });
    const State& state = now[static_cast<std::size_t>(setting.id)];
    if (entry == entries.end() ? is_default(setting.id, state) : same_value(setting.id, state, yaml_value(setting, *entry))) continue;
    return "cannot change '" + std::string(setting.name) + "' in " + file_ + ": its value is not on a line of its own";
  }
  return std::nullopt;
}

}  // namespace pinfold::config
