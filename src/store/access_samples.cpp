#include "pinfold/store/access_samples.hpp"

#include <mutex>

namespace pinfold::store {

void AccessSamples::note(const eviction::SampledAccess& access) noexcept {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock || noted_.size() >= most_) [[unlikely]] {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  noted_.push_back(access);
  if (noted_.size() == most_ / 2) half_full_.store(true, std::memory_order_relaxed);
}

void AccessSamples::start(std::uint64_t threshold, std::size_t most) {
  std::vector<eviction::SampledAccess> buffer;
  buffer.reserve(most);
  const std::lock_guard lock(mutex_);
  noted_ = std::move(buffer);
  most_ = most;
  set_threshold(threshold);
}

void AccessSamples::stop() {
  set_threshold(0);
  const std::lock_guard lock(mutex_);
  noted_ = {};
  most_ = 0;
}

void AccessSamples::take(std::vector<eviction::SampledAccess>& empty) {
  const std::lock_guard lock(mutex_);
  if (empty.capacity() >= most_) std::swap(noted_, empty);
}

}  // namespace pinfold::store
