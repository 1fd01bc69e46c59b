#include "pinfold/command/many_arguments.hpp"

#include <numeric>
#include <utility>

#include "pinfold/base/clock.hpp"

namespace pinfold::command {

namespace {
Args arguments_of(const Call& call) { return call.args.subspan(2); }

std::size_t bytes_of(Args arguments) {
  return std::accumulate(arguments.begin(), arguments.end(), std::size_t{0},
                         [](std::size_t sum, std::string_view argument) { return sum + argument.size(); });
}
}  // namespace

ManyArgumentsTask::ManyArgumentsTask(Call& call, std::size_t more) : memory_(call.engine, call.session.shared) {
  const Args arguments = arguments_of(call);
  kept_ = memory_.ask(more + bytes_of(arguments) + arguments.size() * sizeof(std::size_t));
}

Outcome ManyArgumentsTask::begin(Call& call, std::unique_ptr<ManyArgumentsTask> task) {
  call.held.release();  // the copies may take a millisecond
  if (task->kept_) task->copy(arguments_of(call));
  return call.begin(std::move(task));
}

void ManyArgumentsTask::copy(Args arguments) {
  texts_.reserve(bytes_of(arguments));
  ends_.reserve(arguments.size());
  for (const std::string_view argument : arguments) {
    texts_ += argument;
    ends_.push_back(texts_.size());
  }
}

Outcome ManyArgumentsTask::step(Call& call) {
  if (!kept_) return call.reply.error(beyond_clients_memory);
  if (!std::exchange(replying, true)) call.reply.array(ends_.size());
  const std::int64_t end = monotonic_us() + step_us;
  const std::size_t full = call.reply.output().size() + reply_piece;
  constexpr std::size_t between_looks = 64;
  while (next_ < ends_.size() && call.reply.output().size() < full) {
    const std::size_t begin = next_ == 0 ? 0 : ends_[next_ - 1];
    answer(call, std::string_view(texts_).substr(begin, ends_[next_] - begin));
    if (++next_ % between_looks == 0 && monotonic_us() >= end) break;
  }
  return next_ < ends_.size() ? Outcome::waits : Outcome::done;
}

}  // namespace pinfold::command
