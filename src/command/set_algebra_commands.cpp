// Intersections, unions and differences of sets.

#include "pinfold/command/families.hpp"

namespace pinfold::command {

std::span<const Row> set_algebra_commands() { return {}; }

}  // namespace pinfold::command
