#include "pinfold/command/tracing.hpp"

#include <algorithm>
#include <mutex>
#include <utility>

namespace pinfold::command {

namespace {

std::int64_t bytes_of(std::size_t spans) { return static_cast<std::int64_t>(spans * sizeof(Span)); }

// How many spans may wait while the data may take `limit` bytes; 0: as many as there is memory for.
std::size_t fitting(std::uint64_t limit) {
  constexpr std::uint64_t part = 64;
  if (limit == 0) return Tracing::most_waiting;
  return std::clamp<std::size_t>(limit / part / sizeof(Span), Tracing::least_waiting, Tracing::most_waiting);
}

}  // namespace

void Tracing::switch_on() {
  if (on()) return;
  const std::size_t capacity = fitting(memory_.limit());
  auto spans = std::make_unique<Span[]>(capacity);
  memory_.add(store::Use::sampling, bytes_of(capacity));
  {
    const std::lock_guard lock(mutex_);
    spans_ = std::move(spans);
    capacity_ = capacity;
    first_ = size_ = 0;
  }
  on_ = true;
}

void Tracing::switch_off() {
  on_ = false;
  std::unique_ptr<Span[]> spans;  // freed with nothing locked
  std::size_t waiting = 0;
  std::size_t capacity = 0;
  {
    const std::lock_guard lock(mutex_);
    spans = std::move(spans_);
    waiting = std::exchange(size_, 0);
    capacity = capacity_.exchange(0);
  }
  drop(waiting);
  memory_.add(store::Use::sampling, -bytes_of(capacity));
}

void Tracing::add(const Span& span) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    const std::size_t capacity = capacity_.load(std::memory_order_relaxed);
    if (size_ == capacity) return drop();
    spans_[(first_ + size_) % capacity] = span;
    wake = ++size_ == std::min(batch, capacity / 2);
  }
  if (wake && exporter_ != nullptr) exporter_->wake();
}

std::size_t Tracing::take(std::span<Span> to) {
  constexpr std::size_t most_in_hold = 32;
  std::size_t taken = 0;
  for (bool more = true; more && taken < to.size();) {
    const std::lock_guard lock(mutex_);
    const std::size_t count = std::min({size_, most_in_hold, to.size() - taken});
    for (std::size_t i = 0; i < count; ++i) {
      to[taken++] = spans_[first_];
      if (++first_ == capacity_) first_ = 0;
    }
    size_ -= count;
    more = size_ > 0;
  }
  return taken;
}

}  // namespace pinfold::command
