#pragma once
// A command that waits in MULTI for EXEC.

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "pinfold/command/large_arguments.hpp"

namespace pinfold::command {

struct Row;

/// Its row and a copy of its arguments, all in one block: a pipeline queues a hundred thousand small ones. Large arguments are kept as
/// they came.
class Queued {
 public:
  /// `large`: null, or the request's; they are taken over.
  Queued(const Row& command, std::span<const std::string_view> args, LargeArguments* large);

  const Row& row() const { return *row_; }
  /// Of the arguments, the command's name included.
  std::size_t count() const;
  /// Makes `args` views of the arguments, valid as long as this lives.
  void arguments(std::vector<std::string_view>& args) const;
  /// Null if there are none.
  LargeArguments* large() const { return large_.get(); }
  /// What the command will occupy from now until it is executed, but for large arguments, of which there are `large_bytes`.
  static std::size_t memory(std::span<const std::string_view> args, std::size_t large_bytes);

 private:
  std::size_t number(std::size_t at) const;

  const Row* row_;
  std::unique_ptr<char[]> block_;  // the number of arguments, their lengths, the bytes of those that are not large
  std::unique_ptr<LargeArguments> large_;
};

}  // namespace pinfold::command
