#pragma once
// What a fuzz target says when an invariant does not hold.

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace fuzz {

/// Ends the process, so that the fuzzer keeps the input.
[[noreturn]] inline void fail(std::string_view what, std::string_view details = {}) {
  std::fprintf(stderr, "INVARIANT BROKEN: %.*s\n%.*s\n", static_cast<int>(what.size()), what.data(), static_cast<int>(details.size()),
               details.data());
  std::abort();
}

inline void require(bool holds, std::string_view what, std::string_view details = {}) {
  if (!holds) fail(what, details);
}

}  // namespace fuzz
