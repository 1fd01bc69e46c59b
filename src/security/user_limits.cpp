#include "pinfold/security/user_limits.hpp"

#include <algorithm>

#include "pinfold/base/numbers.hpp"

namespace pinfold::security {

std::int64_t RequestRate::take(std::int64_t per_second, MonoMs now) {
  constexpr std::int64_t second_ns = 1'000'000'000;
  constexpr std::int64_t millisecond_ns = 1'000'000;
  const std::int64_t cost_ns = second_ns / per_second;
  const std::int64_t now_ns = now.ms * millisecond_ns;
  std::int64_t before = restored_ns_.load(std::memory_order_relaxed);
  for (;;) {
    const std::int64_t after = std::max(before, now_ns) + cost_ns;
    const std::int64_t beyond_ns = after - now_ns - second_ns;
    if (beyond_ns > 0) return (beyond_ns + millisecond_ns - 1) / millisecond_ns;
    if (restored_ns_.compare_exchange_weak(before, after, std::memory_order_relaxed)) return 0;
  }
}

std::optional<std::int64_t> parse_memory_limit(std::string_view text) {
  constexpr std::int64_t most_percent = 100;
  if (text.ends_with('%')) {
    const std::optional<std::int64_t> percent = parse_i64(text.substr(0, text.size() - 1));
    if (!percent || *percent < 0 || *percent > most_percent) return std::nullopt;
    return -*percent;
  }
  const std::optional<std::uint64_t> bytes = parse_memory(text);
  if (!bytes || *bytes >= static_cast<std::uint64_t>(UserUsage::no_memory_rule)) return std::nullopt;
  return static_cast<std::int64_t>(*bytes);
}

std::optional<std::int64_t> parse_request_limit(std::string_view text) {
  const std::optional<std::int64_t> number = parse_i64(text);
  if (!number || *number < 0 || *number > RequestRate::most_per_second) return std::nullopt;
  return number;
}

std::string show_memory_limit(std::int64_t limit) { return limit < 0 ? std::to_string(-limit) + "%" : std::to_string(limit); }

}  // namespace pinfold::security
