#pragma once

#include <cstdint>

#include "options.h"
#include "tally.h"

namespace pinfold::load {

// Replays a trace as a cache-aside client does: GET key:<id>, and on a miss SET key:<id> with a value of the
// size that the trace (or --value) gives. One connection, one request at a time, so every server sees the
// same order. Tally::requests counts the trace's requests, not the SETs that misses cause.
Tally replay(const Options& options);

}  // namespace pinfold::load
