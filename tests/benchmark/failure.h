#pragma once

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>

namespace pinfold::load {

// What makes a run impossible (as opposed to invalid, which the Tally records): bad options, no server, no
// memory for sockets. main() prints it in one line and exits 1.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// For a system call that has just failed: throws Failure with what was tried and the reason in errno.
[[noreturn]] inline void fail_system(const std::string& tried) { throw Failure(tried + ": " + std::generic_category().message(errno)); }

}  // namespace pinfold::load
