// SORT and SORT_RO.

#include "pinfold/command/families.hpp"

namespace pinfold::command {

std::span<const Row> sort_commands() { return {}; }

}  // namespace pinfold::command
