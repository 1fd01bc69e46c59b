#pragma once

#include "options.h"

namespace pinfold::load {

// Every connection asks for the same missing key at once. Who is told to load (by a token, or by nil where
// the protocol has none) stores the value after the origin's time and asks again; the run ends when every
// connection has an answer. Prints one line of JSON: how many were told to load, how many got the value, and
// how long after the fill was sent the last of them had it. False when a reply was wrong.
bool herd(const Options& options);

}  // namespace pinfold::load
