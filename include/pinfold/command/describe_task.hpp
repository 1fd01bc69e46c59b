#pragma once
// Describes commands that a client names, for COMMAND INFO and DOCS. A few bytes of a name ask for kilobytes, and may be there again
// and again, so the reply goes out in pieces: the next one when the client has read the one before.

#include <cstddef>
#include <memory>
#include <vector>

#include "pinfold/command/call.hpp"
#include "pinfold/command/task.hpp"

namespace pinfold::command {

class DescribeTask : public Task {
 public:
  /// How the reply begins, for so many commands, and what it says of each; null where a name is unknown.
  struct Form {
    void (*begin)(resp::Reply& reply, std::size_t count);
    void (*describe)(resp::Reply& reply, const Row* row);
  };

  /// For up to `count` commands. Null if there is no memory for so many; then the error has been replied.
  static std::unique_ptr<DescribeTask> make(Call& call, std::size_t count, Form form);
  void add(const Row* command) { rows_.push_back(command); }
  /// Replies with what was added.
  static void run(Call& call, std::unique_ptr<DescribeTask> task);

  bool step(Call& call) override;

 private:
  DescribeTask(const Call& call, Form form) : memory_(call.engine, call.session.shared), form_(form) {}

  ClientMemory memory_;
  const Form form_;
  std::vector<const Row*> rows_;
  std::size_t next_ = 0;
};

}  // namespace pinfold::command
