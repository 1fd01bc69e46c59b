// Sets, but for what several sets have in common (set_algebra_commands.cpp).

#include "pinfold/command/families.hpp"

namespace pinfold::command {

std::span<const Row> set_commands() { return {}; }

}  // namespace pinfold::command
