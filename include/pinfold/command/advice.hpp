#pragma once
// The lines of PINFOLD.ADVISE that follow from what is known of the working set (working_set.hpp).

#include <optional>
#include <string>
#include <vector>

#include "pinfold/command/working_set.hpp"

namespace pinfold::command {

/// What the estimate says about the memory, about entries that nobody reads, and about TTLs, in words. `wanted`: a hit ratio between 0
/// and 1 for which the memory is told. O(1).
std::vector<std::string> advice_from(const WorkingSetEstimate& estimate, std::optional<double> wanted = std::nullopt);

}  // namespace pinfold::command
