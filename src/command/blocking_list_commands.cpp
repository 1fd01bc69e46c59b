// BLPOP and its like: commands that wait until a list, or a sorted set, has an element.

#include "pinfold/command/families.hpp"

namespace pinfold::command {

std::span<const Row> blocking_list_commands() { return {}; }

}  // namespace pinfold::command
