#include "pinfold/security/auth_failures.hpp"

#include <algorithm>
#include <string_view>

namespace pinfold::security {
namespace {

constexpr std::int64_t minute_us = 60'000'000;

std::int64_t microseconds(MonoMs at) { return at.ms * 1000; }

}  // namespace

// Keyed, so that nobody can choose addresses that push each other out.
std::size_t AuthFailures::set_of(std::uint64_t origin) const {
  return siphash13(key_, {reinterpret_cast<const char*>(&origin), sizeof origin}) % sets;
}

std::int64_t AuthFailures::wait_ms(std::uint64_t origin, std::int64_t per_minute, MonoMs now) const {
  const Set& set = table_[set_of(origin)];
  const std::int64_t cost_us = minute_us / per_minute;
  const std::lock_guard lock(mutex_);
  for (const Place& place : set) {
    if (place.origin != origin) continue;
    const std::int64_t wait_us = place.restored_us + cost_us - microseconds(now) - minute_us;
    return wait_us <= 0 ? 0 : (wait_us + 999) / 1000;
  }
  return 0;
}

void AuthFailures::note(std::uint64_t origin, std::int64_t per_minute, MonoMs now) {
  Set& set = table_[set_of(origin)];
  const std::int64_t now_us = microseconds(now);
  const std::lock_guard lock(mutex_);
  const auto is_it = [origin](const Place& place) { return place.origin == origin; };
  const auto found = std::find_if(set.begin(), set.end(), is_it);
  const auto by_time = [](const Place& a, const Place& b) { return a.restored_us < b.restored_us; };
  Place& place = found != set.end() ? *found : *std::min_element(set.begin(), set.end(), by_time);
  const std::int64_t before_us = found != set.end() ? std::max(place.restored_us, now_us) : now_us;
  place = {origin, before_us + minute_us / per_minute};
}

}  // namespace pinfold::security
