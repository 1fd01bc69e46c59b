#pragma once
// From the text of a value to what it means, by the type of its setting.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pinfold/config/settings.hpp"

namespace pinfold::config {

struct Value {
  std::int64_t number = 0;
  std::string text;  // Type::text, in its canonical form
};

/// Reads `value`; returns what is wrong with it in Redis' words, or nothing. `current` is the text in force:
/// a part of client-output-buffer-limit leaves the other classes as they are.
std::optional<std::string> parse_value(const Setting& setting, std::string_view value, std::string_view current, Value& result);

/// A number as CONFIG GET shows it for a setting of this type (not text).
std::string show_number(const Setting& setting, std::int64_t number);

/// The normal class of a client-output-buffer-limit in its canonical form.
OutputLimit normal_output_limit(std::string_view canonical);

/// "unknown setting 'maxmemori' (did you mean 'maxmemory'?)"; `in_file`, where policies are as well.
std::string unknown_setting(std::string_view name, bool in_file = false);

/// The name that the environment has for a setting: PINFOLD_MAXMEMORY_POLICY.
std::string environment_name(const Setting& setting);

}  // namespace pinfold::config
