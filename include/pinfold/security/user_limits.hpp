#pragma once
// The limits of a user: how much memory its clients may take together, and how many requests they may make.

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pinfold/base/clock.hpp"

namespace pinfold::security {

/// How many requests a user makes a second. The allowance is that of one second: so many requests may be made at once, and after that it
/// fills up again evenly (the generic cell rate algorithm, ITU-T I.371). Thread-safe. One atomic, no lock.
class RequestRate {
 public:
  /// The largest limit that can be kept.
  static constexpr std::int64_t most_per_second = 1'000'000;

  /// Takes one request off the allowance and returns 0. If nothing is left, takes nothing, and returns the milliseconds after which there
  /// is one again. `per_second` is the limit, above 0. If the limit has changed, the part of the allowance that was used stays used.
  std::int64_t take(std::int64_t per_second, MonoMs now);

 private:
  std::atomic<std::int64_t> restored_ns_{0};  // when the whole allowance will be there again
};

/// Limits that the rules of a user have set. Nothing: the setting for all users holds.
struct UserLimits {
  std::optional<std::int64_t> memory;    // bytes; below 0: percent of maxmemory; 0: no limit (maxmemory-user)
  std::optional<std::int64_t> requests;  // a second; 0: no limit (user-requests-per-second)

  friend bool operator==(const UserLimits&, const UserLimits&) = default;
};

/// Reads the value of the rule `maxmemory`: "64mb", "5%", "0". Nothing if it is none.
std::optional<std::int64_t> parse_memory_limit(std::string_view text);
/// Reads the value of the rule `rate`: a number up to RequestRate::most_per_second. Nothing if it is none.
std::optional<std::int64_t> parse_request_limit(std::string_view text);
/// The shortest text that parse_memory_limit() reads as this: "67108864", "5%".
std::string show_memory_limit(std::int64_t limit);

/// What the clients of a user take and ask for. All versions of a user share one, so a change of its rules does not give an allowance back.
/// Thread-safe.
struct UserUsage {
  static constexpr std::int64_t no_memory_rule = INT64_MAX;

  std::atomic<std::int64_t> memory_rule{no_memory_rule};  // UserLimits::memory of the present version; set by Users
  std::atomic<std::int64_t> clients{0};                   // connected clients
  std::atomic<std::uint64_t> transport_bytes{0};          // what their transports take while they are idle, such as TLS
  std::atomic<std::int64_t> bytes{0};                     // memory of all of them, without those that are being closed because of it
  std::atomic<std::uint64_t> requests{0};                 // made by clients of the user; at most a second old
  std::atomic<std::uint64_t> hits{0};                     // reads of these that have found their keys
  std::atomic<std::uint64_t> misses{0};                   // and that have not
  std::atomic<std::uint64_t> stale_hits{0};               // of these, answered with a stale value
  std::atomic<std::uint64_t> negative_hits{0};            // or by a negative entry
  std::atomic<std::uint64_t> refused{0};                  // of these, refused because of the request rate
  std::atomic<std::uint64_t> closed{0};                   // clients closed because of the memory limit
  std::atomic<MonoMs> choose_again{};                     // before this time no further clients are chosen to be closed
  RequestRate rate;
};

}  // namespace pinfold::security
