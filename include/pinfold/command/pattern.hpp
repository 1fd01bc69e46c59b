#pragma once
// A glob pattern that a client has sent. A compiled pattern may take far more memory than its text, so its memory is added to the account
// of clients before it is compiled.

#include <memory>
#include <optional>
#include <string_view>

#include "pinfold/base/glob.hpp"
#include "pinfold/command/call.hpp"
#include "pinfold/command/task.hpp"

namespace pinfold::command {

class Pattern {
 public:
  bool matches(std::string_view text) const { return glob_->matches(text); }
  /// The most comparisons that matches() makes for `text`.
  std::uint64_t most_compared(std::string_view text) const { return glob_->most_compared(text); }

 private:
  friend std::unique_ptr<const Pattern> compile_pattern(Call& call, std::string_view text, bool ignore_case);
  explicit Pattern(const Call& call) : memory_(call.engine, call.session.shared) {}

  ClientMemory memory_;
  std::optional<Glob> glob_;
};

/// Compiles a pattern. Returns null if it cannot be used. Then it has replied with the error.
std::unique_ptr<const Pattern> compile_pattern(Call& call, std::string_view text, bool ignore_case = false);

}  // namespace pinfold::command
