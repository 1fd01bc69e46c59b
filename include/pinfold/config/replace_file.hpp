#pragma once
// Replaces a file in one step, so that a crash leaves the old file or the new one. Thread-safe.

#include <optional>
#include <string>
#include <string_view>

namespace pinfold::config {

/// Writes `text` into a new file beside the old one, syncs it and renames it. The new file has the old one's permissions, and its owner
/// if the system allows it. If there is no file at `path`, it is created for its owner only. Through a symbolic link, the file that it
/// points to is replaced. Returns an error in one line, or nothing. May take as long as the disk does.
std::optional<std::string> replace_file(const std::string& path, std::string_view text);

}  // namespace pinfold::config
