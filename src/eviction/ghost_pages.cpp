#include "pinfold/eviction/ghost_pages.hpp"

#include <new>
#include <utility>

#include <sys/mman.h>

#include "pinfold/base/work.hpp"

namespace pinfold::eviction {

std::span<std::uint32_t> GhostPages::map(std::size_t words) {
  work::system_call();
  constexpr int access = PROT_READ | PROT_WRITE;
  void* const pages = mmap(nullptr, words * sizeof(std::uint32_t), access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return {};
  return {static_cast<std::uint32_t*>(pages), words};
}

void GhostPages::unmap(std::span<std::uint32_t> words) {
  work::system_call();
  munmap(words.data(), words.size_bytes());
}

GhostPages::~GhostPages() { do_tend(); }

std::shared_ptr<GhostPages::Order> GhostPages::order(std::size_t words) {
  try {
    auto order = std::make_shared<Order>(words);
    const std::lock_guard lock(mutex_);
    orders_.push_back(order);
    pending_.fetch_add(1, std::memory_order_relaxed);
    return order;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void GhostPages::give_back(std::span<std::uint32_t> words) {
  const std::lock_guard lock(mutex_);
  noted_ = new (words.data()) Noted{noted_, words.size()};
  pending_.fetch_add(1, std::memory_order_relaxed);
}

void GhostPages::do_tend() {
  std::vector<std::shared_ptr<Order>> orders;
  Noted* noted = nullptr;
  {
    const std::lock_guard lock(mutex_);
    orders.swap(orders_);
    noted = std::exchange(noted_, nullptr);
    pending_.store(0, std::memory_order_relaxed);
  }
  while (noted != nullptr) {
    const std::span<std::uint32_t> words(reinterpret_cast<std::uint32_t*>(noted), noted->words);
    noted = noted->next;
    unmap(words);
  }
  for (const auto& order : orders) {
    if (order.use_count() == 1) continue;  // the ghost has dropped its order
    order->words_ = map(order->wanted_);
    order->has_come_.store(true, std::memory_order_release);
  }
}

}  // namespace pinfold::eviction
