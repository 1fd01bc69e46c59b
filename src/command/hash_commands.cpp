// Hashes: fields and their values under one key.

#include "pinfold/command/families.hpp"

namespace pinfold::command {

std::span<const Row> hash_commands() { return {}; }

}  // namespace pinfold::command
