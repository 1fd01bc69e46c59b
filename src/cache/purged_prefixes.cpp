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

// Forgets the purges up to this number. Called with mutex_ held.
void PurgedPrefixes::forget_up_to(std::uint64_t number) {
  if (noted_.empty() || noted_.front().number > number) return;
  prefixes_.remove_if([number](const Noted* noted) { return noted->number <= number; });
  for (; !noted_.empty() && noted_.front().number <= number; noted_.pop_front()) account(noted_.front(), -1);
}

void PurgedPrefixes::note(unsigned db, const std::string& prefix, std::uint64_t number, std::uint64_t oldest, bool room) {
  const std::lock_guard lock(mutex_);
  forget_up_to(oldest);
  if (noted_.size() == most_remembered) {
    barrier_ = noted_.front().number;
    forget_up_to(barrier_);
  }
  try {
    if (!room) throw std::bad_alloc();
    noted_.push_back({number, db, prefix});
    try {
      prefixes_.add(noted_.back().prefix, &noted_.back());
    } catch (const std::bad_alloc&) {
      noted_.pop_back();
      throw;
    }
    account(noted_.back(), 1);
  } catch (const std::bad_alloc&) {
    barrier_ = number;
  }
}

bool PurgedPrefixes::purged_since(unsigned db, std::uint64_t purge_number, std::string_view key, std::size_t& looked_at) const {
  const std::lock_guard lock(mutex_);
  if (purge_number < barrier_) return true;
  if (noted_.empty() || noted_.back().number <= purge_number) return false;
  bool found = false;
  looked_at += prefixes_.for_each_of(key, [&](const Noted* noted) { found |= noted->db == db && noted->number > purge_number; });
  return found;
}

void PurgedPrefixes::forget(std::uint64_t oldest) {
  const std::lock_guard lock(mutex_);
  forget_up_to(oldest);
}

}  // namespace pinfold::cache
