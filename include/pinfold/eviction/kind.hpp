#pragma once
// The eviction policies, with their names in Redis' `maxmemory-policy`.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pinfold::eviction {

enum class Kind : std::uint8_t {
  allkeys_lfu,
  allkeys_lru,
  allkeys_random,
  volatile_lfu,
  volatile_lru,
  volatile_random,
  volatile_ttl,
  noeviction,
};

/// In the order of Kind.
constexpr std::array<std::string_view, 8> kind_names = {"allkeys-lfu",  "allkeys-lru",     "allkeys-random", "volatile-lfu",
                                                        "volatile-lru", "volatile-random", "volatile-ttl",   "noeviction"};

constexpr std::string_view name_of(Kind kind) { return kind_names[static_cast<unsigned>(kind)]; }
constexpr std::optional<Kind> kind_named(std::string_view name) {
  for (unsigned i = 0; i < kind_names.size(); ++i) {
    if (kind_names[i] == name) return static_cast<Kind>(i);
  }
  return std::nullopt;
}

/// Whether only entries with a deadline may be evicted.
constexpr bool is_volatile(Kind kind) { return kind >= Kind::volatile_lfu && kind <= Kind::volatile_ttl; }
constexpr bool is_lfu(Kind kind) { return kind == Kind::allkeys_lfu || kind == Kind::volatile_lfu; }
constexpr bool is_lru(Kind kind) { return kind == Kind::allkeys_lru || kind == Kind::volatile_lru; }
constexpr bool is_random(Kind kind) { return kind == Kind::allkeys_random || kind == Kind::volatile_random; }

}  // namespace pinfold::eviction
