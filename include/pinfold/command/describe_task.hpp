#pragma once
// Describes the commands that a client names, for COMMAND INFO and COMMAND DOCS. The few bytes of a name ask for kilobytes of reply, and
// a name may be repeated many times. So the reply is sent in pieces, each when the client has read the one before.

#include <cstddef>
#include <memory>
#include <vector>

#include "pinfold/command/call.hpp"
#include "pinfold/command/task.hpp"

namespace pinfold::command {

class DescribeTask : public Task {
 public:
  /// Writes the beginning of a reply for `count` commands, and the description of each command. `row` is null for an unknown name.
  struct Form {
    void (*begin)(resp::Reply& reply, std::size_t count);
    void (*describe)(resp::Reply& reply, const Row* row);
  };

  /// Makes a task for up to `count` commands. Returns null if clients may not take that much memory. Then it has replied with the error.
  static std::unique_ptr<DescribeTask> make(Call& call, std::size_t count, Form form);
  void add(const Row* command) { rows_.push_back(command); }
  /// Replies with the descriptions of the added commands.
  static Outcome run(Call& call, std::unique_ptr<DescribeTask> task);

  Outcome step(Call& call) override;

 private:
  DescribeTask(const Call& call, Form form) : memory_(call.engine, call.session.shared), form_(form) {}

  ClientMemory memory_;
  const Form form_;
  std::vector<const Row*> rows_;
  std::size_t next_ = 0;
};

}  // namespace pinfold::command
