#pragma once
// Writes that have to prepare something which takes long: a larger block for a value, the digest of a value, or a comparison
// with it.
//
// A task prepares it with nothing locked, and then executes the command. If the value has changed meanwhile, the task begins
// again. The last of 32 tries does with the key locked what EXEC would do, if that is not too much, or replies an error.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pinfold/command/call.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/queued.hpp"
#include "pinfold/command/task.hpp"
#include "pinfold/store/gradual_room.hpp"
#include "pinfold/store/growth.hpp"

namespace pinfold::command {

/// The result of a try to execute such a command. Empty if something has to be prepared first; then nothing has been done or
/// replied.
using Tried = std::optional<Outcome>;

/// The task of a command that has one key, which is its first argument. Keeps a copy of the request, because the arguments of
/// the call are valid only during the call. Counts the copy as memory of clients.
class PreparedWrite : public Task {
 public:
  /// `lacks`: how many bytes of room the command needs beside those of what is prepared.
  PreparedWrite(Call& call, std::uint64_t lacks);
  Outcome step(Call& call) final;

 protected:
  enum class Progress : std::uint8_t { more, ready, failed };
  static constexpr std::size_t piece_bytes = 256 * 1024;
  /// An argument of the command. Called by prepare() only.
  std::string_view argument(std::size_t at) const;

  /// Does a piece of the preparation, until the time `end_us` of monotonic_us(). If it returns `failed`, it has replied an
  /// error.
  virtual Progress prepare(Call& call, std::int64_t end_us) = 0;
  /// Tries to execute the command, with its key locked. The `last` try prepares nothing: it does what EXEC would do.
  virtual Tried write(Call& call, bool last) = 0;

  store::GradualRoom room_;  // the room for what is prepared, and then the room that the command lacks

 private:
  static constexpr unsigned most_tries = 32;

  ClientMemory memory_;
  std::optional<Queued> request_;  // the copy of the request; empty if there was no memory for it
  unsigned tries_ = 0;
  std::uint64_t lacks_;  // bytes that the command lacks, as its last try has said; with 0 it may still ask for some
};

/// Executes a command that may make a value larger. Returns an empty Tried if a block has to be prepared; `growth` then
/// describes the block. If `growth` is null, the command prepares nothing.
using GrowingWrite = Tried (*)(Call& call, store::Growth* growth);

/// Executes `write` at once, or as a task if a block has to be prepared.
Outcome write_growing(Call& call, GrowingWrite write);
/// What a GrowingWrite returns when its resize was refused: an empty Tried for Stored::must_prepare, otherwise what
/// Call::refused() returns or an error that was replied.
Tried not_grown(Call& call, store::Stored why);

/// What a task has found out about a large value: its digest, or whether it equals an argument.
struct KnownValue {
  KeptValue value;           // the value, as it was then
  std::size_t argument = 0;  // the index of the argument to compare the value with; 0: the digest is to be computed
  std::string digest;
  bool equal = false;
};
/// Executes a command that depends on what a value contains. Returns an empty Tried if `known` is not about the present value;
/// it then puts the present value into `known`. If `known` is null, it inspects the value by itself.
using InspectingWrite = Tried (*)(Call& call, KnownValue* known);
/// Executes `write` as a task, which inspects the value in `known` first. For a value that takes too long to inspect with its
/// key locked.
Outcome inspect_and_write(Call& call, InspectingWrite write, KnownValue known);

}  // namespace pinfold::command
