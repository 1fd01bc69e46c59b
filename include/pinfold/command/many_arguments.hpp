#pragma once
// Answers for each of many arguments, in an array: HMGET, SMISMEMBER and ZMSCORE of so many elements that their key should not be locked
// meanwhile.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/command/call.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/task.hpp"

namespace pinfold::command {

/// A task with copies of the arguments behind the key, and with what a class that derives from it needs to answer. Not thread-safe: it
/// belongs to its client's thread.
class ManyArgumentsTask : public Task {
 public:
  /// `more`: bytes that the class which derives from it will copy. They count as memory of the client, as the arguments do.
  ManyArgumentsTask(Call& call, std::size_t more);
  /// Executes the command by `task`, which is complete. Copies the arguments when the key is no longer locked.
  static Outcome begin(Call& call, std::unique_ptr<ManyArgumentsTask> task);
  /// Whether there is memory for the copies. If not, nothing may be copied, and the client gets an error.
  bool kept() const { return kept_; }
  Outcome step(Call& call) final;

 protected:
  /// Replies to one argument, with nothing locked.
  virtual void answer(Call& call, std::string_view argument) = 0;

 private:
  void copy(Args arguments);

  ClientMemory memory_;
  bool kept_ = false;
  std::string texts_;
  std::vector<std::size_t> ends_;  // where each argument ends
  std::size_t next_ = 0;
};

}  // namespace pinfold::command
