#pragma once
// The result of a command: what a handler and a step of a task return. The caller acts on it and on nothing else.

#include <cstdint>

#include "pinfold/resp/reply.hpp"

namespace pinfold::command {

/// A plain value of one word, returned in a register.
class [[nodiscard]] Outcome {
 public:
  /// The reply has been written: `return call.reply.ok();`.
  constexpr Outcome(resp::Written) : Outcome(Kind::done) {}
  /// The reply was written before, or the command has none.
  static const Outcome done;
  /// The reply was written, and errors in it are not to be counted again. They are those of the commands that EXEC has run, and
  /// were counted with these commands.
  static const Outcome errors_counted;
  /// From a handler: the reply comes later, from the Waiting or the Task that the handler has left on the session. From a step
  /// of a task: there is more to do.
  static const Outcome waits;
  /// Nothing was done, because there is no room for `bytes` more. Dispatch takes back what was replied, makes room with nothing
  /// locked, and calls the handler again. Only if Call::may_retry is set. Call::refused() makes it.
  static constexpr Outcome needs_room(std::uint64_t bytes) { return Outcome(Kind::needs_room, bytes); }

  constexpr bool operator==(const Outcome&) const = default;

  constexpr bool needs_room() const { return kind() == Kind::needs_room; }
  /// The bytes for which room is needed; 0 unless needs_room().
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
