#pragma once
// Pages for ghosts, mapped and unmapped where no lock is held: a ghost grows in the middle of an eviction, under the lock of a shard.
//
// A ghost that wants a table of another size orders its pages and goes on with what it has; it takes them when they have come. Those
// that it needs no longer are noted in themselves. tend() does the system calls.

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
  /// Zeroed pages of the system. Empty: it has none.
  static std::span<std::uint32_t> map(std::size_t words);
  static void unmap(std::span<std::uint32_t> words);

  /// What a ghost has asked for. Pages that it does not take go back with it.
  class Order {
   public:
    explicit Order(std::size_t words) : wanted_(words) {}
    ~Order() {
      if (!words_.empty()) unmap(words_);
    }
    Order(const Order&) = delete;
    Order& operator=(const Order&) = delete;

    bool has_come() const { return has_come_.load(std::memory_order_acquire); }
    /// Once it has come: empty if the system had none.
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

  /// Null: there is no memory to note it.
  std::shared_ptr<Order> order(std::size_t words);
  /// Takes them back. Takes no memory.
  void give_back(std::span<std::uint32_t> words);
  /// Maps what was ordered and unmaps what was given back. With no lock held that others wait for.
  void tend() {
    if (pending_.load(std::memory_order_relaxed) > 0) do_tend();
  }

 private:
  /// Lies in the pages themselves.
  struct Noted {
    Noted* next;
    std::size_t words;
  };

  void do_tend();

  std::mutex mutex_;  // guards what follows
  std::vector<std::shared_ptr<Order>> orders_;
  Noted* noted_ = nullptr;
  std::atomic<std::size_t> pending_{0};  // orders and those noted; written with the lock
};

}  // namespace pinfold::eviction
