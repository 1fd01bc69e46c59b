// Places on the map: sorted sets whose scores are geohashes.

#include "pinfold/command/families.hpp"

namespace pinfold::command {

std::span<const Row> geo_commands() { return {}; }

}  // namespace pinfold::command
