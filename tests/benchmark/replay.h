#pragma once

#include <cstdint>

#include "options.h"
#include "tally.h"

namespace pinfold::load {

// Replays a trace as a cache-aside client does: GET key:<id>, and on a miss SET key:<id> with a value of the
// size that the trace (or --value) gives. One connection, one request at a time, so every server sees the
// same order. With a pipeline, requests that follow each other in the trace are sent together as long as
// their keys differ, and what was missing of them is SET together: a SET may come up to a pipeline later than
// it would otherwise. Tally::requests counts the trace's requests, not the SETs that misses cause.
Tally replay(const Options& options);

}  // namespace pinfold::load
