#pragma once
// Which Pinfold this is. CMakeLists.txt has the same number.

#include <string_view>

namespace pinfold {

constexpr std::string_view version = "0.1.0";

}  // namespace pinfold
