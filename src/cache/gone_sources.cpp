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

void GoneSources::changed(const store::Change& change) noexcept {
  Place& place = places_[place_of(change.db, change.key) % places];
  const store::Entry& before = *change.before;
  const Moment now = moment();
  const store::Keyspace& keyspace = cache_.keyspace();
  // With serve-stale an entry may be read after its time, or may have been until it was switched off.
  const bool served = keyspace.serves_stale(store::Extra::read(before.extra()).policy);
  const MonoMs served_until = served ? MonoMs::never() : keyspace.served_stale_until();
  if (change.purge == nullptr && before.expired(now.unix) && served_until != MonoMs::never()) {
    place.expired = std::max({place.expired, now.mono + (before.gone_at() - now.unix), served_until});
  } else {
    place.token = std::max(place.token, change.purge != nullptr ? change.purge->token : cache_.upcoming_token());
  }
}

}  // namespace pinfold::cache
