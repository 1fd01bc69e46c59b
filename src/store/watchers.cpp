#include "pinfold/store/watchers.hpp"

#include <algorithm>

#include "pinfold/store/keyspace.hpp"

namespace pinfold::store {

namespace {
std::string name_of(unsigned db, std::string_view key) {
  std::string name(1, static_cast<char>(db));
  return name += key;
}
}  // namespace

void Watchers::add(unsigned db, std::string_view key, std::shared_ptr<WatchFlag> flag) {
  flags_[name_of(db, key)].push_back(std::move(flag));
}

void Watchers::remove(unsigned db, std::string_view key, const WatchFlag* flag) {
  const auto found = flags_.find(name_of(db, key));
  if (found == flags_.end()) return;
  std::erase_if(found->second, [flag](const auto& f) { return f.get() == flag; });
  if (found->second.empty()) flags_.erase(found);
}

void Watchers::raise(unsigned db, std::string_view key) {
  const auto found = flags_.find(name_of(db, key));
  if (found == flags_.end()) return;
  for (const auto& flag : found->second) flag->dirty.store(true, std::memory_order_relaxed);
}

std::vector<std::string> Watchers::keys(unsigned db) const {
  std::vector<std::string> keys;
  for (const auto& [name, flags] : flags_) {
    if (static_cast<unsigned char>(name[0]) == db) keys.push_back(name.substr(1));
  }
  return keys;
}

}  // namespace pinfold::store
