#include "pinfold/store/watchers.hpp"

#include <algorithm>

namespace pinfold::store {

std::uint64_t Watchers::add(unsigned db, const Key& key) {
  const NameView name{db, key.text, key.hash};
  auto found = keys_.find(name);
  if (found == keys_.end()) found = keys_.emplace(Name(name), Watched()).first;
  ++found->second.watches;
  return found->second.seen.changes;
}

void Watchers::remove(unsigned db, const Key& key) {
  const auto found = keys_.find(NameView{db, key.text, key.hash});
  if (found != keys_.end() && --found->second.watches == 0) keys_.erase(found);
}

void Watchers::note_change(unsigned db, const Key& key) {
  const auto found = keys_.find(NameView{db, key.text, key.hash});
  if (found != keys_.end()) ++found->second.seen.changes;
}

void Watchers::note_expiry(unsigned db, const Key& key, UnixMs deadline) {
  const auto found = keys_.find(NameView{db, key.text, key.hash});
  if (found != keys_.end()) found->second.seen.expired = std::max(found->second.seen.expired, deadline);
}

Watchers::Seen Watchers::look(unsigned db, const Key& key) const {
  const auto found = keys_.find(NameView{db, key.text, key.hash});
  return found != keys_.end() ? found->second.seen : Seen();
}

}  // namespace pinfold::store
