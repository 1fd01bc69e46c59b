#pragma once
// The exception of a look-up that is for one type and finds a value of another.

#include <exception>

namespace pinfold::store {

/// Thrown by Database, and by the plain reads of command/cache_reads.hpp, before a value has been changed. Only dispatch
/// catches it, around a command or a step of a task. Dispatch takes back what the command has replied and replies WRONGTYPE, so
/// no handler can forget to. A request that succeeds never throws it.
struct WrongType : std::exception {
  const char* what() const noexcept override { return "a value of another type"; }
};

}  // namespace pinfold::store
