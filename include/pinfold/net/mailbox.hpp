#pragma once
// The mailbox of an I/O thread: the way of answers, pushes and mail (base/client_threads.hpp) from any thread to its clients.
//
// Any thread adds, under a lock that is held for one append, and the owner takes all of it at once. Only the first addition to an empty
// mailbox needs to wake the owner: it looks into the mailbox in each round, and does not sleep before that is empty.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pinfold/base/client_threads.hpp"
#include "pinfold/base/spinning_mutex.hpp"

namespace pinfold::net {

/// A push: bytes on their way to clients that are no reply. Constant, and shared by the threads on which these clients live.
struct Push {
  std::vector<ClientPlace> to;
  std::shared_ptr<const std::string> bytes;
  Audience audience = Audience::all;
};

/// What is to be handed out to clients of a thread, and how far it was. One of the pointers is set.
struct HandingOut {
  std::shared_ptr<const Mail> mail = {};
  std::shared_ptr<const Delivery> answer = {};
  std::shared_ptr<const Push> push = {};
  Mail::Progress progress = {};
  std::uint64_t next = 0;  // the ticket of the answer's next client, or the index of the next client in Push::to
  unsigned told = 0;
};

class Mailbox {
 public:
  /// Returns whether the mailbox was empty, so that its owner has to be woken. Any thread may call it. Throws std::bad_alloc.
  bool add(HandingOut item) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t number = next_number_.load(std::memory_order_relaxed);
    item.progress.number = number;
    items_.push_back(std::move(item));
    next_number_.store(number + 1, std::memory_order_release);
    return !any_.exchange(true, std::memory_order_release);
  }
  /// The number of the next item.
  std::uint64_t next_number() const { return next_number_.load(std::memory_order_acquire); }
  bool any() const { return any_.load(std::memory_order_acquire); }
  /// Exchanges the items for those of `empty`. Called by the owner; takes no memory.
  void take(std::vector<HandingOut>& empty) {
    const std::lock_guard lock(mutex_);
    items_.swap(empty);
    any_.store(false, std::memory_order_release);
  }

 private:
  SpinningMutex mutex_;
  std::vector<HandingOut> items_;
  std::atomic<std::uint64_t> next_number_{1};
  std::atomic<bool> any_{false};
};

}  // namespace pinfold::net
