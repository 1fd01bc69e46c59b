#include "pinfold/cache/purged_prefixes.hpp"

#include <algorithm>
#include <new>

namespace pinfold::cache {

PurgedPrefixes::~PurgedPrefixes() {
  for (const Noted& noted : noted_) account(noted, -1);
}

void PurgedPrefixes::account(const Noted& noted, std::int64_t sign) {
  memory_.add(store::Use::coalescing, sign * static_cast<std::int64_t>(memory_of(noted.prefix)));
}

// Forgets the purges up to this epoch. Called with mutex_ held.
void PurgedPrefixes::forget_up_to(std::uint64_t epoch) {
  if (noted_.empty() || noted_.front().epoch > epoch) return;
  prefixes_.remove_if([epoch](const Noted* noted) { return noted->epoch <= epoch; });
  for (; !noted_.empty() && noted_.front().epoch <= epoch; noted_.pop_front()) account(noted_.front(), -1);
}

void PurgedPrefixes::note(unsigned db, const std::string& prefix, std::uint64_t epoch, std::uint64_t oldest, bool room) {
  const std::lock_guard lock(mutex_);
  forget_up_to(oldest);
  if (noted_.size() == most_remembered) {
    barrier_ = noted_.front().epoch;
    forget_up_to(barrier_);
  }
  try {
    if (!room) throw std::bad_alloc();
    noted_.push_back({epoch, db, prefix});
    try {
      prefixes_.add(noted_.back().prefix, &noted_.back());
    } catch (const std::bad_alloc&) {
      noted_.pop_back();
      throw;
    }
    account(noted_.back(), 1);
  } catch (const std::bad_alloc&) {
    barrier_ = epoch;
  }
}

bool PurgedPrefixes::purged_since(unsigned db, std::uint64_t epoch, std::string_view key, std::size_t& looked_at) const {
  const std::lock_guard lock(mutex_);
  if (epoch < barrier_) return true;
  if (noted_.empty() || noted_.back().epoch <= epoch) return false;
  bool found = false;
  looked_at += prefixes_.for_each_of(key, [&](const Noted* noted) { found |= noted->db == db && noted->epoch > epoch; });
  return found;
}

void PurgedPrefixes::forget(std::uint64_t oldest) {
  const std::lock_guard lock(mutex_);
  forget_up_to(oldest);
}

}  // namespace pinfold::cache
