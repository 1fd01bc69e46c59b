#pragma once
// What a look-up throws that meets a value of another type than it is for.

#include <exception>

namespace pinfold::store {

/// Thrown by Database before anything has been changed or handed out. Caught where handlers are invoked, and there alone: that takes
/// back what the command has replied and answers WRONGTYPE, so no handler can forget to. It never happens on the way of a request that
/// succeeds.
struct WrongType : std::exception {
  const char* what() const noexcept override { return "a value of another type"; }
};

}  // namespace pinfold::store
