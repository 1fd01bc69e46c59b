#pragma once

#include "options.h"

namespace pinfold::load {

// Opens connections over TLS, each of which asks for one PING and is closed; options.connections are open at once, until
// options.requests have ended. Prints how many came to an answer, were refused in words, or failed without. Returns whether
// all of them were answered or refused.
bool handshakes(const Options& options);

}  // namespace pinfold::load
