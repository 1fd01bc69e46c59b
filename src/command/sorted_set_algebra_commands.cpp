// Intersections, unions and differences of sorted sets.

#include "pinfold/command/families.hpp"

namespace pinfold::command {

std::span<const Row> sorted_set_algebra_commands() { return {}; }

}  // namespace pinfold::command
