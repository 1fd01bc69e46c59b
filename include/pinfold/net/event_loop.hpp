#pragma once
// Waits for many sockets and for work from other threads. It is epoll(7) and an eventfd, and nothing more.
//
// Why not an io_context? Asio hands out one completion at a time. With epoll's own list of ready sockets, the requests of all
// ready connections can be parsed first, and their memory is fetched while others run. And no receive is tried that must fail.
// docs/architecture.md has the figures. Asio does what is not done for each request: accepting and signals.

#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include <sys/epoll.h>

#include "pinfold/base/sleeper.hpp"

namespace pinfold::net {

class EventLoop final : public Sleeper {
 public:
  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  /// Watches `fd` (level-triggered) for `events`; `data` comes back with them and is never null. False if the system
  /// refuses. Closing the descriptor ends it.
  bool add(int fd, std::uint32_t events, void* data);
  void change(int fd, std::uint32_t events, void* data);

  /// Waits for at most `timeout_ms` and returns what is ready. Does the work that other threads have posted before it returns.
  std::span<const epoll_event> wait(int timeout_ms);

  /// Runs `work` on the loop's thread, soon. `work` must not throw. Any thread may call this. Throws std::bad_alloc.
  void post(std::function<void()> work);

 private:
  /// Makes wait() return soon.
  void wake_now() override;
  static constexpr int most_events = 64;

  void do_posted();

  int epoll_ = -1;
  int wake_ = -1;
  epoll_event events_[most_events];
  std::mutex mutex_;  // guards posted_
  std::vector<std::function<void()>> posted_;
};

}  // namespace pinfold::net
