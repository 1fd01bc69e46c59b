#pragma once

#include <stdexcept>

namespace pinfold::load {

// What makes a run impossible (as opposed to invalid, which the Tally records): bad options, no server, no
// memory for sockets. main() prints it in one line and exits 1.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace pinfold::load
