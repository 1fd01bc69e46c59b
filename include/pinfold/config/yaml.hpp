#pragma once
// The settings file as its lines: which name stands where, with which value.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/config/settings.hpp"

namespace pinfold::config {

struct YamlEntry {
  std::string name;
  std::string value;  // the scalar, unquoted; empty for null
  bool plain;         // written without quotes
  bool null;          // nothing after the colon
  std::size_t line;   // of the name, from 1
  std::size_t value_line;
  std::size_t value_column;  // in bytes, from 0
};

/// The entries of a YAML mapping of scalars, in the file's order, and those of each mapping in the list `policies`, which
/// are left as they are. The error is one line that starts with `path` and the line's number.
std::optional<std::string> parse_yaml(const std::string& text, std::string_view path, std::vector<YamlEntry>& entries,
                                      std::vector<std::vector<YamlEntry>>& policies);

/// The entry's value as `setting` takes it: where yes and no are meant, YAML's true, false, on and off are understood.
std::string_view yaml_value(const Setting& setting, const YamlEntry& entry);

/// The whole of a file; an error in one line.
std::optional<std::string> read_whole(const std::string& path, std::string& text);

}  // namespace pinfold::config
