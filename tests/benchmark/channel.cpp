#include "channel.h"

#include <cerrno>

#include "failure.h"
#include <sys/epoll.h>

namespace pinfold::load {

Channel::Channel(const Options& options, std::uint32_t n, const Descriptor& poll, void* tag) : stream_(options, n), poll_(poll), tag_(tag) {
  stream_.make_nonblocking();
  watch(EPOLL_CTL_ADD, EPOLLIN);
}

void Channel::watch(int action, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = tag_;
  if (::epoll_ctl(poll_.get(), action, stream_.descriptor(), &event) != 0) fail_system("epoll_ctl");
}

bool Channel::flush() {
  while (written_ < out_.size()) {
    const ssize_t sent = stream_.write(out_.data() + written_, out_.size() - written_);
    if (sent >= 0) {
      written_ += static_cast<std::size_t>(sent);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      break;
    } else if (errno != EINTR) {
      return false;
    }
  }
  const bool wants_room = written_ < out_.size();
  if (!wants_room) {
    out_.clear();
    written_ = 0;
  }
  if (wants_room != wants_room_) {
    wants_room_ = wants_room;
    watch(EPOLL_CTL_MOD, wants_room ? EPOLLIN | EPOLLOUT : EPOLLIN);
  }
  return true;
}

}  // namespace pinfold::load
