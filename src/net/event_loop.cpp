#include "pinfold/net/event_loop.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <sys/eventfd.h>
#include <unistd.h>

namespace pinfold::net {

namespace {

// Takes the place of a handler that was removed while its events were waiting to be passed on.
class Nobody final : public EventHandler {
 public:
  void ready(std::uint32_t /*events*/) override {}
};

epoll_event for_handler(std::uint32_t events, EventHandler& handler) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &handler;
  return event;
}

}  // namespace

EventLoop::EventLoop() : epoll_(epoll_create1(EPOLL_CLOEXEC)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;  // marks the eventfd
  if (epoll_ < 0 || wake_ < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot make an event loop");
  }
}

EventLoop::~EventLoop() {
  close(wake_);
  close(epoll_);
}

bool EventLoop::add(int fd, std::uint32_t events, EventHandler& handler) {
  epoll_event event = for_handler(events, handler);
  return epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
}

void EventLoop::change(int fd, std::uint32_t events, EventHandler& handler) {
  epoll_event event = for_handler(events, handler);
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void EventLoop::remove(int fd, EventHandler& handler) {
  epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  static constinit Nobody nobody;
  for (epoll_event& event : events_) {
    if (event.data.ptr == &handler) event.data.ptr = static_cast<EventHandler*>(&nobody);
  }
}

std::span<const epoll_event> EventLoop::wait(int timeout_ms) {
  int count = epoll_wait(epoll_, events_.data(), most_events, timeout_ms);
  if (count < 0) count = 0;  // interrupted: as good as a timeout
  epoll_event* const end = events_.data() + count;
  epoll_event* const woken = std::find_if(events_.data(), end, [](const epoll_event& e) { return e.data.ptr == nullptr; });
  if (woken == end) return {events_.data(), end};
  std::uint64_t ignored = 0;
  [[maybe_unused]] const ssize_t size = read(wake_, &ignored, sizeof ignored);
  do_posted();
  *woken = *(end - 1);
  return {events_.data(), end - 1};
}

void EventLoop::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(work));
  }
  wake();
}

void EventLoop::wake_now() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t size = write(wake_, &one, sizeof one);
}

void EventLoop::do_posted() {
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard lock(mutex_);
    work.swap(posted_);
  }
  for (const auto& item : work) item();
}

}  // namespace pinfold::net
