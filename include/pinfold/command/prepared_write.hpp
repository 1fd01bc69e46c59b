#pragma once
// Writes that need something which takes long before they can be executed: a larger block for a value, its digest or a comparison. That is
// made as a task, with nothing locked; then the command is executed, and if the value has changed meanwhile it begins anew. After some
// tries it does what is no more than EXEC may do with the key locked, or gives up with an error.

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

/// What came of trying to execute such a command. Nothing, and then nothing has been done or replied: something has to be prepared first.
using Tried = std::optional<Outcome>;

/// Of a command whose one key is its first argument.
class PreparedWrite : public Task {
 public:
  /// `lacks`: bytes of room that the command needs beside what is prepared.
  PreparedWrite(Call& call, std::uint64_t lacks);
  Outcome step(Call& call) final;

 protected:
  enum class Progress : std::uint8_t { more, ready, failed };
  static constexpr std::size_t piece_bytes = 256 * 1024;
  /// An argument of the command; only while it is prepared.
  std::string_view argument(std::size_t at) const;

  /// Does a piece of what is to be done before, until `end_us`; with `failed` an error has been replied.
  virtual Progress prepare(Call& call, std::int64_t end_us) = 0;
  /// Executes the command. A `last` try does what EXEC would do with the key locked.
  virtual Tried write(Call& call, bool last) = 0;

  store::GradualRoom room_;  // first for what is prepared, then for what the command lacks

 private:
  static constexpr unsigned most_tries = 32;

  ClientMemory memory_;
  std::optional<Queued> request_;  // nothing if there is no memory for it
  unsigned tries_ = 0;
  std::uint64_t lacks_;  // it is asked for once
};

/// Executes a command with which a value may grow. If something has to be prepared, `growth` says what. Null: it does all by itself.
using GrowingWrite = Tried (*)(Call& call, store::Growth* growth);

/// Executes `write`, at once or as a task.
Outcome write_growing(Call& call, GrowingWrite write);
/// What comes of it if the value could not grow; nothing if that is only because it has to be prepared.
Tried not_grown(Call& call, store::Stored why);

/// A large value as it was when somebody looked, and what its bytes say: its digest, or whether they equal an argument.
struct KnownValue {
  KeptValue value;
  std::size_t argument = 0;  // to compare with; 0: the digest is asked for
  std::string digest;
  bool equal = false;
};
/// As GrowingWrite: nothing if `known` is not about the value that is there, which it then keeps. Null: it looks at the value by itself.
using InspectingWrite = Tried (*)(Call& call, KnownValue* known);
/// The rest of a command that has met a value which takes too long to look at with its key locked: `known` keeps it.
Outcome inspect_and_write(Call& call, InspectingWrite write, KnownValue known);

}  // namespace pinfold::command
