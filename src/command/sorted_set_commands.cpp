// Sorted sets: members with scores. Ranges are in sorted_set_range_commands.cpp, unions and the like in sorted_set_algebra_commands.cpp.

#include "pinfold/command/families.hpp"

namespace pinfold::command {

std::span<const Row> sorted_set_commands() { return {}; }

}  // namespace pinfold::command
