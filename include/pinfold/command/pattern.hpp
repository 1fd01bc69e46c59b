#pragma once
// A glob pattern that a client asked with. Compiled it may take far more than its text, so it is in the account of clients first.

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

/// Null if it cannot be used; then the error has been replied.
std::unique_ptr<const Pattern> compile_pattern(Call& call, std::string_view text, bool ignore_case = false);

}  // namespace pinfold::command
