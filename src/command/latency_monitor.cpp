#include "pinfold/command/latency_monitor.hpp"

#include <algorithm>

#include "pinfold/base/text.hpp"

namespace pinfold::command {
namespace {

constexpr std::string_view names[] = {"command", "fast-command", "lock-wait", "room-wait", "event-loop", "expire-cycle", "eviction-cycle"};
static_assert(std::size(names) == LatencyMonitor::events);

}  // namespace

void LatencyMonitor::add(Event event, std::uint64_t ms, std::int64_t unix_s) {
  const std::lock_guard lock(mutex_);
  Ring& ring = rings_[static_cast<std::size_t>(event)];
  ring.most_ms = std::max(ring.most_ms, ms);
  Sample& last = ring.samples[(ring.next + most_samples - 1) % most_samples];
  if (ring.count > 0 && last.unix_s == unix_s) {
    last.ms = std::max(last.ms, ms);
    return;
  }
  ring.samples[ring.next] = {unix_s, ms};
  ring.next = (ring.next + 1) % most_samples;
  ring.count = std::min(ring.count + 1, most_samples);
}

LatencyMonitor::Series LatencyMonitor::series(Event event) const {
  Series series;
  series.samples.reserve(most_samples);
  const std::lock_guard lock(mutex_);
  const Ring& ring = rings_[static_cast<std::size_t>(event)];
  for (std::size_t i = 0; i < ring.count; ++i) {
    series.samples.push_back(ring.samples[(ring.next + most_samples - ring.count + i) % most_samples]);
  }
  series.most_ms = ring.most_ms;
  return series;
}

bool LatencyMonitor::reset(Event event) {
  const std::lock_guard lock(mutex_);
  Ring& ring = rings_[static_cast<std::size_t>(event)];
  const bool any = ring.count > 0;
  ring = Ring();
  return any;
}

std::string_view event_name(LatencyMonitor::Event event) { return names[static_cast<std::size_t>(event)]; }

std::optional<LatencyMonitor::Event> find_event(std::string_view name) {
  const auto found = std::ranges::find_if(names, [&](std::string_view one) { return iequals(one, name); });
  if (found == std::end(names)) return std::nullopt;
  return static_cast<LatencyMonitor::Event>(found - std::begin(names));
}

}  // namespace pinfold::command
