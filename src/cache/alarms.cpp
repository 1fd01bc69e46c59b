#include "pinfold/cache/alarms.hpp"

namespace pinfold::cache {

Alarms::Set Alarms::set(MonoMs at, Place place) {
  const std::lock_guard lock(mutex_);
  const auto here = alarms_.emplace(std::pair(at, number_ + 1), std::move(place)).first;
  const bool first = here == alarms_.begin();
  if (first) next_.store(at, std::memory_order_relaxed);
  return {++number_, first};
}

void Alarms::cancel(MonoMs at, std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  alarms_.erase({at, number});
}

std::optional<Alarms::Place> Alarms::take_due(MonoMs now) {
  const std::lock_guard lock(mutex_);
  const auto next = alarms_.begin();
  if (next == alarms_.end() || next->first.first > now) {
    next_.store(next == alarms_.end() ? MonoMs::never() : next->first.first, std::memory_order_relaxed);
    return std::nullopt;
  }
  return std::move(alarms_.extract(next).mapped());
}

}  // namespace pinfold::cache
