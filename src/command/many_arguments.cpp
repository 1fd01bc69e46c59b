#include "pinfold/command/many_arguments.hpp"

#include <utility>

#include "pinfold/base/clock.hpp"

namespace pinfold::command {

ManyArgumentsTask::ManyArgumentsTask(Call& call, std::size_t more) : memory_(call.engine, call.session.shared) {
  const Args arguments = call.args.subspan(2);
  std::size_t bytes = 0;
  for (const std::string_view argument : arguments) bytes += argument.size();
  kept_ = memory_.ask(more + bytes + arguments.size() * sizeof(std::size_t));
  if (!kept_) return;
  texts_.reserve(bytes);
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
