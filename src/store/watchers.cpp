#include "pinfold/store/watchers.hpp"

#include <algorithm>

#include "pinfold/base/work.hpp"
#include "pinfold/store/keyspace.hpp"

namespace pinfold::store {

void Watchers::add(unsigned db, const Key& key, std::shared_ptr<WatchFlag> flag) {
  const auto found = flags_.try_emplace(Name{db, std::string(key.text), key.hash}).first;
  try {
    found->second.push_back(std::move(flag));
  } catch (...) {
    if (found->second.empty()) flags_.erase(found);
    throw;
  }
}

void Watchers::remove(unsigned db, std::string_view key, const WatchFlag* flag) {
  const auto found = flags_.find(NameView{db, key});
  if (found == flags_.end()) return;
  work::nodes(found->second.size());
  std::erase_if(found->second, [flag](const auto& f) { return f.get() == flag; });
  if (found->second.empty()) flags_.erase(found);
}

void Watchers::raise(unsigned db, std::string_view key) {
  const auto found = flags_.find(NameView{db, key});
  if (found != flags_.end()) raise(found->second);
}

void Watchers::raise(const Flags& flags) {
  work::nodes(flags.size());
  for (const auto& flag : flags) flag->dirty.store(true, std::memory_order_relaxed);
}

}  // namespace pinfold::store
