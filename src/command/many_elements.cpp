#include "pinfold/command/many_elements.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "pinfold/base/clock.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/thresholds.hpp"
#include "pinfold/types/edit.hpp"

namespace pinfold::command {

namespace {

constexpr unsigned most_tries = 4;
constexpr unsigned most_rounds = 64;
constexpr std::size_t elements_at_once = 128;
constexpr unsigned slices_between_looks = 16;
// What is free before the first slice is applied. If a slice asks for more, because it may copy nodes, the following ones get as much.
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
    case Stage::sort_names:
      return sort_names(end_us);
    case Stage::compare:
      return compare(end_us);
    case Stage::follow:
      return follow(call, end_us);
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
  return begin_stage(Stage::look);
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
  applied_ = first_;
  lacks_ = room_for_copies;
  return begin_stage(Stage::apply);
}

ManyElementsTask::Progress ManyElementsTask::apply(Call& call, std::int64_t end_us) {
  using Result = store::GradualRoom::Result;
  while (applied_ < args_.size()) {
    if (monotonic_us() >= end_us) return Progress::more;
    const Result made = room_.make(lacks_, end_us, draft_.memory());
    if (made == Result::more) return Progress::more;
    store::Room room;
    if (made == Result::none || !room_.hand_over(room)) return give_up();
    const std::size_t count = slice_at(applied_);
    const std::size_t announced = applied_ == first_ ? args_.size() - first_ : 0;
    std::uint64_t counted = 0;
    const store::Stored stored = what_.apply(call, {applied_, count, announced, draft_}, counted);
    if (!stored) {
      if (!may_ask_for(stored)) return give_up();
      continue;
    }
    counted_ += counted;
    applied_ += count;
    // The less others have written, the shorter it takes to follow them.
    if (++slices_ % slices_between_looks == 0 && applied_ < args_.size()) {
      if (const Progress progress = look_for_others(call); progress != Progress::stage || stage_ != Stage::apply) return progress;
    }
  }
  if (!draft_.changed()) {  // so it has been executed when the value was looked up
    stage_ = Stage::answer;
    return Progress::ended;
  }
  return begin_stage(Stage::store);
}

// Whether the room for which a slice has asked may be made. It may not if that has been done already.
bool ManyElementsTask::may_ask_for(store::Stored refused) {
  if (!refused.needs_room() || refused.bytes() + room_for_copies <= lacks_) return false;
  lacks_ = refused.bytes() + room_for_copies;
  return true;
}

ManyElementsTask::Progress ManyElementsTask::look_for_others(Call& call) {
  call.held.acquire(call.key());
  call.read_clock();
  store::Database db = call.db();
  const auto value = types::find_collection(db, call.key(), what_.type, store::Access::none());
  const Progress progress = draft_.began_with(value) ? Progress::stage : meet_others(value);
  call.held.release();
  return progress;
}

ManyElementsTask::Progress ManyElementsTask::store(Call& call) {
  call.held.acquire(call.key());
  call.read_clock();
  store::Database db = call.db();
  types::Edit edit(db, call.key(), what_.type);
  if (!draft_.began_with(edit.value())) {
    const Progress progress = meet_others(edit.value());
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

// Somebody has written the key, which is locked.
ManyElementsTask::Progress ManyElementsTask::meet_others(const std::optional<store::Value>& value) {
  if (applied_ == args_.size()) ++rounds_;
  if (what_.type != store::Type::list && rounds_ <= most_rounds) {
    successor_ = draft_.successor(value);
    if (successor_) return begin_stage(names_.empty() ? Stage::sort_names : Stage::compare);
  }
  return ++tries_ < most_tries ? look_again(value) : give_up();
}

ManyElementsTask::Progress ManyElementsTask::sort_names(std::int64_t end_us) {
  if (at_ == 0) {
    const std::size_t count = elements().size() / what_.words;
    if (!memory_.ask(2 * count * sizeof(Name))) return give_up();
    names_.reserve(count);
    at_ = first_;
  }
  constexpr std::size_t between_looks = 256;
  for (; at_ < args_.size(); at_ += what_.words) {
    if (names_.size() % between_looks == 0 && monotonic_us() >= end_us) return Progress::more;
    names_.push_back({store::hash_of_text(args_[at_ + what_.name]), at_});
  }
  if (!sorting_) sorting_.emplace(names_, std::less<>());
  if (!sorting_->go_on(end_us)) return Progress::more;
  sorting_.reset();
  return begin_stage(Stage::compare);
}

// Finds out what others have written.
ManyElementsTask::Progress ManyElementsTask::compare(std::int64_t end_us) {
  using store::Collection;
  if (others_ == nullptr) {
    others_ = types::OthersChanges::between(Collection::of(draft_.before()->handle()), Collection::of(successor_.get()));
    if (others_ == nullptr) {
      successor_ = {};
      return ++tries_ < most_tries ? begin_stage(Stage::look) : give_up();
    }
    if (!memory_.ask(others_memory_ = others_->memory())) return give_up();
  }
  while (!others_->go_on()) {
    if (monotonic_us() >= end_us) return Progress::more;
  }
  lacks_ = room_for_copies;
  return begin_stage(Stage::follow);
}

// Makes the draft what it would be if they had written before.
ManyElementsTask::Progress ManyElementsTask::follow(Call& call, std::int64_t end_us) {
  using Result = store::GradualRoom::Result;
  constexpr std::size_t changes_at_once = 32;
  const auto& changes = others_->changes();
  while (at_ < changes.size()) {
    if (monotonic_us() >= end_us) return Progress::more;
    const Result made = room_.make(lacks_, end_us, draft_.memory());
    if (made == Result::more) return Progress::more;
    store::Room room;
    if (made == Result::none || !room_.hand_over(room)) return give_up();
    for (std::size_t some = changes_at_once; some > 0 && at_ < changes.size(); --some) {
      const store::Stored stored = follow(call, changes[at_]);
      if (!stored) {
        if (!may_ask_for(stored)) return give_up();
        break;
      }
      ++at_;
    }
  }
  others_.reset();
  memory_.give_back(others_memory_);
  draft_.succeed(std::move(successor_));
  return begin_stage(applied_ < args_.size() ? Stage::apply : Stage::store);
}

// Does the same when it is called once more, if it has been refused.
store::Stored ManyElementsTask::follow(Call& call, const types::OthersChanges::Change& change) {
  const store::Element element = change.element(what_.type);
  store::Element::Digits digits;
  const std::vector<std::string_view> words = words_for(element.hash(), element.text(digits));
  store::Database db = call.db();
  const types::Thresholds limits = thresholds(call.engine);
  BlockHeap& heap = call.engine.keyspace.memory().heap();
  const auto put = [&](types::Draft& draft, const char* item) { return put_item(db, call.key(), heap, limits, draft, element, item); };
  const auto put_in_draft = [&] { return draft_.follow([&] { return put(draft_, change.now); }); };
  if (words.empty()) return put_in_draft();
  // What it counted for this element counts no more.
  Call for_element(call, call.row, words, call.keys, {});
  const std::size_t count = words.size() - first_;
  types::Draft as_before(call.engine.keyspace.memory(), what_.type);
  std::uint64_t counted_before = 0;
  std::uint64_t counted_now = 0;
  if (change.before != nullptr) {
    if (const store::Stored stored = put(as_before, change.before); !stored) return stored;
  }
  if (const store::Stored stored = what_.apply(for_element, {first_, count, 0, as_before}, counted_before); !stored) return stored;
  if (const store::Stored stored = put_in_draft(); !stored) return stored;
  if (const store::Stored stored = what_.apply(for_element, {first_, count, 0, draft_}, counted_now); !stored) return stored;
  counted_ += counted_now - counted_before;
  return store::Stored::done;
}

// A request that has but those arguments which concern one element, as far as they have been applied; empty if there are none.
std::vector<std::string_view> ManyElementsTask::words_for(std::uint64_t hash, std::string_view name) const {
  std::vector<std::string_view> words;
  for (auto at = std::ranges::lower_bound(names_, Name{hash, 0}); at != names_.end() && at->hash == hash; ++at) {
    if (at->at >= applied_ || args_[at->at + what_.name] != name) continue;
    if (words.empty()) words.assign(args_.begin(), args_.begin() + static_cast<std::ptrdiff_t>(first_));
    const auto first = args_.begin() + static_cast<std::ptrdiff_t>(at->at);
    words.insert(words.end(), first, first + static_cast<std::ptrdiff_t>(what_.words));
  }
  return words;
}

// The next step will execute the command with its key locked. It is another step because its work is named by the elements.
ManyElementsTask::Progress ManyElementsTask::give_up() {
  draft_.begin(std::nullopt);
  others_.reset();
  successor_ = {};
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
