#pragma once
// The exception of a look-up that meets a value of another type than it is for.

#include <exception>

namespace pinfold::store {

/// Thrown by Database before a value has been changed. command::invoke() is the only place that catches it: it takes
/// back what the command has replied and replies WRONGTYPE, so no handler can forget to. A request that succeeds never throws
/// it.
struct WrongType : std::exception {
  const char* what() const noexcept override { return "a value of another type"; }
};

}  // namespace pinfold::store
