#pragma once
// The event loop of an I/O thread: it waits for many sockets, and for work from other threads. It consists of epoll(7) and an
// eventfd.
//
// It is no io_context, because Asio hands out one completion at a time. With epoll's own list of ready sockets, the requests of
// all ready connections can be parsed first, and the memory of one request is fetched while others run. It also tries no
// receive that must fail. docs/architecture.md has the figures. Asio does what is not done for each request: accepting and
// signals.

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

/// Belongs to one thread. Other threads may call post(), and wake it as a Sleeper. It does not own the descriptors.
class EventLoop final : public Sleeper {
 public:
  EventLoop();
  ~EventLoop() override;
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // These are called on the loop's thread.

  /// Watches `fd` for `events`, level-triggered, and calls `handler` for them. Returns false if the system refuses. The
  /// descriptor must not be shared with another process. Closing the descriptor ends the watch; `handler` must then outlive the
  /// round.
  bool add(int fd, std::uint32_t events, EventHandler& handler);
  void change(int fd, std::uint32_t events, EventHandler& handler);
  /// Ends the watch. The handler is not called any more, not even for events that wait() has returned already. So it may be
  /// destroyed at once.
  void remove(int fd, EventHandler& handler);

  /// Waits for at most `timeout_ms` milliseconds, and runs the work that other threads have posted. Returns the ready events,
  /// valid until the next call. The caller passes each of them to tell().
  std::span<const epoll_event> wait(int timeout_ms);
  /// Calls the handler of an event.
  static void tell(const epoll_event& event) { static_cast<EventHandler*>(event.data.ptr)->ready(event.events); }

  /// Runs `work` on the loop's thread, in its next wait(). `work` must not throw. Thread-safe. Throws std::bad_alloc; then the
  /// work is not run.
  void post(std::function<void()> work);

 private:
  // Makes wait() return soon.
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
