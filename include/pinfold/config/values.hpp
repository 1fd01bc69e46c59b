#pragma once
// Turns the text of a value into its meaning and back, by the type of its setting. Thread-safe.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pinfold/config/settings.hpp"

namespace pinfold::config {

struct Value {
  std::int64_t number = 0;
  std::string text;  // of Type::text, in its canonical form
};

/// Reads `value`. Returns an error in Redis' words, or nothing. `current` is the present text: a value of
/// client-output-buffer-limit may name some classes, and the other classes stay as they are.
std::optional<std::string> parse_value(const Setting& setting, std::string_view value, std::string_view current, Value& result);

/// A number as CONFIG GET shows it for a setting of this type (not text).
std::string show_number(const Setting& setting, std::int64_t number);

/// The limits in the canonical text of a client-output-buffer-limit.
OutputLimits output_limits(std::string_view canonical);

/// Returns "unknown setting 'maxmemori' (did you mean 'maxmemory'?)". With `in_file`, 'policies' and 'users' may be suggested too.
std::string unknown_setting(std::string_view name, bool in_file = false);

/// The name of a setting in the environment: PINFOLD_MAXMEMORY_POLICY.
std::string environment_name(const Setting& setting);

}  // namespace pinfold::config
