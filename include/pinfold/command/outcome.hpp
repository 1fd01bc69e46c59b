#pragma once
// What came of a command: what a handler returns, and a step of a task. Whoever called it acts on that and on nothing else.

#include <cstdint>

#include "pinfold/resp/reply.hpp"

namespace pinfold::command {

/// One word, returned in a register.
class [[nodiscard]] Outcome {
 public:
  /// The reply has been written: `return call.reply.ok();`.
  constexpr Outcome(resp::Written) : Outcome(Kind::done) {}
  /// The same where it was written before, or the command has none.
  static const Outcome done;
  /// Done, and the errors in the reply are those of the commands inside (EXEC), which were counted with them.
  static const Outcome errors_counted;
  /// The reply comes later: from the task or the wait that was left on the session. Of a step of a task: there is more to do.
  static const Outcome waits;
  /// Nothing was done, because values must grow by so many bytes for which there is no room. Dispatch takes back what was replied, makes
  /// room with nothing locked, and calls once more. Only where Call::may_retry; made by Call::refused().
  static constexpr Outcome needs_room(std::uint64_t bytes) { return Outcome(Kind::needs_room, bytes); }

  constexpr bool operator==(const Outcome&) const = default;

  constexpr bool needs_room() const { return kind() == Kind::needs_room; }
  /// The bytes that it needs; 0 unless needs_room().
  constexpr std::uint64_t bytes() const { return word_ >> kind_bits; }

 private:
  enum class Kind : std::uint64_t { done, errors_counted, waits, needs_room };
  constexpr explicit Outcome(Kind kind, std::uint64_t bytes = 0) : word_(static_cast<std::uint64_t>(kind) | bytes << kind_bits) {}
  constexpr Kind kind() const { return static_cast<Kind>(word_ & ((1U << kind_bits) - 1)); }

  static constexpr unsigned kind_bits = 8;
  // The kind, and above it the bytes. Not bit-fields: GCC 12 forgets what they were before a try block when a handler throws.
  std::uint64_t word_;
};

inline constexpr Outcome Outcome::done{Kind::done};
inline constexpr Outcome Outcome::errors_counted{Kind::errors_counted};
inline constexpr Outcome Outcome::waits{Kind::waits};

}  // namespace pinfold::command
