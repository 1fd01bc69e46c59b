#include "pinfold/store/leftovers.hpp"

namespace pinfold::store {

Leftovers::~Leftovers() {
  for (Budget budget; free_some(budget); budget = {}) {
  }
}

void Leftovers::give_up(Handle handle, Budget& budget) {
  // This is little, because a request may release hundreds of entries in one hold of a lock.
  constexpr std::uint64_t entries_at_once = 16;
  constexpr std::uint64_t bytes_at_once = 16 * 1024;
  if (!budget.part(entries_at_once, bytes_at_once, [&](Budget& part) { return handle.release(part); })) [[unlikely]]
    add(handle);
}

void Leftovers::add(Handle handle) {
  *handle.link() = Handle();
  const std::lock_guard lock(mutex_);
  (last_ ? *last_.link() : first_) = handle;
  last_ = handle;
  ++came_;
}

bool Leftovers::free_some(Budget& budget) {
  Handle oldest;
  {
    const std::lock_guard lock(mutex_);
    if (freeing_ || !first_) return false;
    oldest = first_;
    first_ = *oldest.link();
    if (!first_) last_ = Handle();
    freeing_ = true;
  }
  const bool done = oldest.release(budget);
  const std::lock_guard lock(mutex_);
  freeing_ = false;
  if (done) {
    ++freed_;
    return true;
  }
  *oldest.link() = first_;
  if (!first_) last_ = oldest;
  first_ = oldest;
  return true;
}

std::uint64_t Leftovers::last() const {
  const std::lock_guard lock(mutex_);
  return came_;
}

bool Leftovers::freed(std::uint64_t number) const {
  const std::lock_guard lock(mutex_);
  return freed_ >= number;
}

void Leftovers::for_each(const std::function<void(Handle)>& visit) const {
  const std::lock_guard lock(mutex_);
  for (Handle at = first_; at; at = *at.link()) visit(at);
}

}  // namespace pinfold::store
