#pragma once
// Waits for many sockets and for work from other threads. It is epoll(7) and an eventfd, and nothing more.
//
// Why not an io_context? Asio hands out one completion at a time. With epoll's own list of ready sockets, the requests of all
// ready connections can be parsed first, and their memory is fetched while others run. And no receive is tried that must fail.
// docs/architecture.md has the figures. Asio does what is not done for each request: accepting and signals.

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include <sys/epoll.h>

#include "pinfold/base/sleeper.hpp"
#include "pinfold/net/event_handler.hpp"

namespace pinfold::net {

class EventLoop final : public Sleeper {
 public:
  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // On the loop's thread.

  /// Watches `fd` (level-triggered) for `events`, of which `handler` is told. Returns false if the system refuses. The descriptor must
  /// not be shared with another process. Closing it ends the watch; `handler` must then outlive the round.
  bool add(int fd, std::uint32_t events, EventHandler& handler);
  void change(int fd, std::uint32_t events, EventHandler& handler);
  /// Ends the watch. The handler is not called any more, not for events that have been waited for either: it may be destroyed at once.
  void remove(int fd, EventHandler& handler);

  /// Waits for at most `timeout_ms` and returns what is ready, to be passed on by tell(); work from other threads is done before it
  /// returns. Valid until the next call.
  std::span<const epoll_event> wait(int timeout_ms);
  static void tell(const epoll_event& event) { static_cast<EventHandler*>(event.data.ptr)->ready(event.events); }

  /// Runs `work` on the loop's thread, soon. `work` must not throw. Any thread may call this. Throws std::bad_alloc.
  void post(std::function<void()> work);

 private:
  /// Makes wait() return soon.
  void wake_now() override;
  static constexpr int most_events = 64;

  void do_posted();

  int epoll_ = -1;
  int wake_ = -1;
  std::array<epoll_event, most_events> events_{};
  std::mutex mutex_;  // guards posted_
  std::vector<std::function<void()>> posted_;
};

}  // namespace pinfold::net
