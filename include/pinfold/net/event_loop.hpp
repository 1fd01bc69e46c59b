#pragma once
// Readiness of many sockets and work sent from other threads: epoll(7) and an eventfd, nothing more.
//
// Why not an io_context: Asio hands out one completion at a time. With epoll's own list of what is ready, the requests
// of all ready connections can be parsed first and their memory fetched while others run; and no receive is tried
// that must fail. docs/architecture.md has the figures. Asio does what is not per request: accepting, signals.

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

  /// Waits for at most `timeout_ms` and returns what is ready; work from other threads is done before it returns.
  std::span<const epoll_event> wait(int timeout_ms);

  /// Has `work`, which must not throw, done on the loop's thread. From any thread. Throws std::bad_alloc.
  void post(std::function<void()> work);

 private:
  /// Has wait() return soon.
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
