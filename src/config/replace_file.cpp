#include "pinfold/config/replace_file.hpp"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pinfold::config {
namespace {

using Error = std::optional<std::string>;

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

}  // namespace

Error replace_file(const std::string& path, std::string_view text) {
  // If the path is a symbolic link, the file that it points to is replaced, not the link. A relative path to no file would stay relative,
  // and one without a directory in it names none to sync.
  std::error_code problem;
  std::filesystem::path target_path = std::filesystem::absolute(path, problem);
  if (!problem) target_path = std::filesystem::weakly_canonical(target_path, problem);
  const std::string target = target_path.string();
  struct stat old {};
  old.st_uid = ::geteuid();
  old.st_gid = ::getegid();
  old.st_mode = S_IRUSR | S_IWUSR;
  if (problem || (::stat(target.c_str(), &old) != 0 && errno != ENOENT)) return system_error("find", path);
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

}  // namespace pinfold::config
