// Ranges of sorted sets, by rank, score or text.

#include "pinfold/command/families.hpp"

namespace pinfold::command {

std::span<const Row> sorted_set_range_commands() { return {}; }

}  // namespace pinfold::command
