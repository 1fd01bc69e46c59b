#include "pinfold/base/event_log.hpp"

#include <new>
#include <utility>

#include "pinfold/base/words.hpp"

namespace pinfold {

namespace {

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
    case Kind::auth_limited:
      return "attempts to authenticate that were refused";
    case Kind::rate_limited:
      return "requests beyond the rate of their users";
    case Kind::http:
      return "clients that send HTTP";
    case Kind::closed_clients:
      return "clients that were closed";
    case Kind::not_accepted:
      return "connections that could not be accepted";
    case Kind::handshakes:
      return "TLS handshakes that have failed";
    case Kind::certificates:
    case Kind::bad_certificates:
      return "certificates";
    default:
      return "what administrators did";
  }
}

}  // namespace

EventLog::EventLog(std::span<const std::string_view> commands) : throttles_(static_cast<unsigned>(Kind::count) + commands.size()) {
  for (unsigned kind = 0; kind < static_cast<unsigned>(Kind::count); ++kind) throttles_[kind].kind = static_cast<Kind>(kind);
  for (std::size_t i = 0; i < commands.size(); ++i) throttles_[static_cast<unsigned>(Kind::count) + i].command = commands[i];
}

void EventLog::add(Throttle& throttle, std::string text) {
  const std::lock_guard lock(mutex_);
  if (waiting_.size() >= most_waiting) {
    throttle.leave_out();
    return;
  }
  if (const std::uint64_t missing = throttle.take_left_out()) {
    text += " (" + std::to_string(missing) + " such lines before this one were left out)";
  }
  waiting_.push_back({throttle.kind, std::chrono::system_clock::now(), std::move(text)});
}

void EventLog::add_left_out(Throttle& throttle, std::vector<Line>& lines) {
  const std::string about = throttle.command.empty() ? std::string(subject(throttle.kind)) : shown_command(throttle.command);
  lines.reserve(lines.size() + 1);
  const std::uint64_t missing = throttle.take_left_out();
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
  try {
    for (Throttle& throttle : throttles_) {
      if (!throttle.has_left_out()) continue;
      if (all || throttle.is_over()) add_left_out(throttle, lines);
    }
  } catch (const std::bad_alloc&) {  // the counts that are left are reported the next time
  }
  return lines;
}

}  // namespace pinfold
