#include "pinfold/cache/gone_sources.hpp"

#include <algorithm>

#include "pinfold/cache/cache.hpp"
#include "pinfold/store/extra.hpp"

namespace pinfold::cache {

GoneSources::GoneSources(Cache& cache, unsigned shard)
    : cache_(cache), subscription_(cache.keyspace().changes(shard), *this, {store::Cause::source_gone}) {
  subscription_.listen(true);
}

// The lowest bits of the hash are taken by others, so that keys of one shard have some of them in common.
std::size_t GoneSources::place_of(unsigned db, const store::Key& key) { return ((key.hash * 0x9e3779b97f4a7c15) >> 40U) + db; }

bool GoneSources::since(unsigned db, const store::Key& key, std::uint64_t token, MonoMs granted) const {
#ifdef PINFOLD_BREAK_DEPENDS
  return false;  // a build for the test which shows that the race checker notices a value built from an entry that is gone
#endif
  const Place& place = places_[place_of(db, key) % places];
  // A lease that was granted in the very millisecond of the expiry may be from before it.
  return place.token > token || place.expired >= granted;
}

// Until when clients may have read an entry that has expired. never() if it has not expired, but was removed.
MonoMs GoneSources::readable_until(const store::Entry& entry) const {
  const Moment now = moment();
  if (!entry.expired(now.unix)) return MonoMs::never();
  const store::Keyspace& keyspace = cache_.keyspace();
  // With serve-stale an entry may be read after its time, or may have been until it was switched off.
  if (keyspace.serves_stale(store::Extra::read(entry.extra()).policy)) return MonoMs::never();
  return std::max(now.mono + (entry.gone_at() - now.unix), keyspace.served_stale_until());
}

void GoneSources::changed(const store::Change& change) noexcept {
  Place& place = places_[place_of(change.db, change.key) % places];
  if (change.purge != nullptr) {
    place.token = std::max(place.token, change.purge->token);
    return;
  }
  // Nobody has got the value but the client that has built it, and knows from what.
  if (change.before == nullptr && cache_.leases(change.key).look(change.db, change.key.text, monotonic_ms()).waiters == 0) return;
  const MonoMs until = change.before != nullptr ? readable_until(*change.before) : MonoMs::never();
  if (until != MonoMs::never()) {
    place.expired = std::max(place.expired, until);
  } else {
    place.token = std::max(place.token, cache_.upcoming_token());
  }
}

}  // namespace pinfold::cache
