#pragma once
// A command that is queued by MULTI and waits for EXEC.

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "pinfold/command/large_arguments.hpp"

namespace pinfold::command {

struct Row;

/// Keeps the row of the command and a copy of its arguments. The copy is one block, because a pipeline may queue a hundred thousand small
/// commands. Large arguments are kept in the blocks in which they arrived.
class Queued {
 public:
  /// `large`: the large arguments of the request, which are taken over; may be null.
  Queued(const Row& command, std::span<const std::string_view> args, LargeArguments* large);

  const Row& row() const { return *row_; }
  /// The number of arguments, with the name of the command.
  std::size_t count() const;
  /// Fills `args` with views of the arguments. They are valid as long as this object exists.
  void arguments(std::vector<std::string_view>& args) const;
  /// The large arguments; null if there are none.
  LargeArguments* large() const { return large_.get(); }
  /// The memory that a command will take from now until it is executed, without the `large_bytes` bytes of its large arguments.
  static std::size_t memory(std::span<const std::string_view> args, std::size_t large_bytes);

 private:
  std::size_t number(std::size_t at) const;

  const Row* row_;
  std::unique_ptr<char[]> block_;  // the number of arguments, their lengths, and the bytes of those that are not large
  std::unique_ptr<LargeArguments> large_;
};

}  // namespace pinfold::command
