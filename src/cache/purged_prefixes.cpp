#include "pinfold/cache/purged_prefixes.hpp"

#include <algorithm>
#include <new>

namespace pinfold::cache {

PurgedPrefixes::~PurgedPrefixes() {
  for (const Noted& noted : noted_) account(noted, -1);
}

void PurgedPrefixes::account(const Noted& noted, std::int64_t sign) {
  memory_.add(store::Use::herd, sign * static_cast<std::int64_t>(memory_of(noted.prefix)));
}

void PurgedPrefixes::note(unsigned db, const std::string& prefix, std::uint64_t epoch, std::uint64_t oldest, bool room) {
  const std::lock_guard lock(mutex_);
  while (!noted_.empty() && (noted_.front().epoch <= oldest || noted_.size() == most_remembered)) {
    if (noted_.front().epoch > oldest) barrier_ = noted_.front().epoch;
    account(noted_.front(), -1);
    noted_.pop_front();
  }
  try {
    if (!room) throw std::bad_alloc();
    noted_.push_back({epoch, db, prefix});
    account(noted_.back(), 1);
  } catch (const std::bad_alloc&) {
    barrier_ = epoch;
  }
}

bool PurgedPrefixes::purged_since(unsigned db, std::uint64_t epoch, std::string_view key) const {
  const std::lock_guard lock(mutex_);
  if (epoch < barrier_) return true;
  for (auto noted = noted_.rbegin(); noted != noted_.rend() && noted->epoch > epoch; ++noted) {
    if (noted->db == db && key.starts_with(noted->prefix)) return true;
  }
  return false;
}

void PurgedPrefixes::forget(std::uint64_t oldest) {
  const std::lock_guard lock(mutex_);
  for (; !noted_.empty() && noted_.front().epoch <= oldest; noted_.pop_front()) account(noted_.front(), -1);
}

}  // namespace pinfold::cache
