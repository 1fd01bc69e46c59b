#pragma once
// Pages for ghosts. A ghost grows in the middle of an eviction, under the lock of a shard, where system calls are not allowed.
//
// So a ghost that needs a table of another size orders its pages and goes on with the present table. It takes the pages when they have
// come. Pages that it no longer needs are put in a list, which lies in the pages themselves. tend() makes the system calls, with no lock
// held.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace pinfold::eviction {

/// Thread-safe. Must outlive the ghosts that it is given to.
class GhostPages {
 public:
  /// Maps zeroed pages. Returns an empty span if the system has no memory.
  static std::span<std::uint32_t> map(std::size_t words);
  static void unmap(std::span<std::uint32_t> words);

  /// An order for pages. If the ghost does not take them, they are unmapped when the order is destroyed.
  class Order {
   public:
    explicit Order(std::size_t words) : wanted_(words) {}
    ~Order() {
      if (!words_.empty()) unmap(words_);
    }
    Order(const Order&) = delete;
    Order& operator=(const Order&) = delete;

    bool has_come() const { return has_come_.load(std::memory_order_acquire); }
    /// Takes the pages, once has_come(). Returns an empty span if the system had no memory.
    std::span<std::uint32_t> take() { return std::exchange(words_, {}); }

   private:
    friend class GhostPages;
    const std::size_t wanted_;
    std::span<std::uint32_t> words_;
    std::atomic<bool> has_come_{false};
  };

  GhostPages() = default;
  ~GhostPages();
  GhostPages(const GhostPages&) = delete;
  GhostPages& operator=(const GhostPages&) = delete;

  /// Orders pages for tend() to map. Returns null if there is no memory for the order.
  std::shared_ptr<Order> order(std::size_t words);
  /// Takes pages back for tend() to unmap. Allocates nothing.
  void give_back(std::span<std::uint32_t> words);
  /// Maps what was ordered and unmaps what was given back. To be called with no lock held that other threads wait for.
  void tend() {
    if (pending_.load(std::memory_order_relaxed) > 0) do_tend();
  }

 private:
  /// An element of the list of pages to unmap. Lies in the pages themselves.
  struct Noted {
    Noted* next;
    std::size_t words;
  };

  void do_tend();

  std::mutex mutex_;  // guards everything below
  std::vector<std::shared_ptr<Order>> orders_;
  Noted* noted_ = nullptr;
  std::atomic<std::size_t> pending_{0};  // orders, and pages to unmap; written with the lock, read without
};

}  // namespace pinfold::eviction
