// Lists, but for the commands that wait for an element (blocking_list_commands.cpp).

#include "pinfold/command/families.hpp"

namespace pinfold::command {

std::span<const Row> list_commands() { return {}; }

}  // namespace pinfold::command
