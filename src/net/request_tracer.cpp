#include "pinfold/net/request_tracer.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/random.hpp"
#include "pinfold/base/thread_clock.hpp"
#include "pinfold/base/waits.hpp"
#include "pinfold/command/transaction.hpp"

namespace pinfold::net {

namespace {

using command::Span;

// Random bytes that are not all zeros.
template <class Id>
Id random_id() {
  Id id{};
  for (std::size_t at = 0; at < id.size(); at += sizeof(std::uint64_t)) {
    const std::uint64_t bytes = random_u64() | 1U;
    std::memcpy(id.data() + at, &bytes, sizeof bytes);
  }
  return id;
}

// From one reading of the counter to a later one. 0 if the later one is behind, as it may be after the thread was moved to another core.
std::uint64_t ns_between(std::uint64_t from, std::uint64_t to) {
  const auto ticks = static_cast<std::int64_t>(to - from);
  return ticks > 0 ? ThreadClock::ns_of(static_cast<std::uint64_t>(ticks)) : 0;
}

}  // namespace

RequestTracer::~RequestTracer() { give_memory_back(); }

bool RequestTracer::begin(command::Session& session, const command::Row* row, command::Args args, std::uint64_t received) {
  constexpr std::uint64_t all = 100;
  TraceContext parent;
  if (command::SessionTrace& trace = session.trace; trace.present) {
    parent = trace.context;
    if (trace.once) trace = command::SessionTrace();
    if (!parent.sampled) return false;
  } else {
    const auto percent = static_cast<std::uint64_t>(engine_.settings.integer(config::Id::trace_sample_percent));
    if (percent == 0 || (percent < all && random_below(all) >= percent)) return false;
    parent.trace = random_id<TraceId>();
  }
  current_ = Span();
  current_.trace = parent.trace;
  current_.parent = parent.parent;
  current_.id = random_id<SpanId>();
  current_.row = row;
  current_.arguments = static_cast<std::uint32_t>(args.size());
  current_.db = session.db;
  const bool executes_queue = row != nullptr && row->name == "exec" && session.transaction != nullptr;
  current_.queued = executes_queue ? static_cast<std::uint32_t>(session.transaction->queue.size()) : 0;
  waited_before_ = thread_waits.total();
  room_before_ = thread_waits.room_total();
  began_ = ThreadClock::ticks();
  current_.queue = ns_between(received, began_);
  return true;
}

void RequestTracer::end_execution(const command::Session& session, std::string_view error) {
  ended_ = ThreadClock::ticks();
  const std::uint64_t passed = ns_between(began_, ended_);
  const std::uint64_t waits = ThreadClock::ns_of(thread_waits.total() - waited_before_);
  const std::uint64_t room = ThreadClock::ns_of(thread_waits.room_total() - room_before_);
  current_.room_wait = std::min(room, passed);
  current_.lock_wait = std::min(waits - std::min(waits, room), passed - current_.room_wait);
  current_.execute = passed - current_.room_wait - current_.lock_wait;
  current_.user = command::user_name(session.shared);
  current_.address = session.shared.address;
  current_.error = error;
}

void RequestTracer::executed(Chain& chain, const command::Session& session, std::string_view error, const Written& written) {
  end_execution(session, error);
  const bool waits = session.waits();
  if (!waits && chain.empty() && written.now >= written.in_the_end) return finish(current_, ended_);
  const std::uint32_t place = waits && waiting_ >= slots_.size() / 2 && !slots_.empty() ? Chain::none : take_slot();
  if (place == Chain::none) return engine_.tracing.drop();
  if (waits) ++waiting_;
  slots_[place] = {.span = current_, .since = ended_, .ends_at = waits ? not_replied : written.in_the_end};
  (chain.empty() ? chain.first : slots_[chain.last].next) = place;
  chain.last = place;
}

void RequestTracer::cut_off(const command::Session& session) {
  end_execution(session, "closed");
  finish(current_, ended_);
}

void RequestTracer::stepped(const Chain& chain, std::uint64_t ticks) {
  if (!chain.empty()) slots_[chain.last].stepped += ticks;
}

void RequestTracer::waited(Chain& chain, std::string_view error, const Written& written) {
  Open& open = slots_[chain.last];
  if (open.ends_at != not_replied) return;  // for the one that waits there was no slot
  const std::uint64_t now = ThreadClock::ticks();
  const std::uint64_t passed = ns_between(open.since, now);
  const std::uint64_t steps = std::min(ThreadClock::ns_of(open.stepped), passed);
  open.span.execute += steps;
  open.span.wait = passed - steps;
  open.span.error = error;
  open.since = now;
  open.ends_at = written.in_the_end;
  --waiting_;
  settle(chain, written.now);
}

void RequestTracer::settle(Chain& chain, std::uint64_t written) {
  const std::uint64_t now = ThreadClock::ticks();
  while (!chain.empty() && slots_[chain.first].ends_at <= written) {
    Open& open = slots_[chain.first];
    open.span.write = ns_between(open.since, now);
    finish(open.span, now);
    free_first(chain);
  }
}

void RequestTracer::close(Chain& chain) {
  const std::uint64_t now = ThreadClock::ticks();
  while (!chain.empty()) {
    Open& open = slots_[chain.first];
    const bool waits = open.ends_at == not_replied;
    if (waits) --waiting_;
    (waits ? open.span.wait : open.span.write) = ns_between(open.since, now);
    open.span.error = "closed";
    finish(open.span, now);
    free_first(chain);
  }
}

// `now` is when it has ended, a moment ago.
void RequestTracer::finish(Span& span, std::uint64_t now) {
  constexpr std::int64_t ns_per_us = 1000;
  const std::uint64_t since = ns_between(now, ThreadClock::ticks());
  span.start_ns = unix_us() * ns_per_us - static_cast<std::int64_t>(since + span.duration());
  engine_.tracing.add(span);
}

// Returns false if there is none. All threads together have about as many slots as the queue has room.
bool RequestTracer::take_memory() {
  const std::size_t share = engine_.tracing.capacity() / engine_.stats.thread_count();
  const std::size_t count = std::max(share, command::Tracing::least_waiting);
  try {
    slots_.resize(count);
  } catch (const std::bad_alloc&) {
    return false;
  }
  accounted_ = static_cast<std::int64_t>(slots_.capacity() * sizeof(Open));
  engine_.tracing.memory().add(store::Use::sampling, accounted_);
  for (std::size_t i = 0; i < count; ++i) slots_[i].next = i + 1 < count ? static_cast<std::uint32_t>(i + 1) : Chain::none;
  free_ = 0;
  return true;
}

void RequestTracer::give_memory_back() {
  if (slots_.empty()) return;
  std::vector<Open>().swap(slots_);
  free_ = Chain::none;
  engine_.tracing.memory().add(store::Use::sampling, -accounted_);
}

void RequestTracer::tend() {
  if (!any() && !engine_.tracing.on()) give_memory_back();
}

std::uint32_t RequestTracer::take_slot() {
  if (slots_.empty() && !take_memory()) return Chain::none;
  const std::uint32_t place = free_;
  if (place == Chain::none) return place;
  free_ = slots_[place].next;
  ++used_;
  return place;
}

void RequestTracer::free_first(Chain& chain) {
  const std::uint32_t place = chain.first;
  chain.first = slots_[place].next;
  if (chain.empty()) chain.last = Chain::none;
  slots_[place].next = free_;
  free_ = place;
  --used_;
}

}  // namespace pinfold::net
