#pragma once

#include "options.h"
#include "tally.h"

namespace pinfold::load {

// Opens connections and holds them until standard input ends. Prints a line of JSON when all are open; every
// line on standard input makes each connection send one GET, answered with a line of JSON when all have their
// reply. False when a reply was wrong or a connection was lost.
bool hold_idle(const Options& options);

}  // namespace pinfold::load
