#pragma once
// Reads the settings file: which name stands on which line, and with which value.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/config/settings.hpp"

namespace pinfold::config {

/// The largest settings file that is read and that CONFIG REWRITE writes, in bytes: as large as an ACL file can be.
inline constexpr std::size_t largest_settings_file = 64 * 1024 * 1024;

/// A file in UTF-8 may begin with it. Columns do not count it.
inline constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

struct YamlEntry {
  std::string name;
  std::string value;  // the scalar, unquoted; empty for null
  bool plain;         // the scalar is written without quotes
  bool null;          // there is nothing after the colon
  std::size_t line;   // of the name, from 1
  std::size_t value_line;
  std::size_t value_column;  // in bytes, from 0
};

/// A user in the mapping `users`. Its rules are not interpreted.
struct YamlUser {
  std::string name;
  std::vector<std::string> rules;  // the words of a text, or the items of a list
  std::size_t line;                // of the name, from 1
  std::size_t column;              // of the name, in bytes, from 0
};

/// What a settings file holds, in its order.
struct YamlFile {
  std::vector<YamlEntry> entries;
  std::vector<std::vector<YamlEntry>> policies;  // the entries of each mapping in the list `policies`
  std::vector<YamlUser> users;
  std::size_t users_line = 0;  // of the name `users`, from 1; 0: there is none
};

/// Reads a YAML mapping of scalars, with a list `policies` of mappings of scalars and a mapping `users`. Policies and users are not
/// interpreted. The error is one line that starts with `path` and the number of the line.
std::optional<std::string> parse_yaml(const std::string& text, std::string_view path, YamlFile& file);

/// The bytes of a quoted text that begins with its quote, up to its closing quote and with it; 0 if it does not end.
std::size_t quoted_size(std::string_view text);

/// The entry's value as `setting` takes it. For a flag, YAML's true, false, on and off are turned into yes and no.
std::string_view yaml_value(const Setting& setting, const YamlEntry& entry);

/// Reads all of a file into `text`, which is empty. Returns an error in one line, or nothing. It is an error if there are more than
/// largest_settings_file bytes, as there are in /dev/zero. Waits while the file is a FIFO that nobody writes to.
std::optional<std::string> read_whole(const std::string& path, std::string& text);

}  // namespace pinfold::config
