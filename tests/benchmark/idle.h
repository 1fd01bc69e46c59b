#pragma once

#include "options.h"
#include "tally.h"

namespace pinfold::load {

// Opens connections and holds them until standard input ends. Prints a line of JSON when all are open, and one for each
// line on standard input once it is done: "park" has each connection wait for the same missing key (CACHE.GET), "answered"
// has each receive the value it waited for, any other line makes each send one GET and receive its reply. False when a
// reply was wrong or a connection was lost.
bool hold_idle(const Options& options);

}  // namespace pinfold::load
