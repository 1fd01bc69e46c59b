#pragma once
// The encodings that Redis names. Pinfold keeps every string in one form and derives the name from the value.

#include <string_view>

#include "pinfold/store/value.hpp"

namespace pinfold::command {

/// "int", "embstr" or "raw", as OBJECT ENCODING shows it.
std::string_view encoding_name(const store::Value& value);

}  // namespace pinfold::command
