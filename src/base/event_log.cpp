#include "pinfold/base/event_log.hpp"

#include <cstddef>
#include <iterator>
#include <new>
#include <utility>

#include "pinfold/base/words.hpp"

namespace pinfold {

namespace {

using Kind = EventLog::Kind;
using Level = EventLog::Level;

struct KindRow {
  Kind kind;
  Level level;
  std::string_view subject;  // of its lines
};
// In the order of Kind.
constexpr KindRow kKinds[] = {
    {Kind::administration, Level::notice, "what administrators did"},
    {Kind::failures, Level::warning, "what administrators did"},
    {Kind::purges, Level::notice, "purges"},
    {Kind::policies, Level::warning, "contradictory policies"},
    {Kind::out_of_memory, Level::warning, "requests refused for want of memory"},
    {Kind::max_clients, Level::warning, "connections refused because of maxclients"},
    {Kind::refused_clients, Level::warning, "connections refused by protected-mode"},
    {Kind::auth_limited, Level::warning, "attempts to authenticate that were refused"},
    {Kind::rate_limited, Level::warning, "requests beyond the rate of their users"},
    {Kind::http, Level::warning, "clients that send HTTP"},
    {Kind::closed_clients, Level::warning, "clients that were closed"},
    {Kind::not_accepted, Level::warning, "connections that could not be accepted"},
    {Kind::handshakes, Level::warning, "TLS handshakes that have failed"},
    {Kind::certificates, Level::notice, "certificates"},
    {Kind::bad_certificates, Level::warning, "certificates"},
    {Kind::clients, Level::verbose, "clients that came and went"},
    {Kind::handshakes_done, Level::debug, "TLS handshakes that are done"},
    {Kind::background, Level::debug, "the background worker"},
    {Kind::switches, Level::warning, "switches for an incident"},
    {Kind::tracing, Level::warning, "spans"},
    {Kind::settings, Level::warning, "settings"},
    {Kind::long_scripts, Level::warning, "scripts that take long"},
    {Kind::undeclared_keys, Level::notice, "scripts that use undeclared keys"},
    {Kind::scripts_debug, Level::debug, "what scripts log"},
    {Kind::scripts_verbose, Level::verbose, "what scripts log"},
    {Kind::scripts_notice, Level::notice, "what scripts log"},
    {Kind::scripts_warning, Level::warning, "what scripts log"},
};

constexpr bool in_order() {
  for (std::size_t i = 0; i < std::size(kKinds); ++i) {
    if (static_cast<std::size_t>(kKinds[i].kind) != i) return false;
  }
  return std::size(kKinds) == static_cast<std::size_t>(Kind::count);
}
static_assert(in_order(), "the table is in the order of Kind");

}  // namespace

EventLog::Level EventLog::level_of(Kind kind) { return kKinds[static_cast<std::size_t>(kind)].level; }

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
  const std::string about =
      throttle.command.empty() ? std::string(kKinds[static_cast<std::size_t>(throttle.kind)].subject) : shown_command(throttle.command);
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
