#include "pinfold/command/describe_task.hpp"

#include <string>
#include <utility>

#include "pinfold/command/command_table.hpp"

namespace pinfold::command {
namespace {

constexpr std::size_t few = 32;  // are described at once

}  // namespace

std::unique_ptr<DescribeTask> DescribeTask::make(Call& call, std::size_t count, Form form) {
  std::unique_ptr<DescribeTask> task(new DescribeTask(call, form));
  if (!task->memory_.ask(count * sizeof(const Row*))) {
    call.reply.error("ERR so many names would take more memory than clients may have (maxmemory-clients, maxmemory-user)");
    return nullptr;
  }
  task->rows_.reserve(count);
  return task;
}

Outcome DescribeTask::run(Call& call, std::unique_ptr<DescribeTask> task) {
  if (task->rows_.size() <= few) return call.run_whole(*task);
  return call.park(std::move(task));
}

Outcome DescribeTask::step(Call& call) {
  const std::size_t before = call.reply.output().size();
  if (!std::exchange(replying, true)) form_.begin(call.reply, rows_.size());
  while (next_ < rows_.size() && call.reply.output().size() - before < reply_piece) form_.describe(call.reply, rows_[next_++]);
  return next_ == rows_.size() ? Outcome::done : Outcome::waits;
}

}  // namespace pinfold::command
