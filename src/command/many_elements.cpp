#include "pinfold/command/many_elements.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "pinfold/base/clock.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/types/edit.hpp"

namespace pinfold::command {

namespace {

constexpr unsigned most_tries = 4;
constexpr std::size_t elements_at_once = 128;
// What is free before a slice is applied: for copies of the leaves and nodes that it changes, which its elements do not ask for.
constexpr std::uint64_t room_for_copies = 256 * 1024;

std::uint64_t memory_of(const Call& call) {
  return Queued::memory(call.args, call.large != nullptr ? call.large->bytes() : 0) + call.args.size() * sizeof(std::string_view);
}

}  // namespace

Outcome write_elements(Call& call, const ElementsWrite& what, std::size_t first) {
  if (call.in_transaction || (call.args.size() - first) / what.words <= what.at_once) return what.whole(call);
  return ManyElementsTask::begin(call, std::make_unique<ManyElementsTask>(call, what, first));
}

ManyElementsTask::ManyElementsTask(Call& call, const ElementsWrite& what, std::size_t first)
    : what_(what),
      first_(first),
      memory_(call.engine, call.session.shared),
      draft_(call.engine.keyspace.memory(), what.type),
      room_(call.engine.keyspace) {}

Outcome ManyElementsTask::begin(Call& call, std::unique_ptr<ManyElementsTask> task) {
  if (!task->memory_.ask(memory_of(call))) return task->what_.whole(call);
  call.held.release();  // the copy may take a millisecond
  task->request_.emplace(call.row, call.args, call.large);
  task->request_->arguments(task->args_);
  return call.begin(std::move(task));
}

Outcome ManyElementsTask::step(Call& outer) {
  if (stage_ == Stage::answer) return answer(outer);
  const store::Key key = outer.engine.keyspace.key(args_[1]);
  for (const std::int64_t end = monotonic_us() + step_us;;) {
    const bool may_retry = stage_ == Stage::whole && lacks_ == 0;
    Call call(outer, request_->row(), args_, {&key, 1}, {.may_retry = may_retry, .large = request_->large()});
    const Progress progress = go_on(call, end);
    if (progress == Progress::ended) return stage_ == Stage::answer ? answer(outer) : Outcome::done;
    if (progress == Progress::more || monotonic_us() >= end) return Outcome::waits;
  }
}

ManyElementsTask::Progress ManyElementsTask::go_on(Call& call, std::int64_t end_us) {
  switch (stage_) {
    case Stage::check:
      return check(call, end_us);
    case Stage::look:
      return look(call);
    case Stage::apply:
      return apply(call, end_us);
    case Stage::store:
      return store(call);
    default:
      return run_whole(call, end_us);
  }
}

// How many arguments from one on are handled together.
std::size_t ManyElementsTask::slice_at(std::size_t at) const { return std::min(elements_at_once * what_.words, args_.size() - at); }

// As in Redis, malformed arguments are reported before a wrong type.
ManyElementsTask::Progress ManyElementsTask::check(Call& call, std::int64_t end_us) {
  if (at_ == 0) at_ = first_;
  while (what_.check != nullptr && at_ < args_.size()) {
    if (monotonic_us() >= end_us) return Progress::more;
    const std::size_t count = slice_at(at_);
    if (!what_.check(call, at_, count)) return Progress::ended;
    at_ += count;
  }
  stage_ = Stage::look;
  return Progress::stage;
}

ManyElementsTask::Progress ManyElementsTask::look(Call& call) {
  call.held.acquire(call.key());
  call.read_clock();
  store::Database db = call.db();
  const Progress progress = look_again(types::find_collection(db, call.key(), what_.type, store::Access::write()));
  call.held.release();
  return progress;
}

// Begins with the present value. The key is locked.
ManyElementsTask::Progress ManyElementsTask::look_again(const std::optional<store::Value>& value) {
  if (!draft_.begin(value)) return give_up();
  counted_ = 0;
  at_ = first_;
  lacks_ = room_for_copies;
  stage_ = Stage::apply;
  return Progress::stage;
}

ManyElementsTask::Progress ManyElementsTask::apply(Call& call, std::int64_t end_us) {
  using Result = store::GradualRoom::Result;
  while (at_ < args_.size()) {
    if (monotonic_us() >= end_us) return Progress::more;
    const Result made = room_.make(lacks_, end_us, draft_.memory());
    if (made == Result::more) return Progress::more;
    store::Room room;
    if (made == Result::none || !room_.hand_over(room)) return give_up();
    const std::size_t count = slice_at(at_);
    const ElementSlice slice{.first = at_, .count = count, .announced = at_ == first_ ? args_.size() - first_ : 0, .draft = draft_};
    std::uint64_t counted = 0;
    const store::Stored stored = what_.apply(call, slice, counted);
    if (stored) {
      counted_ += counted;
      at_ += count;
      lacks_ = room_for_copies;
    } else if (stored.needs_room() && stored.bytes() + room_for_copies > lacks_) {
      lacks_ = stored.bytes() + room_for_copies;
    } else {
      return give_up();
    }
  }
  if (!draft_.changed()) {  // so it has been executed when the value was looked up
    stage_ = Stage::answer;
    return Progress::ended;
  }
  stage_ = Stage::store;
  return Progress::stage;
}

ManyElementsTask::Progress ManyElementsTask::store(Call& call) {
  call.held.acquire(call.key());
  call.read_clock();
  store::Database db = call.db();
  types::Edit edit(db, call.key(), what_.type);
  if (!draft_.began_with(edit.value())) {
    const Progress progress = ++tries_ < most_tries ? look_again(edit.value()) : give_up();
    call.held.release();
    return progress;
  }
  const store::Stored stored = edit.put(draft_);
  call.held.release();
  if (!stored) {
    std::ignore = call.refused(stored);
    return Progress::ended;
  }
  irrevocable = true;
  stage_ = Stage::answer;
  return Progress::ended;
}

// The next step will execute the command with its key locked. It is another step because its work is named by the elements.
ManyElementsTask::Progress ManyElementsTask::give_up() {
  draft_.begin(std::nullopt);
  named.elements = args_.size() - first_;
  lacks_ = 0;
  stage_ = Stage::whole;
  return Progress::more;
}

ManyElementsTask::Progress ManyElementsTask::run_whole(Call& call, std::int64_t end_us) {
  using Result = store::GradualRoom::Result;
  store::Room room;
  if (lacks_ != 0) {
    const Result made = room_.make(lacks_, end_us);
    if (made == Result::more) return Progress::more;
    if (made == Result::none || !room_.hand_over(room)) {
      call.out_of_memory();
      return Progress::ended;
    }
  }
  call.held.acquire(call.key());
  call.read_clock();
  const Outcome outcome = what_.whole(call);
  call.held.release();
  if (!outcome.needs_room()) return Progress::ended;
  lacks_ = outcome.bytes();
  return Progress::stage;
}

}  // namespace pinfold::command
