#pragma once

#include "options.h"
#include "tally.h"

namespace pinfold::load {

// GETs or SETs of random keys, or one SET of every key, over many connections from one thread. Every
// connection sends `pipeline` requests at once and waits for all their replies before it sends the next ones,
// as redis-benchmark does: so the server always finds a whole pipeline in its socket, however slow the
// generator is, and its CPU time per request does not depend on the generator.
Tally throughput(const Options& options);

}  // namespace pinfold::load
