#pragma once

#include "options.h"
#include "tally.h"

namespace pinfold::load {

// GETs of random keys at a fixed rate over many connections, whatever the server does: a request is sent when
// it is due even if earlier ones have not been answered, and its latency counts from the moment it was due.
// So a server that stalls is charged for every request that would have come meanwhile (no coordinated
// omission).
//
// Writes go beside them at a fixed rate of their own, in batches of `pipeline` over connections of their own,
// and are counted but not timed. Tally::requests, latency and lateness are about the GETs alone.
Tally paced(const Options& options);

}  // namespace pinfold::load
