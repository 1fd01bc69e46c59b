#include "pinfold/command/prepared_write.hpp"

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/value_condition.hpp"

namespace pinfold::command {

namespace {
std::uint64_t memory_of(const Call& call) { return Queued::memory(call.args, call.large != nullptr ? call.large->bytes() : 0); }

std::string kept_changing(const Call& call) {
  return "ERR the value of " + shown_name(call) + " kept changing while it was looked at, try again";
}
}  // namespace

PreparedWrite::PreparedWrite(Call& call, std::uint64_t lacks)
    : room_(call.engine.keyspace), memory_(call.engine, call.session.shared), lacks_(lacks) {
  if (memory_.ask(memory_of(call))) request_.emplace(call.row, call.args, call.large);
}

std::string_view PreparedWrite::argument(std::size_t at) const {
  std::vector<std::string_view> args;
  request_->arguments(args);
  return args[at];
}

Outcome PreparedWrite::step(Call& call) {
  if (!request_) return call.reply.error(beyond_clients_memory);
  for (const std::int64_t end = monotonic_us() + step_us;;) {
    const Progress progress = prepare(call, end);
    if (progress != Progress::ready) return progress == Progress::failed ? Outcome::done : Outcome::waits;
    if (lacks_ != 0 && room_.make(lacks_, end) == store::GradualRoom::Result::more) return Outcome::waits;
    store::Room room;
    room_.hand_over(room);
    std::vector<std::string_view> args;
    request_->arguments(args);
    const store::Key key = call.engine.keyspace.key(args[1]);
    call.held.acquire(key);
    call.read_clock();
    Call again(call, request_->row(), args, {&key, 1}, {.may_retry = lacks_ == 0, .large = request_->large()});
    const Tried tried = write(again, tries_ + 1 == most_tries);
    if (tried && !tried->needs_room()) return *tried;
    call.held.release();
    if (tried) {
      lacks_ = tried->bytes();
    } else if (++tries_ == most_tries) {
      return call.reply.error(kept_changing(call));
    }
    if (monotonic_us() >= end) return Outcome::waits;
  }
}

// --- growing ---

namespace {

class GrowTask : public PreparedWrite {
 public:
  /// `first`: what came of it when it was tried.
  GrowTask(Call& call, Tried first, GrowingWrite execute, store::Growth growth)
      : PreparedWrite(call, first ? first->bytes() : 0), write_(execute), growth_(std::move(growth)), prepares_(!first) {}

 private:
  Progress prepare(Call& call, std::int64_t end_us) override {
    if (!prepares_) return Progress::ready;  // all that was missing was room
    if (!growth_.block) {
      if (const Progress progress = begin(call, end_us); progress != Progress::ready) return progress;
    }
    const std::string_view source = growth_.source ? growth_.source.view() : std::string_view();
    while (copied_ < source.size()) {
      if (monotonic_us() >= end_us) return Progress::more;
      const std::string_view piece = source.substr(copied_, piece_bytes);
      std::memcpy(growth_.block.data() + copied_, piece.data(), piece.size());
      work::bytes(piece.size());
      copied_ += piece.size();
      growth_.block.set_size(copied_);
    }
    // A megabyte at most: the pages of a mapping are zero.
    if (growth_.block.size() < growth_.size) growth_.block.resize(growth_.size);
    return Progress::ready;
  }

  Progress begin(Call& call, std::int64_t end_us) {
    copied_ = 0;
    const std::uint64_t source = growth_.source ? growth_.source.memory() : 0;  // both are there for a while
    const auto made = room_.make(growth_.capacity, end_us, source);
    if (made == store::GradualRoom::Result::more) return Progress::more;
    store::Room room;
    if (made == store::GradualRoom::Result::ready && room_.hand_over(room)) {
      growth_.block = Blob::allocate(call.engine.keyspace.memory().heap(), 0, growth_.capacity);
    }
    if (growth_.block) return Progress::ready;
    call.out_of_memory();
    return Progress::failed;
  }

  Tried write(Call& call, bool last) override {
    growth_.may_wait = !last;
    const Tried tried = write_(call, &growth_);
    prepares_ = !tried;
    return tried;
  }

  const GrowingWrite write_;
  store::Growth growth_;
  bool prepares_;  // a block
  std::size_t copied_ = 0;
};

}  // namespace

Outcome write_growing(Call& call, GrowingWrite write) {
  constexpr std::uint64_t much = 1024 * 1024;
  store::Growth growth;
  growth.may_wait = !call.in_transaction;
  const std::size_t mark = call.reply.output().mark();
  const Tried tried = write(call, &growth);
  // Dispatch makes room by itself where it is little.
  if (tried && tried->bytes() <= much) return *tried;
  call.reply.output().truncate(mark);
  return call.begin(std::make_unique<GrowTask>(call, tried, write, std::move(growth)));
}

Tried not_grown(Call& call, store::Stored why) {
  if (why == store::Stored::must_prepare) return std::nullopt;
  if (why != store::Stored::takes_too_long) return call.refused(why);
  if (!call.in_transaction) return call.reply.error(kept_changing(call));
  return call.reply.error(("ERR " + shown_name(call)).append(shown_place(call)) + " copies values of " +
                          std::to_string(store::Growth::most_without_waiting / 1024) +
                          " KB at most: this one is shared by a copy or an unread reply");
}

// --- looking at a value ---

namespace {

class InspectTask : public PreparedWrite {
 public:
  InspectTask(Call& call, InspectingWrite execute, KnownValue known) : PreparedWrite(call, 0), write_(execute), known_(std::move(known)) {}

 private:
  Progress prepare(Call&, std::int64_t end_us) override {
    const bool compares = known_.argument != 0;
    const std::string_view operand = compares ? argument(known_.argument) : std::string_view();
    for (const std::string_view text = known_.value.text(); at_ < text.size(); at_ += piece_bytes) {
      if (monotonic_us() >= end_us) return Progress::more;
      const std::string_view piece = text.substr(at_, piece_bytes);
      if (!compares) {
        digest_.add(piece);
      } else if (piece != operand.substr(at_, piece_bytes)) {
        break;
      }
    }
    known_.equal = compares && at_ >= known_.value.text().size();
    if (!compares) known_.digest = digest_.text();
    return Progress::ready;
  }

  Tried write(Call& call, bool last) override {
    if (const Tried tried = write_(call, &known_)) return tried;
    if (last && known_.argument != 0) return write_(call, nullptr);
    digest_ = RunningDigest();
    at_ = 0;
    return std::nullopt;
  }

  const InspectingWrite write_;
  KnownValue known_;
  RunningDigest digest_;
  std::size_t at_ = 0;
};

}  // namespace

Outcome inspect_and_write(Call& call, InspectingWrite write, KnownValue known) {
  const bool named = known.argument != 0;  // the request has as many bytes itself
  if (call.in_transaction && named) return *write(call, nullptr);
  if (refuse_long_inside_exec(call, known.value.text().size())) return Outcome::done;
  return call.begin(std::make_unique<InspectTask>(call, write, std::move(known)));
}

}  // namespace pinfold::command
