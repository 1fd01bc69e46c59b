#pragma once

#include "options.h"

namespace pinfold::load {

// Every connection GETs the same key, one request after the other, as fast as the server answers. The key
// expires a while after each load. Who is answered nil loads: takes the origin's time, then SETs the key.
// Ends after so many loads that began when none was running. Prints one line of JSON: how many answers of nil
// there were (each is a load), how many of them came while another load ran or before the key can have
// expired, the latencies of all GETs, and how many of them took as long as a load. False when a reply was
// wrong.
bool expiring(const Options& options);

}  // namespace pinfold::load
