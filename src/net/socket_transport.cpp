#include "pinfold/net/socket_transport.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace pinfold::net {

namespace {

sockaddr_storage address_of(int fd, int (*ask)(int, sockaddr*, socklen_t*)) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ask(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return address;
}

std::string name_of(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return std::string(text) + ":" + std::to_string(ntohs(v4.sin_port));
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return "[" + std::string(text) + "]:" + std::to_string(ntohs(v6.sin6_port));
  }
  const auto& path = reinterpret_cast<const sockaddr_un&>(address).sun_path;
  return std::string(path, strnlen(path, sizeof path)) + ":0";
}

bool is_tcp(int fd) {
  const auto family = address_of(fd, ::getsockname).ss_family;
  return family == AF_INET || family == AF_INET6;
}

// A socket that has taken a part takes no more for now.
Transport::Result written(ssize_t taken, std::size_t offered) {
  using Outcome = Transport::Outcome;
  if (taken < 0) [[unlikely]] {
    const bool for_now = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    return {0, for_now ? Outcome::blocked : Outcome::failed};
  }
  const auto bytes = static_cast<std::size_t>(taken);
  return {bytes, bytes == offered ? Outcome::done : Outcome::blocked};
}

void set_option(int fd, int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof value); }

}  // namespace

SocketTransport::SocketTransport(int fd, std::int64_t keepalive_seconds) : Transport(fd) {
  if (!is_tcp(fd)) return;
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (keepalive_seconds <= 0) return;
  const int idle = static_cast<int>(keepalive_seconds);
  constexpr int probes = 3;
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, std::max(idle / probes, 1));
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, probes);
}

Transport::Result SocketTransport::read(std::span<const iovec> buffers) {
  const ssize_t size = buffers.size() == 1 ? ::recv(descriptor_, buffers[0].iov_base, buffers[0].iov_len, 0)
                                           : ::readv(descriptor_, buffers.data(), static_cast<int>(buffers.size()));
  if (size > 0) return {static_cast<std::size_t>(size), Outcome::done};
  if (size == 0) return {0, Outcome::ended};
  const bool nothing_yet = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  return {0, nothing_yet ? Outcome::blocked : Outcome::failed};
}

Transport::Result SocketTransport::write(std::span<const iovec> runs) {
  if (runs.size() == 1) [[likely]] {
    const ssize_t taken = ::send(descriptor_, runs[0].iov_base, runs[0].iov_len, MSG_NOSIGNAL);
    return written(taken, runs[0].iov_len);
  }
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(runs.data());
  message.msg_iovlen = runs.size();
  std::size_t offered = 0;
  for (const iovec& run : runs) offered += run.iov_len;
  return written(::sendmsg(descriptor_, &message, MSG_NOSIGNAL), offered);
}

void SocketTransport::shutdown() {
  if (std::exchange(open_, false)) ::close(descriptor_);
}

// A unix socket's peer has no name of its own; both ends are shown as the path that it connected to.
Transport::Addresses SocketTransport::addresses() const {
  const sockaddr_storage local = address_of(descriptor_, ::getsockname);
  const bool unix_socket = local.ss_family == AF_UNIX;
  const sockaddr_storage peer = unix_socket ? local : address_of(descriptor_, ::getpeername);
  return {.peer = name_of(peer), .local = name_of(local), .unix_socket = unix_socket};
}

std::string SocketTransport::peer_of(int fd) {
  const sockaddr_storage local = address_of(fd, ::getsockname);
  return name_of(local.ss_family == AF_UNIX ? local : address_of(fd, ::getpeername));
}

}  // namespace pinfold::net
