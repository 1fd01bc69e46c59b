#pragma once
// What the cache's policies have to say about writes of values, by whatever command.

#include <cstddef>

#include "pinfold/base/clock.hpp"

namespace pinfold::store {

struct Key;
struct Extra;

class WriteRules {
 public:
  virtual ~WriteRules() = default;

  /// May change the deadline (0: none) and what is kept beside the value. False: so large a value is refused.
  virtual bool on_write(const Key& key, std::size_t value_bytes, UnixMs now, UnixMs& expires_at, Extra& extra) const = 0;
  /// May bring a deadline forward that is being set by itself.
  virtual UnixMs on_expiry(const Key& key, UnixMs now, UnixMs expires_at) const = 0;
};

}  // namespace pinfold::store
