// HyperLogLog: how many different elements there are, about, in 12 KB. A string in the format of Redis.

#include "pinfold/command/families.hpp"

namespace pinfold::command {

std::span<const Row> hyperloglog_commands() { return {}; }

}  // namespace pinfold::command
