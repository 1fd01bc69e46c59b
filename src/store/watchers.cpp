#include "pinfold/store/watchers.hpp"

#include <algorithm>

namespace pinfold::store {

std::uint64_t Watchers::add(unsigned db, const Key& key) {
  const NameView name{db, key.text, key.hash};
  auto found = keys_.find(name);
  if (found == keys_.end()) found = keys_.emplace(Name(name), Watched()).first;
  ++found->second.watches;
  subscription_.listen(true);
  return found->second.seen.changes;
}

void Watchers::remove(unsigned db, const Key& key) {
  const auto found = keys_.find(NameView{db, key.text, key.hash});
  if (found != keys_.end() && --found->second.watches == 0) keys_.erase(found);
  subscription_.listen(!keys_.empty());
}

void Watchers::changed(const Change& change) noexcept {
  const Entry* const before = change.before;
  const bool goes_by_itself = change.cause == Cause::expired || change.cause == Cause::evicted;
  // Plain commands do not see negative entries, so their removal is no change.
  if (goes_by_itself && before->absent()) return;
  if (change.cause == Cause::deleted && !before->live(change.now)) return;
  const auto found = keys_.find(NameView{change.db, change.key.text, change.key.hash});
  if (found == keys_.end()) return;
  Seen& seen = found->second.seen;
  if (goes_by_itself && !before->live(change.now)) {
    // A client that has seen the key is told by the look-up of EXEC, which does not find it. The deadline is kept for clients
    // that have not seen the key: the entry may have been live when SWAPDB brought it.
    seen.expired = std::max(seen.expired, before->expires_at());
  } else {
    ++seen.changes;
  }
}

Watchers::Seen Watchers::look(unsigned db, const Key& key) const {
  const auto found = keys_.find(NameView{db, key.text, key.hash});
  return found != keys_.end() ? found->second.seen : Seen();
}

}  // namespace pinfold::store
