#pragma once
// The version of Pinfold. CMakeLists.txt has the same number.

#include <string_view>

namespace pinfold {

constexpr std::string_view version = "0.1.0";

/// The version of Redis that clients are told (INFO, HELLO), and whose behaviour they may expect.
constexpr std::string_view redis_version = "7.2.4";
/// The same as scripts are told it: a byte for each part.
constexpr int redis_version_number = 0x070204;

}  // namespace pinfold
