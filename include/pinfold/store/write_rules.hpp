#pragma once
// The rules that the cache's policies have for writes. The store asks them, so it need not know policies.

#include <cstddef>
#include <cstdint>

#include "pinfold/base/clock.hpp"

namespace pinfold::store {

struct Key;
struct Extra;

/// Called with the key's shard locked, by the thread that writes, so an implementation must do little and take no memory.
/// Database asks the rules of its WriteLimits, if any, before it stores or resizes a value, or sets a deadline.
class WriteRules {
 public:
  virtual ~WriteRules() = default;

  /// Asked before a value is stored. May change the deadline (0: none) and the Extra. Returns false if a value of this size is
  /// refused.
  virtual bool on_write(const Key& key, std::size_t value_bytes, UnixMs now, UnixMs& expires_at, Extra& extra) const = 0;
  struct Deadline {
    UnixMs at = 0;               // Unix time in milliseconds; 0: none
    std::uint32_t stale_ms = 0;  // stale window of an entry that has none yet
  };
  /// Asked before a deadline is set without a write of the value (EXPIRE). Returns the deadline to set, which may be an earlier
  /// one.
  virtual Deadline on_expiry(const Key& key, UnixMs now, UnixMs expires_at) const = 0;
};

}  // namespace pinfold::store
