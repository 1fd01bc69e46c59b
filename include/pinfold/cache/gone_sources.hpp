#pragma once
// When entries of one shard have gone from which others may have been built.
//
// An entry that depends on others takes their dependencies along when it is written. But its writer has read the others before, and an
// entry that it has read may be gone by then, and with it what is known of its dependencies: it was evicted, deleted, purged, has expired
// or was overwritten. So a fill is refused if, since its lease was granted, such an entry has gone under the key of one of its
// dependencies. The same holds for entries that were stale, so that no value built from a stale one is stored as fresh.
//
// Keys share a fixed number of places by their hash. A place keeps the last one of all its keys. So some correct fills are refused, but no
// incorrect one is let through, and nothing has to be forgotten.

#include <array>
#include <cstdint>

#include "pinfold/base/clock.hpp"
#include "pinfold/store/changes.hpp"
#include "pinfold/store/value.hpp"

namespace pinfold::cache {

class Cache;

/// Not thread-safe: guarded by the shard's lock. Takes no memory beyond its own. All functions are O(1).
class GoneSources final : public store::Observer {
 public:
  /// Those of shard number `shard`. `cache` must outlive them.
  GoneSources(Cache& cache, unsigned shard);

  /// Whether an entry under `key` may have gone after the lease with this token was granted, at the time `granted`, so that its holder
  /// may have built its value from that entry. The key must be of this shard.
  bool since(unsigned db, const store::Key& key, std::uint64_t token, MonoMs granted) const;

  void changed(const store::Change& change) noexcept override;

 private:
  static constexpr std::size_t places = 128;
  struct Place {
    std::uint64_t token = 0;  // the token that the first lease afterwards got, or will get
    // When the last one has expired. That is noticed at any time later, and many values are loaded because of it: so it counts for leases
    // from before that moment only.
    MonoMs expired;
  };
  static std::size_t place_of(unsigned db, const store::Key& key);
  MonoMs readable_until(const store::Entry& entry) const;

  Cache& cache_;
  store::Changes::Subscription subscription_;
  std::array<Place, places> places_{};
};

}  // namespace pinfold::cache
