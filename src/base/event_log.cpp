#include "pinfold/base/event_log.hpp"

#include <new>
#include <utility>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/words.hpp"

namespace pinfold {

namespace {

constexpr unsigned count_bits = 8;
constexpr auto relaxed = std::memory_order_relaxed;

std::uint64_t second_now() { return static_cast<std::uint64_t>(monotonic_us() / 1'000'000); }

// The subject of a kind's lines.
std::string_view subject(EventLog::Kind kind) {
  using Kind = EventLog::Kind;
  switch (kind) {
    case Kind::purges:
      return "purges";
    case Kind::policies:
      return "contradictory policies";
    case Kind::out_of_memory:
      return "requests refused for want of memory";
    case Kind::max_clients:
      return "connections refused because of maxclients";
    case Kind::refused_clients:
      return "connections refused by protected-mode";
    case Kind::http:
      return "clients that send HTTP";
    case Kind::closed_clients:
      return "clients that were closed";
    case Kind::not_accepted:
      return "connections that could not be accepted";
    default:
      return "what administrators did";
  }
}

}  // namespace

EventLog::EventLog(std::span<const std::string_view> commands) : throttles_(static_cast<unsigned>(Kind::count) + commands.size()) {
  for (unsigned kind = 0; kind < static_cast<unsigned>(Kind::count); ++kind) throttles_[kind].kind = static_cast<Kind>(kind);
  for (std::size_t i = 0; i < commands.size(); ++i) throttles_[static_cast<unsigned>(Kind::count) + i].command = commands[i];
}

bool EventLog::admits(Throttle& throttle) {
  constexpr std::uint64_t count_mask = (1U << count_bits) - 1;
  const std::uint64_t second = second_now();
  std::uint64_t known = throttle.window.load(relaxed);
  for (;;) {
    const bool same = known >> count_bits == second;
    if (same && (known & count_mask) >= per_second(throttle.kind)) {
      throttle.left_out.fetch_add(1, relaxed);
      return false;
    }
    const std::uint64_t next = same ? known + 1 : second << count_bits | 1;
    if (throttle.window.compare_exchange_weak(known, next, relaxed)) return true;
  }
}

void EventLog::add(Throttle& throttle, std::string text) {
  const std::lock_guard lock(mutex_);
  if (waiting_.size() >= most_waiting) {
    throttle.left_out.fetch_add(1, relaxed);
    return;
  }
  if (const std::uint64_t missing = throttle.left_out.exchange(0, relaxed)) {
    text += " (" + std::to_string(missing) + " such lines before this one were left out)";
  }
  waiting_.push_back({throttle.kind, std::chrono::system_clock::now(), std::move(text)});
}

void EventLog::add_left_out(Throttle& throttle, std::vector<Line>& lines) {
  const std::string about = throttle.command.empty() ? std::string(subject(throttle.kind)) : shown_command(throttle.command);
  lines.reserve(lines.size() + 1);
  const std::uint64_t missing = throttle.left_out.exchange(0, relaxed);
  if (missing == 0) return;
  lines.push_back({throttle.kind, std::chrono::system_clock::now(),
                   std::to_string(missing) + (missing == 1 ? " line about " : " lines about ") + about + (missing == 1 ? " was" : " were") +
                       " left out"});
}

std::vector<EventLog::Line> EventLog::take(bool all) {
  std::vector<Line> lines;
  {
    const std::lock_guard lock(mutex_);
    lines.swap(waiting_);
  }
  const std::uint64_t second = second_now();
  try {
    for (Throttle& throttle : throttles_) {
      if (throttle.left_out.load(relaxed) == 0) continue;
      if (all || throttle.window.load(relaxed) >> count_bits != second) add_left_out(throttle, lines);
    }
  } catch (const std::bad_alloc&) {  // the counts that are left are reported the next time
  }
  return lines;
}

}  // namespace pinfold
