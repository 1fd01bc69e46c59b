#pragma once
// What came of a command: what a handler returns, and a step of a task. Whoever called it acts on that and on nothing else.

#include <cstdint>

#include "pinfold/resp/reply.hpp"

namespace pinfold::command {

/// One word, returned in a register.
class [[nodiscard]] Outcome {
 public:
  /// The reply has been written: `return call.reply.ok();`.
  constexpr Outcome(resp::Written) {}
  /// The same where it was written before, or the command has none.
  static const Outcome done;
  /// The reply comes later: from the task or the wait that was left on the session. Of a step of a task: there is more to do.
  static const Outcome waits;

  bool operator==(const Outcome&) const = default;

 private:
  enum class Kind : std::uint64_t { done, waits };
  constexpr explicit Outcome(Kind kind) : kind_(kind) {}

  Kind kind_ = Kind::done;
};

inline constexpr Outcome Outcome::done{Kind::done};
inline constexpr Outcome Outcome::waits{Kind::waits};

}  // namespace pinfold::command
